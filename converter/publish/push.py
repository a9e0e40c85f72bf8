"""The story of one push: `push`.

artifacts → the repository → the difference → one commit or one pull request

It starts over after a failure of the Hub or a concurrent commit. Each attempt looks at the repository first, so an attempt that
succeeded unnoticed is recognised.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import converter
from converter import hub
from converter.checkpoints.fetch import resolve
from converter.core.errors import CardError, ConverterError, PushError, RevisionError
from converter.core.internal_error import internal_error
from converter.core.records import Allowed, Failure, Position, Pushed, PushStatus, Source
from converter.publish import card
from converter.publish.artifact import Artifact, read_artifact
from converter.publish.diff import Changes, changes
from converter.publish.inherited import Inherited, read_inherited

_LATE = (2.0, 4.0, 6.0)
"""Seconds between looks for a pull request that may have been opened unheard: nothing but its being seen keeps it from being two."""

TITLE = "Add deployable artifacts made by converter"
"""Of the commit and of the pull request, which is known by it: one that is open is added to."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The destination: a repository, by a commit to a branch or by a pull request to main. `private` applies to a new repository."""

    repository: str
    create_pr: bool = False
    branch: str = "main"
    private: bool = False


def push(folders: Sequence[Path], target: Target, position: Position | None = None) -> Pushed:
    """Bring the artifacts in `folders` to the Hub. Whatever goes wrong becomes the outcome; only an interruption is raised."""
    fields = {"repository": target.repository, "artifacts": tuple(map(str, folders)), "position": position}
    try:
        return _push(folders, target).model_copy(update=fields)
    except Exception as error:  # whatever it is, it is this push's outcome and not the end of the others
        plain = error if isinstance(error, ConverterError) else internal_error(error)
        trace = "".join(traceback.format_exception(error))
        failure = Failure(stage="push", kind=type(error).__name__, message=plain.message, hint=plain.hint, traceback=trace)
        return Pushed(status="failed", failure=failure, **fields)


def _push(folders: Sequence[Path], target: Target) -> Pushed:
    artifacts = [read_artifact(folder) for folder in folders]
    origin = _origin(artifacts, target)
    is_source = origin.repository is not None and origin.repository.casefold() == target.repository.casefold()
    _make_place(target, artifacts, origin, is_source)
    beside = [] if is_source else list({addition.path: addition for artifact in artifacts for addition in artifact.sidecars()}.values())
    delivery = _Delivery(target, artifacts, beside, origin.inherited, is_source)
    try:
        return hub.until_done(delivery.attempt, target.repository)
    except CardError as error:
        delivery.card_refused, delivery.tried = f"{error.message}; it stays unchanged", False
        return hub.until_done(delivery.attempt, target.repository)


@dataclass(frozen=True)
class _Origin:
    """The repository that the checkpoint is from, if any: whether it is open to all, and what a new repository gets from its card."""

    repository: str | None = None
    is_restricted: bool = False
    inherited: Inherited = field(default_factory=Inherited)


def _origin(artifacts: Sequence[Artifact], target: Target) -> _Origin:
    source = artifacts[0].record.source
    if any(artifact.record.source.repository != source.repository for artifact in artifacts):
        raise PushError("these artifacts were made from more than one model", "push the artifacts of each model separately")
    if source.repository is None or source.repository.casefold() == target.repository.casefold():
        return _Origin(source.repository)
    listing = hub.look(source.repository, source.commit, PushError)
    return _Origin(listing.repository, listing.visibility in ("private", "gated"), read_inherited(listing))


def _make_place(target: Target, artifacts: Sequence[Artifact], origin: _Origin, is_source: bool) -> None:
    """Create a missing repository and branch. A private or gated one stays so."""
    private = target.private or origin.is_restricted
    if not is_source and not hub.find(target.repository):
        hub.create_repository(target.repository, private=private)
        hub.look(target.repository, None, PushError, is_new=True)
    if private and hub.look(target.repository, None, PushError).visibility == "public":
        why = f"and {origin.repository}, the checkpoint's, is not" if origin.is_restricted else "and --private was given"
        raise PushError(f"{target.repository} is open to all, {why}", "push to a private repository")
    if target.branch != "main":
        commit = artifacts[0].record.source.commit if is_source else None
        hub.create_branch(target.repository, target.branch, commit or "main")
        hub.look(target.repository, target.branch, PushError, is_new=True)


@dataclass(frozen=True)
class _Place:
    """The destination, a branch or an open pull request, and the difference from it."""

    listing: hub.Listing
    request: hub.PullRequest | None
    lacking: Changes


