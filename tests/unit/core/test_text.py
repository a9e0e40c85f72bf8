"""Text of others is safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.text import brief, printable


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"))))
def test_words_of_any_language_are_told_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(("text", "output"), [("a\x1b[2J", r"a\x1b[2J"), ("a\nb", r"a\nb"), ("\u202eb", r"\u202eb"), ("\ud800", r"\ud800")])
def test_what_is_not_shown_is_told_as_python_escapes_it(text: str, output: str) -> None:
    assert printable(text) == output


def test_of_a_long_word_the_beginning_is_told() -> None:
    assert brief("a" * 10**6) == "a" * 100 + "…"
    assert brief("short") == "short"
