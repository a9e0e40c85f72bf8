"""Sources of a model as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.checkpoints.source import parse_source


@pytest.mark.parametrize("text", ["gpt2", "org/name", "distilbert-base-uncased-finetuned-sst-2-english", "a/b.c_d-e", "0/1"])
def test_a_hub_id_is_a_name_or_an_organization_and_a_name(tmp_path: Path, text: str) -> None:
    source = parse_source(text, tmp_path)
    assert (source.name, source.folder, source.revision, str(source)) == (text, None, None, text)


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/7", "0123456789" * 4, "feature/x-"])
def test_a_revision_stands_behind_the_id(tmp_path: Path, revision: str) -> None:
    source = parse_source(f"org/name@{revision}", tmp_path)
    assert (source.name, source.revision, str(source)) == ("org/name", revision, f"org/name@{revision}")


@pytest.mark.parametrize("text", ["./x", "../x", ".", "..", "./x@y", "./"])
def test_what_is_written_as_a_path_is_one_and_relative_to_the_base(tmp_path: Path, text: str) -> None:
    source = parse_source(text, tmp_path)
    assert (source.name, source.folder, source.revision) == (text, tmp_path / text, None)


def test_an_absolute_path_and_one_in_the_home_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_source("/x/y", tmp_path).folder == Path("/x/y")
    assert parse_source("~/x", tmp_path).folder == Path("/home/somebody/x")


def test_a_bare_name_is_a_folder_where_there_is_one_and_a_hub_id_otherwise(tmp_path: Path) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert parse_source("org/name", tmp_path).folder == tmp_path / "org/name"
    assert parse_source("org/other", tmp_path).folder is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/b/c",
        "a--b",
        "a..b/c",
        "-a",
        "a-",
        "org/.hidden",
        "org\\name",
        "C:\\x",
        "a b",
        "a\n",
        "é",
        "x" * 300,
        "a\0b",
        "./\ud800",
    ],
)
def test_what_is_neither_a_path_nor_a_hub_id_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a folder here nor a Hub id|is not a name"):
        parse_source(text, tmp_path)


@pytest.mark.parametrize("revision", ["", "..", "a/../b", "a//b", "/a", "a/", "-x", "a@b", "a b", "x" * 300])
def test_what_is_no_revision_is_refused(tmp_path: Path, revision: str) -> None:
    with pytest.raises(ValueError, match="is not a revision"):
        parse_source(f"org/name@{revision}", tmp_path)


def test_the_home_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a user that this system does not know"):
        parse_source("~no-such-user/x", tmp_path)


@given(st.one_of(st.text(), st.text(alphabet="ab0./\\-_@~: \n\0"), st.from_regex(r"[a-z0-9./-]{1,20}(@[a-z0-9./-]{0,20})?")))
def test_nothing_accepted_as_a_hub_id_can_leave_a_folder_or_an_address(text: str) -> None:
    try:
        source = parse_source(text, Path("/no/such/folder"))
    except ValueError:
        return
    if source.folder is None:
        assert source.name.count("/") <= 1
        for word in (source.name, source.revision or "main"):
            assert ".." not in word
            assert not set(word) & set("\\?#%@: \n\r\t\0")
            assert not word.startswith(("/", "-", "."))


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("https://huggingface.co/org/name", "write org/name"),
        ("https://huggingface.co/org/name/tree/v2", "write org/name@v2"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", "write org/name@refs/pr/1"),
        ("https://huggingface.co/org/name/tree/main?library=transformers", "write org/name"),
        ("huggingface.co/org/name/blob/main/config.json", "write org/name"),
        ("HTTPS://www.HuggingFace.co/bert-base-uncased", "write bert-base-uncased"),
        ("https://hf.co/models/org/name.git", "write org/name"),
        ("git@hf.co:org/name", "write org/name"),
        ("hf://org/name", "write org/name"),
        ("https://huggingface.co/", "write a Hub id of the form org/name"),
        ("https://huggingface.co/a--b/c", "write a Hub id of the form org/name"),
        ("https://x/y", "write a Hub id of the form org/name"),
        ("s3://bucket/name", "write a Hub id of the form org/name"),
    ],
)
def test_a_pasted_address_is_refused_with_the_id_that_it_holds(tmp_path: Path, address: str, advice: str) -> None:
    with pytest.raises(ValueError, match=r" is an address; ") as caught:
        parse_source(address, tmp_path)
    assert str(caught.value) == f"{address!r} is an address; {advice}"


def test_a_hub_id_with_a_slash_at_its_end_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder here; a Hub id has no slash at its end"):
        parse_source("org/name/", tmp_path)


@pytest.mark.parametrize(("path", "kind"), [("datasets/org/name", "dataset"), ("spaces/org/name", "space")])
def test_the_address_of_another_kind_of_repository_is_refused_as_such(tmp_path: Path, path: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"is the address of a {kind}, not of a model"):
        parse_source(f"https://huggingface.co/{path}", tmp_path)
