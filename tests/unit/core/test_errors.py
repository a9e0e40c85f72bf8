"""A message is one line on a terminal, whoever wrote its words."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from converter.core.errors import ConverterError
from converter.core.text import printable


@given(st.text(st.characters()))
def test_nothing_that_is_told_controls_a_terminal_or_turns_its_writing(text: str) -> None:
    error = ConverterError(text, text)
    for message in (error.message, error.hint, str(error), printable(text)):
        assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in message)
        assert not any(
            unicodedata.bidirectional(sign) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for sign in message
        )
        message.encode()
