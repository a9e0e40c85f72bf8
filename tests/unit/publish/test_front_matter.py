"""Missing metadata is added to a card, and every character of the owner stays."""

from __future__ import annotations

import difflib
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
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
    removed = [line for line in difflib.ndiff(card.splitlines(True), edited.splitlines(True)) if line.startswith("- ")]
    allowed = ("- tags:", "- library_name:", "-   fill\n", "-   fill", "- ---")
    assert all(line.startswith(allowed) for line in removed), removed
    assert add(edited, VALUES, TAGS) == edited
    assert all(comment in edited for comment in re.findall("#.*", card))


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
    assert edited.endswith(text[text.rfind("---") :] if text.startswith("---") else text)
