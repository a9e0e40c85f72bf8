"""The YAML at the top of a model card: add what is missing, and keep every character.

huggingface_hub's metadata_save would write all of it anew, without the owner's comments and quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from converter import hub

_MARK = "\ufeff"
"""The byte order mark, which stays the first character."""
_OPENING = re.compile(r"\ufeff?\s*---([ \t]*)[\r\n]")
_EMPTY = re.compile(r"(\ufeff?\s*---(?:\r\n|\r|\n))(---[ \t]*(?:\r\n|\n|\Z))")
"""Two lines without metadata between them. The Hub reads none there, until we add some."""

_NO_PLACE = "its metadata is written in a way that nothing can be added to"


class BrokenError(ValueError):
    """Invalid front matter; the problem is a clause."""


def read(card: str) -> dict[str, Any]:
    """The metadata of a card; empty without front matter. Raises BrokenError."""
    return _parse(_split(card)[1])


def read_as_written(card: str) -> dict[str, Any]:
    """The metadata of a card with every value as the text that it is: to YAML `no`, Norwegian, is a falsehood. Raises BrokenError."""
    read(card)
    loaded: dict[str, Any] = yaml.load(_split(card)[1], yaml.BaseLoader) or {}  # noqa: S506 - it makes nothing but texts
    return loaded


def add(card: str, values: Mapping[str, Any], tags: Iterable[str]) -> str:
    """The card with `values` and `tags` that its metadata lacks. Raises BrokenError."""
    newline = newline_of(card)
    opening, block, closing, body = _split(card)
    there = _parse(block)
    missing = {key: value for key, value in values.items() if there.get(key) is None}
    lacking = [tag for tag in dict.fromkeys(tags) if tag not in _tags(there)]
    if not missing and not lacking:
        return card
    edited = block
    for key, value in missing.items():
        edited = _with(edited, key, value, newline)
    if lacking:
        edited = _with_tags(edited, there, lacking, newline)
    wanted = {**there, **missing, **({"tags": [*_tags(there), *lacking]} if lacking else {})}
    if not _means(edited, wanted):
        raise BrokenError(_NO_PLACE)
    if not closing:
        mark = _MARK if body.startswith(_MARK) else ""
        opening, closing, body = f"{mark}---{newline}", f"---{newline}", body.removeprefix(mark)
    return f"{opening}{edited}{closing}{body}"


def newline_of(text: str) -> str:
    """How the lines of a text end."""
    return "\r\n" if 0 < text.count("\r\n") == text.count("\n") else "\n"


def _means(block: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return _parse(block) == wanted
    except BrokenError:
        return False


def _split(card: str) -> tuple[str, str, str, str]:
    """The opening line, the block, the closing line and the rest; the first three are empty without front matter."""
    span, empty = hub.metadata_span(card), _EMPTY.match(card)
    if span and not (empty and not _has_keys(card[span[0] : span[1]])):
        start, end, body = span
        return card[:start], card[start:end], card[end:body], card[body:]
    if empty:
        return empty[1], "", empty[2], card[empty.end() :]
    opening = _OPENING.match(card)
    if opening:
        ends = "has spaces behind its first line, so that the Hub does not read it" if opening[1] else "begins and does not end"
        raise BrokenError(f"its metadata {ends}")
    return "", "", "", card


def _has_keys(block: str) -> bool:
    try:
        return bool(_parse(block))
    except BrokenError:
        return False


def _parse(block: str) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BrokenError(f"its metadata is not YAML: {str(error).splitlines()[0]}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise BrokenError("its metadata is not a mapping of keys to values")
    return loaded


def _tags(metadata: Mapping[str, Any]) -> list[Any]:
    tags = metadata.get("tags")
    return tags if isinstance(tags, list) else [] if tags is None else [tags]


def _with_tags(block: str, there: Mapping[str, Any], lacking: list[str], newline: str) -> str:
    """The block with `lacking` behind the tags that it has, written as these are."""
    tags = there.get("tags")
    if not tags:
        return _with(block, "tags", lacking, newline)
    try:
        root = yaml.compose(block, yaml.SafeLoader)
    except yaml.YAMLError:  # the additions so far did not fit together with it
        raise BrokenError(_NO_PLACE) from None
    node = next((value for key, value in root.value if key.value == "tags"), None) if root else None
    if not isinstance(node, yaml.SequenceNode):
        raise BrokenError("its tags are no list")
    last = node.value[-1].end_mark.index
    if node.flow_style:
        return block[:last] + "".join(f", {tag}" for tag in lacking) + block[last:]
    indent = " " * node.start_mark.column
    line_end = block.find("\n", last)
    before = block if line_end < 0 else block[: line_end + 1]
    return _ended(before, newline) + "".join(f"{indent}- {tag}{newline}" for tag in lacking) + block[len(before) :]


def _with(block: str, key: str, value: Any, newline: str) -> str:
    """The block with a key that it lacks, or that says nothing there."""
    line = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True).replace("\n", newline)
    mute = re.search(rf"^{re.escape(key)}[ \t]*:[^\r\n#]*?([ \t]+#[^\r\n]*)?\r?\n", block, flags=re.MULTILINE)
    if not mute:
        return _ended(block, newline) + line
    first, end, rest = line.partition(newline)
    return f"{block[: mute.start()]}{first}{mute[1] or ''}{end}{rest}{block[mute.end() :]}"


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline
