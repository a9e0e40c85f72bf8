"""Text of others made safe to print."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Control characters command a terminal; direction marks hide text (https://trojansource.codes); surrogates cannot be encoded."""


def printable(text: str) -> str:
    """Text on one line that a terminal shows and does not obey, whoever wrote it; what else is in it is shown as Python escapes it."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def brief(text: str, longest: int = 100) -> str:
    """The beginning of a text of somebody else's, as much of it as belongs in a sentence."""
    return printable(text if len(text) <= longest else f"{text[:longest]}…")
