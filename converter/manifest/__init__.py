"""Manifests: `models.txt` for people, `models.yaml` for machines. Both become the same tokens, and these become entries.

All problems are found before anything is started, each with its file, line and column.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from converter.core.errors import ManifestError, UsageError
from converter.core.files import read_at_most
from converter.core.records import Entry, Position
from converter.manifest.entries import DEFAULT_BACKENDS, check_entry, meetings
from converter.manifest.text import read_text
from converter.manifest.tokens import MOST_PROBLEMS, Problem
from converter.manifest.yaml_file import read_yaml

__all__ = ["DEFAULT_BACKENDS", "MAX_BYTES", "read_manifest"]

MAX_BYTES = 16 * 2**20
"""A manifest of 100,000 lines has 10 MB; a larger file is refused."""
MAX_ENTRIES = 100_000
"""What such a manifest has. Each takes some kilobytes until all is converted."""


def read_manifest(path: Path, default_backends: Sequence[str] = DEFAULT_BACKENDS) -> tuple[Entry, ...]:
    """Read a manifest; a path in it is relative to the manifest's folder, and an entry without `to` goes to `default_backends`.

    Raises ManifestError with every problem, UsageError for a file that cannot be read.
    """
    text = _read(path)
    problems: list[Problem] = []
    read = read_yaml if path.suffix in (".yaml", ".yml") else read_text
    entries: list[Entry] = []
    for raw in read(str(path), text, problems):
        if entry := check_entry(raw, path.parent, problems, default_backends):
            entries.append(entry)
        if len(entries) > MAX_ENTRIES:
            problems.append((entries[-1].position, f"a manifest has at most {MAX_ENTRIES:,} models; divide this one"))
            break
        if len(problems) >= MOST_PROBLEMS:
            break
    problems += islice(meetings(entries), MOST_PROBLEMS)
    if len(problems) >= MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [(problems[-1][0], "there are more problems; is this a manifest?")]
    if not entries and not problems:
        problems.append((Position(file=str(path), line=1), "this manifest names no model"))
    if problems:
        unique = dict.fromkeys(problems)  # a problem in the defaults, or for two backends, comes up more than once
        raise ManifestError(sorted(unique, key=lambda problem: (problem[0].line, problem[0].column)))
    return tuple(entries)


def _read(path: Path) -> str:
    """The text of a manifest. Raises UsageError, or ManifestError for one that is not UTF-8."""
    try:
        data = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"the manifest {path} cannot be read: {error.strerror}", "check --manifest") from error
    if encoding := _wide_encoding(data):
        raise ManifestError([(Position(file=str(path), line=1), f"this file is {encoding} text; save it as UTF-8")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError([(Position(file=str(path), line=line), "this line is not UTF-8 text")]) from error


def _wide_encoding(data: bytes) -> str:
    """The name of an encoding of two or four bytes a character, as Windows PowerShell writes it; empty for others."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    return "UTF-16" if len(data) > 1 and data[:2].count(0) == 1 else ""  # without a mark, and its first character is ASCII
