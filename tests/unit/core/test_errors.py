"""A message is one line on a terminal, whoever wrote its words."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.errors import ConverterError
from converter.core.text import brief, printable


@given(st.text(st.characters()))
def test_nothing_that_is_told_controls_a_terminal_or_turns_its_writing(text: str) -> None:
    error = ConverterError(text, text)
    for message in (error.message, error.hint, str(error), printable(text)):
        assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in message)
        assert not any(
            unicodedata.bidirectional(sign) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for sign in message
        )
        message.encode()


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"))))
def test_words_of_any_language_are_told_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(("text", "output"), [("a\x1b[2J", r"a\x1b[2J"), ("a\nb", r"a\nb"), ("\u202eb", r"\u202eb"), ("\ud800", r"\ud800")])
def test_what_is_not_shown_is_told_as_python_escapes_it(text: str, output: str) -> None:
    assert printable(text) == output


def test_of_a_long_word_the_beginning_is_told() -> None:
    assert brief("a" * 10**6) == "a" * 100 + "…"
    assert brief("short") == "short"
