"""models.yaml: the same keys, values as text, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from converter.core.records import Entry
from converter.manifest import yaml_file

Entries = Callable[..., tuple[Entry, ...]]
Problems = Callable[..., list[tuple[int, int, str]]]


@pytest.fixture
def yaml_entries(entries_of: Entries) -> Entries:
    return lambda text: entries_of(text, "models.yaml")


@pytest.fixture
def yaml_problems(problems_of: Problems) -> Problems:
    return lambda text: problems_of(text, "models.yaml")


def test_defaults_hold_for_every_model_that_does_not_say_otherwise(yaml_entries: Entries) -> None:
    first, second = yaml_entries("defaults: {atol: 0.5, feature: masked-lm}\nmodels:\n- org/a\n- {model: org/b, atol: 0.25}\n")
    assert (first.backends["onnx"].atol, first.backends["onnx"].feature) == (0.5, "masked-lm")
    assert (second.backends["onnx"].atol, second.backends["onnx"].feature) == (0.25, "masked-lm")


def test_values_are_taken_as_they_are_written(yaml_entries: Entries) -> None:
    (entry,) = yaml_entries("models:\n- model: org/a@0123456\n  atol: 1e-4\n  output: 0010\n- {model: org/yes, output: yes}\n")[:1]
    assert (entry.source.revision, entry.backends["onnx"].atol, entry.output) == ("0123456", 1e-4, "0010")


def test_a_list_of_models_may_be_text_alone(yaml_entries: Entries) -> None:
    entries = yaml_entries("models: [org/a, org/b@v1]\n")
    assert [(str(entry.source), entry.position.column) for entry in entries] == [("org/a", 10), ("org/b@v1", 17)]


@pytest.mark.parametrize("to", ["onnx", "[onnx]", "\n  - onnx"])
def test_backends_are_a_word_or_a_list(yaml_entries: Entries, to: str) -> None:
    (entry,) = yaml_entries(f"models:\n- model: org/a\n  to: {to}\n")
    assert list(entry.backends) == ["onnx"]


def test_null_leaves_a_setting_unset(yaml_entries: Entries) -> None:
    (entry,) = yaml_entries(
        "defaults:\nmodels:\n- {model: org/a, atol: null, output: ~, opset: }\n".replace("defaults:\n", "defaults: {}\n")
    )
    assert (entry.backends["onnx"].atol, entry.output) == (None, "org/a")


@pytest.mark.parametrize("model", ["- ~", "- null", "- ''", "-", "- {model: null}", "- {atol: 1}", "- {}", "- [org/a]"])
def test_an_entry_without_a_model_is_told(yaml_problems: Problems, model: str) -> None:
    assert [line for line, _, _ in yaml_problems(f"models:\n- org/a\n{model}\n")] == [3]


def test_a_key_twice_is_told_at_the_second(yaml_problems: Problems) -> None:
    assert yaml_problems("models:\n- model: org/a\n  atol: 1\n  atol: 2\n") == [(4, 3, "'atol' is set twice")]


def test_unknown_keys_are_told_at_their_place(yaml_problems: Problems) -> None:
    (top, inner) = yaml_problems("modles: []\nmodels:\n- {model: org/a, attol: [1, 2]}\n")
    assert top[:2] == (1, 9)
    assert top[2] == "'modles' is not known here; there are: defaults, models"
    assert inner[:2] == (3, 25)
    assert inner[2].startswith("'attol' is not an option of onnx; known: to, output, allow-pickle, atol, ")


def test_a_mistake_in_the_defaults_is_told_once_however_many_models_there_are(yaml_problems: Problems) -> None:
    problems = yaml_problems("defaults: {atol: x, size: 3, to: tflite}\nmodels: [org/a, org/b, org/c]\n")
    assert [column for _, column, _ in problems] == [34]
    problems = yaml_problems("defaults: {atol: x, size: 3}\nmodels: [org/a, org/b, org/c]\n")
    assert [column for _, column, _ in problems] == [18, 27]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: [org/a\n", (2, 1)),
        ("models:\n- org/a\n  - : {\n", (3, 5)),
        ("models: [org/a]\n---\nmodels: [org/b]\n", (2, 1)),
        ("models: [*nothing]\n", (1, 10)),
        ("models: [org/\x07a]\n", (1, 1)),
        ('models: ["\\UFFFFFFFF"]\n', (1, 1)),
        (f"models: {'[' * 5000}\n", (1, 28)),
    ],
)
def test_what_is_not_yaml_is_told(yaml_problems: Problems, text: str, place: tuple[int, int]) -> None:
    ((line, column, problem),) = yaml_problems(text)
    assert problem.startswith("this is not YAML: ")
    assert (line, column) == place


@pytest.mark.parametrize(
    "text", ["- org/a\n", "org/a\n", "models: org/a\n", "models: {a: b}\n", "defaults: {}\n", "defaults: [a]\nmodels: [b]\n"]
)
def test_another_structure_is_told(yaml_problems: Problems, text: str) -> None:
    assert yaml_problems(text)


@pytest.mark.parametrize("value", ["{a: b}", "[[a]]", "&a [*a]"])
def test_a_value_that_is_neither_a_word_nor_a_list_of_words_is_told(yaml_problems: Problems, value: str) -> None:
    assert [problem for _, _, problem in yaml_problems(f"models: [{{model: org/a, atol: {value}}}]\n")] == [
        "a single value or a list of such belongs here"
    ]


def test_no_tag_does_anything(yaml_entries: Entries) -> None:
    (entry,) = yaml_entries('models: [!!python/object/apply:os.system "org/a"]\n')
    assert entry.source.name == "org/a"


def test_a_key_that_is_no_word_is_told(yaml_problems: Problems) -> None:
    assert "a key is a single word" in [problem for _, _, problem in yaml_problems("models: [org/a]\n? [a, b]\n: c\n")]


def test_an_alias_makes_no_long_list_of_a_short_one(yaml_problems: Problems) -> None:
    text = f"models:\n- {{model: org/a, to: [&a {'x' * 1000}{', *a' * 10_000}]}}\n"
    assert [problem for _, _, problem in yaml_problems(text)] == ["this list has more than 4096 characters"]


def test_a_document_that_doubles_itself_at_each_level_costs_nothing(yaml_problems: Problems) -> None:
    levels = "".join(f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 60))
    assert len(yaml_problems(f"x0: &x0 [a, a]\n{levels}models: *x59\n")) < 100


def test_a_document_that_is_too_large_or_has_too_many_values_is_not_read(yaml_problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "MAX_NODES", 20)
    ((line, _, problem),) = yaml_problems("models:\n" + "- org/a\n" * 30)
    assert (line, problem) == (19, "this is not YAML: it has more than 20 values")
    monkeypatch.setattr(yaml_file, "MAX_CHARACTERS", 20)
    ((_, _, problem),) = yaml_problems("models:\n" + "- org/a\n" * 30)
    assert "a manifest in YAML has at most" in problem