@dataclass
class _Delivery:
    """One commit on its way, through as many attempts as it takes."""

    target: Target
    artifacts: Sequence[Artifact]
    beside: Sequence[hub.Addition]
    inherited: Inherited
    is_source: bool
    card_refused: str = ""
    tried: bool = False
    unheard: bool = False

    def attempt(self) -> Pushed:
        """Look for the files in every place; if they are nowhere, commit the difference."""
        place = self._look()
        for pause in _LATE if self.unheard else ():
            if isinstance(place, _Place):
                hub.pause(pause)
                place = self._look()
        return place if isinstance(place, Pushed) else self._commit(place)

    def _look(self) -> Pushed | _Place:
        chosen: _Place | None = None
        for listing, request in self._places():
            lacking = changes(listing, self.artifacts, self.beside, self.inherited, with_card=not self.card_refused)
            if not lacking:
                return self._there(listing.commit, request, lacking.notes)
            if chosen is None or (chosen.request is None and request and request.waits):
                chosen = _Place(listing, request, lacking)
        assert chosen
        return chosen

    def _places(self) -> Iterator[tuple[hub.Listing, hub.PullRequest | None]]:
        """The branch; then, for a pull request, those that are ours by author and title: which wait, and of the closed ones the latest."""
        listing = hub.look(self.target.repository, self.target.branch, PushError)
        if self.is_source:
            self._check_checkpoint(listing.commit)
        yield listing, None
        if self.target.create_pr:
            ours = [request for request in hub.pull_requests(self.target.repository, hub.account().name) if request.title == TITLE]
            closed = [request for request in ours if request.status == "closed"]
            for request in (*(request for request in ours if request.waits), *closed[:1]):
                with suppress(RevisionError):  # of a closed one, which may be gone
                    yield hub.look(self.target.repository, request.revision, PushError), request

    def _commit(self, place: _Place) -> Pushed:
        request, creates_pr = place.request, self.target.create_pr and place.request is None
        self.tried, self.unheard = True, creates_pr
        made = hub.commit(
            self.target.repository,
            hub.CommitContents(place.lacking.additions, place.lacking.deletions, TITLE, self._text(place.lacking)),
            parent=place.listing.commit,
            revision=request.revision if request else self.target.branch,
            create_pr=creates_pr,
        )
        return self._result("pushed", made.sha, request.number if request else made.pull_request, place.lacking.notes)

    def _there(self, commit: str, request: hub.PullRequest | None, notes: Sequence[str]) -> Pushed:
        """The result of a complete repository, with the commit of an earlier attempt."""
        if request and request.status == "closed":
            notes = (*notes, f"pull request {request.number} had all of it and was closed")
        return self._result("pushed" if self.tried else "unchanged", commit, request.number if request else None, notes)

    def _result(self, status: PushStatus, commit: str, number: int | None, notes: Sequence[str]) -> Pushed:
        repository = self.target.repository
        url = hub.address(repository, f"discussions/{number}" if number else f"commit/{commit}")
        more = (self.card_refused,) if self.card_refused else ()
        return Pushed(
            repository=repository, status=status, artifacts=(), url=url, commit=commit, pull_request=number, notes=(*notes, *more)
        )

    def _check_checkpoint(self, commit: str) -> None:
        """Check that the artifacts for a checkpoint's repository are from its current files, at any commit."""
        sources = {artifact.record.source.contents: artifact.record.source for artifact in self.artifacts}
        for source in (source for source in sources.values() if source.commit != commit):
            allowed = Allowed(pickle=source.pickle, remote_code=source.code)
            there = resolve(Source(name=self.target.repository, revision=commit), allowed)
            if source.contents and there.contents != source.contents:
                raise PushError(
                    f"{self.target.branch} of {self.target.repository} has another checkpoint than {source.identity}",
                    "convert it again, or push to a branch that begins at its commit",
                )

    def _text(self, lacking: Changes) -> str:
        """The description of the commit and the pull request."""
        lines = [
            f"Converted by converter {converter.__version__}, and each validated against its checkpoint.",
            "",
            *card.table([record for record in lacking.records if record.backend in {artifact.backend for artifact in self.artifacts}]),
            *(f"\n{note[:1].upper()}{note[1:]}." for note in lacking.notes),
        ]
        if self.target.create_pr:
            lines += ["", 'To try it before the merge, load it with `revision="refs/pr/N"`, where N is the number of this pull request.']
        return "\n".join(lines)
