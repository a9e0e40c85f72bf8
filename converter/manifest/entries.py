"""From words to entries: every problem is recorded with its place, and an entry without problems becomes an Entry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from converter.backends import BACKENDS, unknown_backend
from converter.checkpoints.source import parse_source
from converter.core.records import HIDDEN, USERS_FILES, Entry, Options, Source
from converter.core.text import brief, printable
from converter.manifest.tokens import LONGEST, Problem, RawEntry, Token

DEFAULT_BACKENDS = ("onnx",)

_DEEPEST = 16
"""Folders that an entry's own may lie in, below the output folder; a Hub id has one."""


class EntrySettings(BaseModel):
    """The settings of an entry for every backend."""

    model_config = ConfigDict(extra="forbid")

    to: list[str] = Field([*DEFAULT_BACKENDS], min_length=1, description=f"Formats: {', '.join(BACKENDS)}.")
    output: str | None = Field(
        None,
        min_length=1,
        description="Folder of the artifacts, inside the output folder (default: the Hub id, or a local folder's name).",
    )


def check_entry(raw: RawEntry, base: Path, problems: list[Problem], default_backends: Sequence[str] = DEFAULT_BACKENDS) -> Entry | None:
    """The entry from `raw`, or None with recorded problems; it goes to `default_backends` if it names none."""
    before = len(problems)
    problems += _too_long(raw)
    if len(problems) > before:
        return None
    try:
        source = parse_source(raw.model.text, base)
    except ValueError as error:
        problems.append((raw.model.position, str(error)))
        source = None
    to = raw.settings.get("to")
    backends = tuple(dict.fromkeys(name.strip() for name in to.text.split(","))) if to else tuple(default_backends)
    place = (to or raw.model).position
    problems += [(place, unknown_backend(name)) for name in backends if name not in BACKENDS]
    known = [name for name in backends if name in BACKENDS]
    options = {name: _options(name, raw, base, problems) for name in known}
    _check_keys(raw, known, problems)
    output = _output(raw, source, problems) if source else None
    if source is None or output is None or len(problems) > before:
        return None
    checked = {name: value for name, value in options.items() if value is not None}
    return Entry(source=source, backends=checked, output=output, position=raw.model.position)


def _too_long(raw: RawEntry) -> Iterator[Problem]:
    """Words that cannot be a name; keeps the work on the others short."""
    words = (raw.model, *raw.settings.values(), *(Token(key, token.position) for key, token in raw.settings.items()))
    yield from ((word.position, f"{brief(word.text)!r} has more than {LONGEST} characters") for word in words if len(word.text) > LONGEST)


def _options(backend: str, raw: RawEntry, base: Path, problems: list[Problem]) -> Options | None:
    """The options of one backend out of an entry's settings."""
    fields = BACKENDS[backend].options.model_fields
    tokens = {key.replace("-", "_"): token for key, token in raw.settings.items() if "_" not in key}
    try:
        chosen = {name: token.text for name, token in tokens.items() if name in fields}
        options = BACKENDS[backend].options.model_validate(chosen)
    except pydantic.ValidationError as error:
        of_precision = [name for name in ("precision", *BACKENDS[backend].options.aliases) if name in tokens]
        for detail in error.errors():
            name = str((*detail["loc"], *of_precision)[0])
            if name not in tokens:
                problems.append((raw.model.position, f"{backend} needs {name.replace('_', '-')}="))
                continue
            problems.append(
                (tokens[name].position, f"{name.replace('_', '-')}={brief(tokens[name].text)}: {_lower(brief(detail['msg'], LONGEST))}")
            )
        return None
    # relative to the manifest, like every path in it; a metric may be a module instead
    paths = {name: value for name in USERS_FILES if (value := getattr(options, name, None)) and (name != "evaluate" or ".py:" in value)}
    return options.model_copy(update={name: str(base / value) for name, value in paths.items()})


def _check_keys(raw: RawEntry, backends: list[str], problems: list[Problem]) -> None:
    fields = {name.replace("_", "-"): field for backend in backends for name, field in BACKENDS[backend].options.model_fields.items()}
    shown = [*EntrySettings.model_fields, *sorted(name for name, field in fields.items() if field.json_schema_extra != HIDDEN)]
    for key, token in raw.settings.items():
        if key not in EntrySettings.model_fields and key not in fields and backends:
            problems.append((token.position, f"{brief(key)!r} is not an option of {', '.join(backends)}; known: {', '.join(shown)}"))


def _output(raw: RawEntry, source: Source, problems: list[Problem]) -> str | None:
    """The entry's folder inside the output folder. It may not leave it, nor be a file of ours."""
    token = raw.settings.get("output")
    # a link goes by its own name, so it is not resolved
    default = Path(os.path.normpath(source.folder.absolute())).name if source.folder else source.name
    path = PurePosixPath(token.text if token else default)
    reserved = {"report.json", "report.md", "report.html"}
    if (
        path.is_absolute()
        or not 0 < len(path.parts) <= _DEEPEST
        or any(part.startswith(".") for part in path.parts)
        or printable(str(path)) != str(path)
        or path.parts[0] in reserved
    ):
        problems.append(((token or raw.model).position, f"{brief(str(path))!r} cannot be a folder inside the output folder; set output="))
        return None
    return str(path)


def meetings(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Entries that would meet in one place: one backend's artifact, the files of two models, or one inside another's artifact."""
    places: dict[str, Entry] = {}
    owners: dict[str, Entry] = {}
    for entry in entries:
        owner = owners.setdefault(entry.output.casefold(), entry)
        if owner.source != entry.source and owner.backends.keys().isdisjoint(entry.backends):
            yield (
                entry.position,
                f"{brief(entry.output)!r} belongs to another model, of line {owner.position.line}; set output=",
            )
        for backend in entry.backends:
            place = f"{entry.output}/{backend}"
            other = places.setdefault(place.casefold(), entry)
            if other is not entry:
                yield (
                    entry.position,
                    f"its {backend} artifact would go to {brief(place)!r}, where line {other.position.line} has its own; set output=",
                )
    for entry in entries:
        parents = [str(parent).casefold() for parent in (PurePosixPath(entry.output), *PurePosixPath(entry.output).parents)]
        for parent in parents:
            if parent in places and places[parent] is not entry:
                yield (
                    entry.position,
                    f"{brief(entry.output)!r} lies inside the artifact of line {places[parent].position.line}; set output=",
                )


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
