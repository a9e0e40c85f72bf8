"""The settings of an entry, the place of its artifacts, and collisions of entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from converter.core.records import Entry
from converter.manifest import read_manifest

Entries = Callable[..., tuple[Entry, ...]]
Problems = Callable[..., list[tuple[int, int, str]]]


def test_an_entry_goes_to_onnx_where_it_does_not_say(entries_of: Entries) -> None:
    assert list(entries_of("org/a\n")[0].backends) == ["onnx"]


def test_a_backend_named_twice_is_one(entries_of: Entries) -> None:
    assert list(entries_of("org/a to=onnx,onnx\n")[0].backends) == ["onnx"]


@pytest.mark.parametrize("to", ["tflite", "", "onnx,", "ONNX"])
def test_an_unknown_backend_is_told_with_those_there_are(problems_of: Problems, to: str) -> None:
    ((line, column, problem),) = problems_of(f"org/a to={to}\n")
    assert (line, column) == (1, 7)
    assert problem == f"unknown backend {to.rpartition(',')[2]!r}; known: onnx, torchscript, neuron"


@pytest.mark.parametrize(
    "setting",
    [
        "atol=0",
        "atol=-1",
        "atol=nan",
        "atol=inf",
        "atol=",
        "opset=0",
        "opset=1.5",
        "feature=../x",
        "feature=",
        "dtype=int8",
        "config=mine.py",
        "config=mine.py:",
    ],
)
def test_a_wrong_value_is_told_with_the_setting_as_written(problems_of: Problems, setting: str) -> None:
    ((line, column, problem),) = problems_of(f"org/a {setting}\n")
    assert (line, column) == (1, 7)
    assert problem.startswith(f"{setting}: ")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch-size=0", "input should be greater than or equal to 1"),
        ("sequence-length=-3", "input should be greater than or equal to 1"),
        ("decoder-length=many", "input should be a valid integer"),
        ("freeze=perhaps", "input should be a valid boolean"),
        ("feature=causal-lm-with-past", "a trace has no cache; choose causal-lm"),
        ("freeze=true untie=true", "a frozen model stores equal weights once; pass either freeze or untie"),
    ],
)
def test_what_cannot_be_traced_is_told_before_anything_starts(problems_of: Problems, setting: str, message: str) -> None:
    ((line, _, problem),) = problems_of(f"org/a to=torchscript {setting}\n")
    assert line == 1
    assert problem.startswith(f"{setting.split()[-1]}: {message}")


def test_an_option_is_for_the_backends_that_have_it(entries_of: Entries, problems_of: Problems) -> None:
    (entry,) = entries_of("org/a to=onnx,torchscript opset=20 sequence-length=64 freeze=yes\n")
    onnx, torchscript = (options.model_dump() for options in entry.backends.values())
    assert (onnx["opset"], torchscript["sequence_length"], torchscript["freeze"]) == (20, 64, True)
    assert "'opset' is not an option of torchscript" in problems_of("org/a to=torchscript opset=20\n")[0][2]


@pytest.mark.parametrize("key", ["attol", "model", "_atol", "ATOL", ""])
def test_an_unknown_key_is_told_with_those_there_are(problems_of: Problems, key: str) -> None:
    assert problems_of(f"org/a {key}=1\n") == [
        (
            1,
            7,
            f"{key!r} is not an option of onnx; known: to, output, allow-pickle, atol, config, drop-weights, evaluate, feature, "
            "opset, optimize, precision, profile, text, tier, trust-remote-code, weights",
        )
    ]


def test_every_problem_is_told_at_once_in_the_order_of_the_file(problems_of: Problems) -> None:
    problems = problems_of("org/a output=../x atol=x\nno/such/id\norg/b extra=1 to=tflite,onnx word\n")
    assert [(line, column) for line, column, _ in problems] == [(1, 7), (1, 19), (2, 1), (3, 7), (3, 15), (3, 30)]


@pytest.mark.parametrize(
    "output",
    ["..", "../x", "a/../../x", "/tmp/x", "//x", ".hidden", "a/.rejected", ".", "report.json", "report.md/x", "report.html", "", "a\0b"],
)
def test_an_output_that_is_no_folder_inside_the_output_folder_is_told(problems_of: Problems, output: str) -> None:
    ((line, column, problem),) = problems_of(f'org/a output="{output}"\n')
    assert (line, column) == (1, 7)
    assert problem.endswith("cannot be a folder inside the output folder; set output=")


@pytest.mark.parametrize(
    ("first", "second"), [("org/a", "org/a@v1"), ("org/a", "ORG/A"), ("org/a output=x/y", "org/b output=x//y/"), ("./a/m", "./b/m")]
)
def test_two_entries_that_would_meet_are_told_with_both_lines(problems_of: Problems, first: str, second: str) -> None:
    ((line, column, problem),) = problems_of(f"# both\n{first}\n\n{second}\n")
    assert (line, column) == (4, 1)
    assert "where line 2 has its own; set output=" in problem


def test_two_models_do_not_share_a_folder_even_for_different_backends(problems_of: Problems, entries_of: Entries) -> None:
    """Their configs and tokenizers would meet there."""
    ((line, _, problem),) = problems_of("org/a output=x\norg/b output=x to=torchscript\n")
    assert line == 2 and "belongs to another model, of line 1" in problem
    assert len(entries_of("org/a\norg/a to=torchscript\n")) == 2


@pytest.mark.parametrize("inner", ["x/onnx", "x/ONNX/deeper"])
def test_an_entry_inside_the_artifact_of_another_is_told(problems_of: Problems, inner: str) -> None:
    for lines, line in ((("org/a output=x", f"org/b output={inner}"), 2), ((f"org/b output={inner}", "org/a output=x"), 1)):
        ((at, _, problem),) = problems_of("\n".join(lines))
        assert at == line
        assert f"lies inside the artifact of line {3 - line}" in problem


def test_entries_side_by_side_or_one_above_the_other_do_not_meet(entries_of: Entries) -> None:
    assert [entry.output for entry in entries_of("org\norg/a\norg/a output=org/a/old\n")] == ["org", "org/a", "org/a/old"]


def test_a_path_is_relative_to_the_manifest_and_not_to_where_the_command_runs(
    tmp_path: Path, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (entry,) = read_manifest(manifest("./checkpoints/ours\n"))
    assert entry.source.folder == tmp_path / "checkpoints" / "ours"
    assert entry.output == "ours"


def test_a_linked_folder_goes_by_its_own_name(tmp_path: Path, entries_of: Entries) -> None:
    (tmp_path / "snapshots" / "0123").mkdir(parents=True)
    (tmp_path / "ours").symlink_to("snapshots/0123")
    assert [entry.output for entry in entries_of("./ours\n./snapshots/../ours output=again\n")] == ["ours", "again"]


def test_a_folder_named_by_dots_goes_by_its_own_name(tmp_path: Path, entries_of: Entries) -> None:
    assert [entry.output for entry in entries_of("./x/../y/.\n.\n")] == ["y", tmp_path.name]


def test_the_root_folder_has_no_name_to_go_by(problems_of: Problems) -> None:
    assert problems_of("/\n")[0][:2] == (1, 1)


def test_an_onnx_artifact_is_for_the_clients_of_the_hub_unless_something_else_is_said(entries_of: Entries) -> None:
    lines = {"": "hub", "profile=documented": "documented", "config=mine.py:Mine": "documented"}
    for said, profile in lines.items():
        assert getattr(entries_of(f"org/a {said}\n")[0].backends["onnx"], "profile") == profile  # noqa: B009 - Options has none


def test_a_configuration_of_ones_own_is_in_no_other_profile(problems_of: Problems) -> None:
    ((line, column, problem),) = problems_of("org/a config=mine.py:Mine profile=hub\n")
    assert (line, column) == (1, 27)
    assert problem.endswith("a custom configuration defines its own files; leave profile out")
