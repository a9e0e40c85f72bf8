"""The model card: our marked section and its metadata. Everything else stays, character by character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from converter.backends import BACKENDS, Backend
from converter.checkpoints.source import is_hub_id, is_revision
from converter.core.records import ArtifactRecord
from converter.publish import front_matter
from converter.publish.front_matter import BrokenError
from converter.report.figures import bytes_for_people
from converter.report.markdown import cell, variant_table

BEGIN, END = "<!-- converter: begin -->", "<!-- converter: end -->"

INHERITED = ("license", "license_name", "license_link", "language", "pipeline_tag")
"""The metadata of a checkpoint's card that a new repository's card gets."""


def metadata(records: Iterable[ArtifactRecord], inherited: Mapping[str, Any], *, own_repository: bool) -> dict[str, Any]:
    """The metadata that a card should have; `own_repository` says that the checkpoint is in another one, or in none."""
    records = tuple(records)
    if not own_repository:
        return {"library_name": "transformers"}
    bases = [record.source.repository for record in records if record.source.repository]
    libraries = [BACKENDS[record.backend].card.library for record in records]
    return {
        "library_name": next(iter(libraries)),
        **({"base_model": bases[0]} if bases else {}),
        **{key: inherited[key] for key in INHERITED if inherited.get(key) is not None},
    }


def tags(records: Iterable[ArtifactRecord]) -> list[str]:
    """The tags that a card should have."""
    return [record.backend for record in records]


def updated(card: str | None, title: str, section: str, values: Mapping[str, Any], tag_names: Iterable[str]) -> str:
    """The card with `section` between its marks, and missing metadata; a new card if there is none.

    Raises BrokenError for a card that cannot be changed safely.
    """
    text = card if card is not None and card.strip() else f"# {title}\n"
    newline = front_matter.newline_of(text)
    ours = section.replace("\n", newline)
    marks = text.count(BEGIN), text.count(END)
    if marks == (0, 0):
        gap = "" if text.endswith(newline * 2) else newline if text.endswith("\n") else newline * 2
        text = f"{text}{gap}{ours}{newline}"
    elif marks == (1, 1) and text.index(BEGIN) < text.index(END):
        text = f"{text[: text.index(BEGIN)]}{ours}{text[text.index(END) + len(END) :]}"
    else:
        raise BrokenError("the marks of our section in it are not one pair")
    return front_matter.add(text, values, tag_names)


def section(repository: str, records: Sequence[ArtifactRecord]) -> str:
    """Our section for these artifacts of a repository, with its marks."""
    return "\n".join([BEGIN, *_section(repository, records), END])


def table(records: Iterable[ArtifactRecord]) -> Iterator[str]:
    """The source of each artifact and its figures."""
    yield "| file | feature | converted from | size | largest error | same top-1 | made with |"
    yield "|---|---|---|---:|---:|---:|---|"
    for record in records:
        verdict = record.verdict
        top1 = "" if verdict.top1_agreement is None or not verdict.has_base_variant else f"{verdict.top1_agreement:.1%}"
        cells = (
            f"`{_main_file(record)}`",
            cell(str(record.options.get("feature", ""))),
            _origin(record),
            bytes_for_people(record.size),
            f"{verdict.max_abs_error:.1e} (atol {verdict.atol:g})"
            if verdict.max_abs_error is not None and verdict.has_base_variant
            else "",
            top1,
            cell(", ".join(f"{name} {version}" for name, version in record.versions.items())),
        )
        yield f"| {' | '.join(cells)} |"


def _section(repository: str, records: Sequence[ArtifactRecord]) -> Iterator[str]:
    yield "## Deployable artifacts"
    yield ""
    yield "Each was converted from the checkpoint, run, and held against it at several shapes. Its `converter.json` has every figure."
    yield ""
    yield from table(records)
    for record in records:
        if record.verdict.variants:
            yield from ("", f"The precisions of `{record.backend}/`, each measured against the checkpoint:", "")
            yield from variant_table(record.verdict.variants)
    for record in records:
        backend = BACKENDS[record.backend]
        yield ""
        yield f"To load `{_main_file(record)}`:"
        yield ""
        yield "```python"
        yield from _loading(backend, record, repository)
        yield "```"


def _loading(backend: Backend, record: ArtifactRecord, repository: str) -> Iterator[str]:
    """Python that loads an artifact, a session for each of its files."""
    files = backend.files.layout_of({file.path for file in record.files}) or (backend.files.main,)
    for line in backend.card.usage.replace("REPOSITORY", repository).strip().splitlines():
        if "FILE" not in line:
            yield line
            continue
        for file in files:
            yield line.replace("FILE", file).replace("session", "session" if len(files) == 1 else file.partition("_")[0])


def _main_file(record: ArtifactRecord) -> str:
    """The main file of an artifact, by its path in the repository."""
    files = BACKENDS[record.backend].files
    return f"{record.backend}/{files.main_of({file.path for file in record.files}) or files.main}"


def _origin(record: ArtifactRecord) -> str:
    source = record.source
    if (
        source.commit and source.repository and is_hub_id(source.repository) and is_revision(source.commit)
    ):  # a record may come from anywhere
        return f"[{cell(source.repository)}@{source.commit[:12]}](/{source.repository}/tree/{source.commit})"
    return f"{cell(source.model)}, {source.identity[:19]}"
