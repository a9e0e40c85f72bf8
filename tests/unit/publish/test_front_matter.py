"""Missing metadata is added to a card, and every character of the owner stays."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from string import whitespace
from typing import Any

import pytest
import yaml
from huggingface_hub import metadata_load
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import example, given
from hypothesis import strategies as st

from converter.publish.front_matter import BrokenError, add, read, read_as_written

VALUES = {"library_name": "transformers", "base_model": "org/name"}
TAGS = ["onnx", "torchscript"]

KEPT = {
    "no front matter": "# Title\n\nWords.\n",
    "nothing at all": "",
    "an empty one": "---\n---\n# Title\n",
    "a plain one": "---\nlicense: mit\n---\n# Title\n",
    "comments and quotes": '---\n# ours\nlicense: "mit"  # as said\nlanguage:\n  - en  # and no other\n---\n',
    "a flow list of tags": "---\ntags: [bert, 'fill mask']  # two\nlicense: mit\n---\n",
    "a flow list over lines": "---\ntags: [\n  bert,\n  fill\n]\nlicense: mit\n---\n",
    "a block list of tags": "---\ntags:\n- bert\n- fill  # mask\nlicense: mit\n---\n",
    "an indented block list": "---\ntags:\n    - bert\n    - fill\nlicense: mit\n---\n",
    "a block list at the end": "---\nlicense: mit\ntags:\n- bert\n---\n",
    "an empty list of tags": "---\ntags: []\nlicense: mit\n---\n",
    "no value for tags": "---\ntags:\nlicense: mit\n---\n",
    "a tag of ours": "---\ntags:\n- onnx\n---\n",
    "a comment where there is no value": "---\ntags: # to be done\nlibrary_name: null # not yet\nlicense: mit\n---\n",
    "a comment behind an empty list": "---\ntags: [] # none yet\n---\n",
    "a value that is null": "---\nlibrary_name:\nlicense: mit\n---\n",
    "another library": "---\nlibrary_name: sentence-transformers\n---\n",
    "line ends of Windows": "---\r\nlicense: mit\r\ntags:\r\n- bert\r\n---\r\n# Title\r\n",
    "a byte order mark": "\ufeff---\nlicense: mit\n---\n# Title\n",
    "an anchor": "---\nlicense: &l mit\nother: *l\n---\n",
    "a blank line before it": "\n---\nlicense: mit\nlanguage: en\npipeline_tag: text-classification\n---\n# Title\n",
    "spaces before it": "  ---\nlicense: mit\n---\n# Title\n",
    "a byte order mark and blank lines before it": "\ufeff\r\n \r\n---\r\nlicense: mit\r\n---\r\n# Title\r\n",
    "a byte order mark and no front matter": "\ufeff# Title\n",
    "an empty one and a rule in the text": "---\n---\n# Title\n\nwords\n\n---\n\nmore\n",
    "an empty one and then one with keys": "---\n---\nlicense: mit\n---\n# Title\n",
    "spaces behind its last line": "---\nlicense: mit\n---  \n# Title\n",
    "rules in the text and no front matter": "# Title\n\n---\n\nlicense: mit\n\n---\n",
    "no line end behind it": "---\nlicense: mit\n---",
    "a rule in the text": "---\nlicense: mit\n---\n# Title\n\n---\n\nmore\n---\n",
    "a model index": "---\nmodel-index:\n- name: x\n  results:\n  - task: {type: fill-mask}\n    metrics: [{type: acc, value: 0.9}]\n---\n",
}


@pytest.mark.parametrize("case", KEPT)
def test_nothing_but_what_is_missing_changes(case: str) -> None:
    card = KEPT[case]
    edited = add(card, VALUES, TAGS)
    before, after = read(card), read(edited)
    tags = list(before.get("tags") or [])
    assert after["tags"] == tags + [tag for tag in TAGS if tag not in tags]
    assert {key: after[key] for key in before if key != "tags" and before[key] is not None} == {
        key: value for key, value in before.items() if key != "tags" and value is not None
    }
    assert after["base_model"] == "org/name" and after["library_name"]
    removed = [
        line
        for line in difflib.ndiff(card.lstrip("\ufeff").splitlines(True), edited.lstrip("\ufeff").splitlines(True))
        if line.startswith("- ")
    ]
    allowed = ("- tags:", "- library_name:", "-   fill\n", "-   fill", "- ---")
    assert edited.startswith("\ufeff") == card.startswith("\ufeff")
    assert all(line.startswith(allowed) for line in removed), removed
    assert add(edited, VALUES, TAGS) == edited
    assert all(comment in edited for comment in re.findall("#.*", card))


@pytest.mark.parametrize("case", KEPT)
def test_the_hubs_client_reads_the_old_keys_and_the_new_ones(tmp_path: Path, case: str) -> None:
    before, after = (_as_the_client_reads(text, tmp_path) for text in (KEPT[case], add(KEPT[case], VALUES, TAGS)))
    assert before == read(KEPT[case]) and after == read(add(KEPT[case], VALUES, TAGS))
    assert {**VALUES, **{key: value for key, value in before.items() if value is not None and key != "tags"}}.items() <= after.items()
    assert {*(before.get("tags") or ()), *TAGS} == {*after["tags"]}


def _as_the_client_reads(card: str, folder: Path) -> dict[str, Any]:
    (folder / "README.md").write_text(card, encoding="utf-8", newline="")
    try:
        return metadata_load(folder / "README.md") or {}
    except ValueError:  # a text between two rules
        return {}


_PIECES = st.sampled_from(["\n", "\r\n", "\r", " ", "---", "\ufeff", "license: mit", "a: 1", "# Title", "words"])


@given(st.lists(_PIECES, max_size=14).map("".join))
@example("\n---\nlicense: mit\n---\n")
@example("--- \nlicense: mit\n---\n")
@example("---\nlicense: mit\n ---\n")
def test_metadata_is_where_the_hubs_client_finds_it_or_the_card_stays(card: str) -> None:
    match = REGEX_YAML_BLOCK.search(card.removeprefix("\ufeff"))
    try:
        before = yaml.safe_load(match[2]) if match else None
    except yaml.YAMLError:
        before = None
    try:
        edited = add(card, VALUES, TAGS)
    except BrokenError:
        return
    after = REGEX_YAML_BLOCK.search(edited.removeprefix("\ufeff"))
    assert after and yaml.safe_load(after[2]) == {**(before if isinstance(before, dict) else {}), **VALUES, "tags": TAGS}
    if isinstance(before, dict) and before:
        assert match and edited.endswith(card.removeprefix("\ufeff")[match.end() :])
    assert edited.startswith("\ufeff") == card.startswith("\ufeff")


def test_metadata_can_be_read_as_it_is_written() -> None:
    assert read_as_written("---\nlanguage: [no, en]\nlicense: mit\n---\n") == {"language": ["no", "en"], "license": "mit"}


def test_a_card_that_has_all_of_it_is_the_same_to_the_letter() -> None:
    card = "---\nlibrary_name:   x\nbase_model: y\ntags:   [torchscript,onnx]\n---\nwords"
    assert add(card, VALUES, TAGS) == card


BROKEN = {
    "---\nlicense: [mit\n---\n": "not YAML",
    "---\n- a\n- b\n---\n": "not a mapping",
    "---\njust words\n---\n": "not a mapping",
    "---\nlicense: mit\n": "begins and does not end",
    "\n---\nlicense: mit\n": "begins and does not end",
    "--- \nlicense: mit\n---\n": "spaces behind its first line",
    "---\ntags: bert\n---\n": "tags are no list",
    "---\na: !!python/object/apply:os.system [ls]\n---\n": "not YAML",
    "---\ntags: &a [x]\nb: *a\ntags2: *c\n---\n": "not YAML",
    "---\n\x00\n---\n": "not YAML",
    "---\ntags: &tags\n- bert\nother: *tags\n---\n": "in a way that nothing can be added to",
    "---\n{license: mit}\n---\n": "in a way that nothing can be added to",
}


@pytest.mark.parametrize("card", BROKEN)
def test_what_cannot_be_read_is_told_and_not_touched(card: str) -> None:
    with pytest.raises(BrokenError, match=BROKEN[card]):
        add(card, VALUES, TAGS)


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates()
_METADATA = st.dictionaries(
    st.text("abcdefgh_", min_size=1, max_size=6) | st.sampled_from(["license", "library_name"]),
    _SCALARS | st.lists(_SCALARS, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=3), _SCALARS, max_size=2),
    max_size=5,
)


@given(_METADATA, st.none() | st.lists(st.text(min_size=1, max_size=6), max_size=3), st.booleans(), st.text(max_size=30))
def test_any_metadata_is_kept_or_refused(metadata: dict[str, Any], tags: list[str] | None, flow: bool, body: str) -> None:
    values = metadata if tags is None else {**metadata, "tags": tags}
    card = f"---\n{yaml.safe_dump(values, default_flow_style=flow or None)}---\n{body}"
    try:
        edited = add(card, VALUES, TAGS)
    except BrokenError:
        return
    assert edited.endswith(f"---\n{body}")
    after = read(edited)
    assert {key: value for key, value in after.items() if key in values and values[key] is not None and key != "tags"} == {
        key: value for key, value in values.items() if value is not None and key != "tags"
    }
    assert after["tags"][: len(tags or [])] == (tags or [])


@given(st.text())
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        edited = add(text, VALUES, TAGS)
    except BrokenError:
        return
    begins = text.lstrip("\ufeff" + whitespace).startswith("---")
    assert edited.endswith(text[text.rfind("---") :] if begins else text.removeprefix("\ufeff"))
