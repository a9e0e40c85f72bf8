"""`models.txt`, for people: a checkpoint a line, its settings behind it, comments from # on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from converter.core.records import Position
from converter.core.text import brief
from converter.manifest.tokens import MOST_PROBLEMS, Problem, RawEntry, Token

_WORD = re.compile(r'(?:[^\s"]++|"[^"]*+")++')  # possessive, as it keeps no place to go back to for each character


def read_text(file: str, text: str, problems: list[Problem]) -> Iterator[RawEntry]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(problems) >= MOST_PROBLEMS:
            return
        words = list(_words(file, number, line, problems))
        if words:
            yield RawEntry(words[0], _pairs(words[1:], problems))


def _words(file: str, number: int, line: str, problems: list[Problem]) -> Iterator[Token]:
    position = 0
    while position < len(line):
        if line[position].isspace():
            position += 1
            continue
        if line[position] == "#":
            return
        here = Position(file=file, line=number, column=position + 1)
        match = _WORD.match(line, position)
        end = match.end() if match else position
        if end < len(line) and line[end] == '"':
            problems.append((here, "a quotation mark is opened and not closed"))
            return
        yield Token(line[position:end].replace('"', ""), here)
        position = end


def _pairs(words: list[Token], problems: list[Problem]) -> dict[str, Token]:
    settings: dict[str, Token] = {}
    for word in words:
        key, equals, value = word.text.partition("=")
        if not equals:
            problems.append((word.position, f"{brief(word.text)!r} is not of the form key=value"))
        elif key in settings:
            problems.append((word.position, f"{brief(key)!r} is set twice"))
        else:
            settings[key] = Token(value, word.position)
    return settings
