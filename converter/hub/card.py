"""The place of the metadata in a model card, as the Hub reads it."""

from __future__ import annotations


def metadata_span(card: str) -> tuple[int, int, int] | None:
    """The start and end of the metadata's lines, and the end of the closing line; None if the Hub reads no metadata."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK  # the Hub's own rule, which allows spaces and blank lines before it

    mark = len(card) - len(card.removeprefix("\ufeff"))
    match = REGEX_YAML_BLOCK.match(card[mark:])
    if not match:
        return None
    end = match.start(3) + len(match[3]) - len(match[3].lstrip("\r\n"))
    return mark + match.start(2), mark + end, mark + match.end()
