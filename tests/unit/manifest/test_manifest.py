"""read_manifest, whatever the file holds: entries that stay inside the output folder, or ManifestError."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import manifest as manifest_module
from converter.core.errors import ManifestError, UsageError
from converter.core.records import Entry
from converter.core.text import printable
from converter.manifest import read_manifest
from converter.manifest.tokens import MOST_PROBLEMS


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "models.txt"
    path.write_bytes(b"org/a\norg/b\norg/\xff\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert [(position.line, problem) for position, problem in caught.value.problems] == [(3, "this line is not UTF-8 text")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["models.txt", "models.yaml"])
def test_a_manifest_in_utf16_is_told_as_such(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_text("org/a\norg/b\n", encoding=encoding)
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / name)
    said = encoding.upper().partition("-LE")[0].partition("-BE")[0]
    assert [problem for _, problem in caught.value.problems] == [f"this file is {said} text; save it as UTF-8"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "\ufeff"])
@pytest.mark.parametrize("name", ["models.txt", "models.yaml", "models.yml"])
def test_a_manifest_that_names_no_model_is_wrong(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / name)
    assert [problem for _, problem in caught.value.problems] == ["this manifest names no model"]


def test_a_manifest_that_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "models.txt", tmp_path):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            read_manifest(path)
        assert caught.value.exit_code == 2


def test_a_file_too_large_for_a_manifest_is_told_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "MAX_BYTES", 10)
    (tmp_path / "models.txt").write_bytes(b"org/a\n" * 2)
    with pytest.raises(UsageError, match="has more than"):
        read_manifest(tmp_path / "models.txt")


def test_a_manifest_of_many_wrong_lines_is_told_whole(tmp_path: Path) -> None:
    count = 5000
    (tmp_path / "models.txt").write_text("".join(f"org/model-{n} atol=x\n" for n in range(count)), encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "models.txt")
    assert [position.line for position, _ in caught.value.problems] == list(range(1, count + 1))


_ANY_TEXT = st.text(st.characters(codec="utf-8"))
_WORDS = st.sampled_from(
    [
        "org/a",
        "./x",
        "..",
        "/",
        "~",
        "~nobody/x",
        "a@b",
        "a@",
        "@",
        "",
        "x" * 300,
        "to=onnx",
        "to=",
        "output=..",
        "output=a/b",
        "atol=1e-4",
        "atol=",
        "opset=18",
        "feature=masked-lm",
        "=",
        "#",
        '"',
        "\x00",
        "model",
        "models:",
        "defaults:",
        "-",
        ":",
        "{",
        "}",
        "[",
        "]",
        ",",
        "~",
        "&a",
        "*a",
        "<<",
        "!!null",
        "---",
        "'",
        "|",
        ">",
        "\\",
        "\\ud800",
        "\\UFFFFFFFF",
        "%YAML 1.1",
        "\x85",
        "\ufeff",
        "?",
        "null",
        "atol: 1",
    ]
)
_MIXED = st.lists(st.one_of(_WORDS, _ANY_TEXT, st.sampled_from([" ", "\n", "\r\n", "\t", "\n- ", "\n  "]))).map("".join)
_YAML = st.recursive(
    st.one_of(_WORDS, st.none(), st.integers(), st.floats(), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["models", "defaults", "model", "to", "output", "atol", "x"]), inner)
    ),
    max_leaves=8,
)


def read_either(path: Path, data: bytes) -> tuple[Entry, ...]:
    """The entries of a file with these bytes; empty after a problem, which has to be a ManifestError with a place in the file."""
    path.write_bytes(data)
    try:
        entries = read_manifest(path)
    except ManifestError as error:
        assert error.problems
        lines = (
            data.count(b"\n")
            + data.count(b"\r")
            + data.count("\x85".encode())
            + data.count("\u2028".encode())
            + data.count("\u2029".encode())
            + 1
        )
        assert all(1 <= position.line <= lines + 1 and position.column >= 1 and problem for position, problem in error.problems)
        return ()
    assert entries
    return entries


def check_inside(entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        place = PurePosixPath(entry.output)
        assert not place.is_absolute()
        assert place.parts
        assert not {"..", "."} & set(place.parts)
        assert "\0" not in entry.output
        entry.output.encode("utf-8")  # a name that the file system and the report can hold
        str(entry.source).encode("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests")


@given(text=st.one_of(_ANY_TEXT, _MIXED))
def test_any_text_gives_entries_inside_the_output_folder_or_a_manifest_error(folder: Path, text: str) -> None:
    check_inside(read_either(folder / "models.txt", text.encode()))


@given(text=st.one_of(_ANY_TEXT, _MIXED, _MIXED.map("models: [{}]".format), _MIXED.map("models:\n- {}".format)))
def test_any_text_as_yaml_gives_entries_inside_the_output_folder_or_a_manifest_error(folder: Path, text: str) -> None:
    check_inside(read_either(folder / "models.yaml", text.encode()))


@given(document=_YAML, models=st.lists(_YAML, max_size=4), defaults=_YAML, whole=st.booleans())
def test_any_yaml_document_gives_entries_inside_the_output_folder_or_a_manifest_error(
    folder: Path, document: object, models: list[object], defaults: object, whole: bool
) -> None:
    import yaml

    text = yaml.safe_dump(document if whole else {"models": models, "defaults": defaults}, allow_unicode=True)
    check_inside(read_either(folder / "models.yaml", text.encode()))


@given(data=st.binary(), name=st.sampled_from(["models.txt", "models.yaml"]))
def test_any_bytes_give_entries_or_a_manifest_error(folder: Path, data: bytes, name: str) -> None:
    check_inside(read_either(folder / name, data))


_PARTS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_]{0,10}[A-Za-z0-9])?", fullmatch=True)
_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "atol": st.floats(1e-9, 1e3).map(repr),
        "opset": st.integers(18, 25).map(str),
        "feature": st.sampled_from(["default", "masked-lm", "fill-mask"]),
        "dtype": st.sampled_from(["float32", "checkpoint"]),
        "optimize": st.sampled_from(["none", "cpu", "cuda"]),
    },
)


@given(
    st.lists(
        st.tuples(_PARTS, _PARTS, st.none() | _PARTS, _SETTINGS),
        min_size=1,
        max_size=5,
        unique_by=lambda pair: (pair[0].lower(), pair[1].lower()),
    )
)
def test_valid_lines_come_back_as_they_were_from_either_kind_of_manifest(
    folder: Path, lines: list[tuple[str, str, str | None, dict[str, str]]]
) -> None:
    models = [f"{org}/{name}@{revision}" if revision else f"{org}/{name}" for org, name, revision, _ in lines]
    in_text = "".join(
        f"{model} {' '.join(f'{k}={v}' for k, v in line[3].items())} output=out-{n}\n"
        for n, (model, line) in enumerate(zip(models, lines, strict=True))
    )
    in_yaml = "models:\n" + "".join(
        f"- {{model: '{model}', output: out-{n}{''.join(f', {k}: {v}' for k, v in line[3].items())}}}\n"
        for n, (model, line) in enumerate(zip(models, lines, strict=True))
    )
    for name, text in (("models.txt", in_text), ("models.yaml", in_yaml)):
        (folder / name).write_text(text, encoding="utf-8")
        entries = read_manifest(folder / name)
        assert [str(entry.source) for entry in entries] == models
        assert [entry.output for entry in entries] == [f"out-{n}" for n in range(len(lines))]
        for entry, (_, _, _, settings) in zip(entries, lines, strict=True):
            assert entry.backends["onnx"] == type(entry.backends["onnx"]).model_validate(settings)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_manifest_that_is_no_file_is_told_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "models.txt"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="cannot be read: it is not a regular file"):
        read_manifest(path)


def problems(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    return [(position.line, problem) for position, problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models.txt", '"\n' * 10**5),  # as many problems as lines, and no entry between them
        ("models.txt", "a b\n" * 10**5),
        ("models.yaml", f"models: [{'-a,' * 15_000}]"),
        ("models.yaml", f"models: [&a {{b: c}}{', *a' * 15_000}]"),
    ],
    ids=["quotes", "words", "entries", "aliases"],
)
def test_a_file_of_nothing_but_problems_is_read_no_further_than_ten_thousand(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    pairs = problems(tmp_path / name)
    assert len(pairs) <= MOST_PROBLEMS + 1
    assert "there are more problems; is this a manifest?" in {problem for _, problem in pairs}


def test_more_models_than_any_manifest_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "MAX_ENTRIES", 10)
    (tmp_path / "models.txt").write_text("".join(f"org/m{n}\n" for n in range(30)), encoding="utf-8")
    assert problems(tmp_path / "models.txt") == [(11, "a manifest has at most 10 models; divide this one")]


@pytest.mark.parametrize(
    "line",
    ["a" * 10**6, f'"{"a" * 10**6}"', f"org/a {'b' * 10**6}=c", f"org/a atol={'9' * 10**6}", f"org/a to={'onnx,' * 10**5}"],
    ids=["model", "quoted", "key", "value", "list"],
)
def test_a_word_longer_than_any_path_is_told_in_a_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "models.txt").write_text(line, encoding="utf-8")
    ((_, problem),) = problems(tmp_path / "models.txt")
    assert "has more than 4096 characters" in problem and len(problem) < 300


@pytest.mark.parametrize("output", ["/".join("a" * 17), "a/" * 2000, "a\x1b[2Jb", "a\u202eb"])
def test_an_output_that_no_folder_is_called_is_refused(tmp_path: Path, output: str) -> None:
    (tmp_path / "models.txt").write_text(f"org/a output={output}\n", encoding="utf-8")
    ((_, problem),) = problems(tmp_path / "models.txt")
    assert "cannot be a folder inside the output folder" in problem
    assert printable(problem) == problem


@pytest.mark.parametrize("name", ["./\x1b[2J", "./\x1b]0;x\x07", "./a\u202eb", "./\x7f", "./\x9b2J"])
def test_a_name_that_a_terminal_would_obey_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "models.txt").write_text(f"{name}\n", encoding="utf-8")
    ((_, problem),) = problems(tmp_path / "models.txt")
    assert "is not a name" in problem


@given(st.binary(max_size=300), st.sampled_from(["models.txt", "models.yaml"]))
def test_any_bytes_are_entries_or_problems_that_a_terminal_can_show(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    try:
        read_manifest(path)
    except ManifestError as error:
        assert error.problems
        assert [problem for _, problem in error.problems if not problem or printable(problem) != problem] == []
