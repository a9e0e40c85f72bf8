"""The difference between a repository and the artifacts: files to add, files to delete, and the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from pydantic import ValidationError as InvalidRecord

from converter import hub
from converter.artifacts.record_file import RECORD
from converter.backends import BACKENDS
from converter.core.errors import PushError
from converter.core.records import ArtifactRecord
from converter.publish import card, front_matter
from converter.publish.artifact import Artifact, same_artifact, same_model
from converter.publish.inherited import CARD, LICENSE_DETAILS, LINK, Inherited


@dataclass(frozen=True)
class Changes:
    """Files to add and paths to delete in one commit; empty if nothing changes. `notes` are for the user."""

    additions: tuple[hub.Addition, ...]
    deletions: tuple[str, ...]
    records: tuple[ArtifactRecord, ...]
    notes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.additions or self.deletions)


def changes(
    listing: hub.Listing, artifacts: Sequence[Artifact], beside: Sequence[hub.Addition], inherited: Inherited, *, with_card: bool
) -> Changes:
    """The difference of `listing` from `artifacts` and their `sidecars`. Raises PushError if it would replace another model's."""
    there = {name: record for name in BACKENDS if (record := _record_at(listing, name))}
    after = {artifact.backend: _record_after(artifact, there.get(artifact.backend)) for artifact in artifacts}
    if beside:
        _check_model(listing, artifacts, beside, there)
    wanted = [addition for artifact in artifacts for addition in artifact.additions()]
    wanted += [_text_addition(f"{name}/{RECORD}", record.model_dump_json(indent=2)) for name, record in after.items()]
    wanted += beside
    kept = {str(PurePosixPath(name, file.path)) for name, record in after.items() for file in record.files}
    stale = {str(PurePosixPath(name, file.path)) for name in after if name in there for file in there[name].files} - kept
    records = tuple(record for name in BACKENDS if (record := after.get(name) or there.get(name)))
    notes: list[str] = []
    if with_card:
        paths = {addition.path for addition in wanted}
        wanted += [addition for addition in _card(listing, records, inherited, bool(beside), notes) if addition.path not in paths]
    return Changes(
        additions=tuple(addition for addition in wanted if not _has(listing, addition)),
        deletions=tuple(sorted(stale & listing.files.keys())),
        records=records,
        notes=(*notes, *_replaced(listing, artifacts, there)),
    )


def _record_at(listing: hub.Listing, backend: str) -> ArtifactRecord | None:
    """The record of a validated artifact in a repository; None if there is none that this version can read."""
    text = hub.read_text(listing, f"{backend}/{RECORD}")
    try:
        record = ArtifactRecord.model_validate_json(text) if text else None
    except InvalidRecord:
        return None
    return record if record and record.backend == backend and record.verdict.passed else None


def _record_after(artifact: Artifact, there: ArtifactRecord | None) -> ArtifactRecord:
    """Keep the record of an equal artifact: new measurements differ by a rounding."""
    return there if there and same_artifact(there, artifact.record) else artifact.published


def _check_model(
    listing: hub.Listing, artifacts: Sequence[Artifact], beside: Sequence[hub.Addition], there: Mapping[str, ArtifactRecord]
) -> None:
    """Check that a repository for artifacts has one model only."""
    ours = artifacts[0].record
    other = next((record for record in there.values() if not same_model(record, ours)), None)
    foreign = [addition.path for addition in beside if addition.path in listing.files and not _has(listing, addition)] if not there else []
    if other or foreign:
        what = f"the artifacts of {other.source.repository or other.source.model}" if other else f"a {foreign[0]} of another model"
        raise PushError(f"{listing.repository} holds {what}", "push to a separate repository")


def _card(
    listing: hub.Listing, records: Sequence[ArtifactRecord], inherited: Inherited, own_repository: bool, notes: list[str]
) -> Iterator[hub.Addition]:
    """The card with our section, and the license file if the card links to it; a card that cannot be changed safely stays."""
    text = hub.read_text(listing, CARD)
    try:
        if text is None and CARD in listing.files:
            raise front_matter.BrokenError("it is not UTF-8 text")
        values = card.metadata(records, inherited.metadata, own_repository=own_repository)
        has_license = front_matter.read(text or "").get("license") is not None
        if has_license:
            values = {key: value for key, value in values.items() if key not in LICENSE_DETAILS}
        title = listing.repository.rpartition("/")[2]
        after = card.updated(text, title, card.section(listing.repository, records), values, card.tags(records))
        yield _text_addition(CARD, after)
        link = front_matter.read_as_written(after).get(LINK)
        if inherited.license_file and link == inherited.metadata[LINK] and inherited.license_file.path not in listing.files:
            yield inherited.license_file
        if inherited.note and not has_license:
            notes.append(inherited.note)
    except front_matter.BrokenError as error:
        notes.append(f"the card of {listing.repository} stays unchanged: {error}")


def _replaced(listing: hub.Listing, artifacts: Sequence[Artifact], there: Mapping[str, ArtifactRecord]) -> Iterator[str]:
    """What somebody else has put where ours goes; it stays in the repository's history."""
    for artifact in artifacts:
        paths = [addition.path for addition in artifact.additions() if addition.path in listing.files and not _has(listing, addition)]
        if paths and artifact.backend not in there:
            yield f"{paths[0]} of {listing.repository} was not made by converter and is replaced"


def _has(listing: hub.Listing, addition: hub.Addition) -> bool:
    """Whether the repository has this file, with these contents."""
    there = listing.files.get(addition.path)
    if there is None or not there.digest:
        return False
    if there.digest.startswith("sha256:"):
        return there.digest == f"sha256:{addition.sha256}"
    try:
        size = len(addition.content) if isinstance(addition.content, bytes) else addition.content.stat().st_size
        return size == there.size and hub.digest_of(addition.content, there.digest) == there.digest
    except OSError as error:
        raise PushError(f"{addition.content!s} cannot be read: {error.strerror}", "check its permissions") from error


def _text_addition(path: str, text: str) -> hub.Addition:
    content = text.encode()
    return hub.Addition(path, content, sha256(content).hexdigest())
