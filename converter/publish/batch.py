"""The pushes of a batch: each model's goes as soon as its jobs have ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from converter.core.errors import AccessError, ManifestError, PushError, UsageError
from converter.core.records import Job, Outcome, Position, Pushed
from converter.publish.permissions import check_account, check_source, check_target
from converter.publish.push import Target, push

Way = Literal["pr", "commit", "repo"]
WAYS: tuple[Way, ...] = get_args(Way)
DEFAULT_NAME = "{name}-ONNX"


@dataclass
class PushGroup:
    """The artifacts of one model, and their destination."""

    target: Target
    jobs: list[Job]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def position(self) -> Position | None:
        return self.jobs[0].position


@dataclass
class Pushes:
    """The pushes of a batch that are still to come."""

    groups: Sequence[PushGroup] = ()

    @cached_property
    def by_destination(self) -> Mapping[str, PushGroup]:
        """The parcel of each artifact, by the artifact's folder; no two jobs of a batch have one and the same."""
        return {str(job.destination): group for group in self.groups for job in group.jobs}

    def after(self, outcome: Outcome) -> Iterator[Pushed]:
        """Push the artifacts of a model after its last outcome."""
        group = self.by_destination.get(outcome.destination)
        if group:
            group.outcomes.append(outcome)
            if len(group.outcomes) == len(group.jobs):
                yield from _push(group)


def _push(group: PushGroup) -> Iterator[Pushed]:
    """Push the validated artifacts of a group; report the others, as a failure if there is nothing to push."""
    made = [outcome for outcome in group.outcomes if outcome.artifact]
    left = [outcome for outcome in made if outcome.status == "unvalidated"]
    if made and not any(outcome.status == "cancelled" for outcome in group.outcomes):
        folders = [Path(outcome.destination) for outcome in made if outcome not in left or len(left) == len(made)]
        pushed = push(folders, group.target, group.position)
        notes = [f"{outcome.destination} was not validated and is not pushed" for outcome in left if not pushed.failure]
        yield pushed.model_copy(update={"notes": (*pushed.notes, *notes)})


def plan(jobs: Sequence[Job], way: Way, name: str, *, private: bool) -> Pushes:
    """The destinations of each job's artifacts. Nothing is written yet, and all problems are collected.

    `name` is the pattern of a new repository's name. Raises ManifestError with every entry that cannot be pushed, UsageError without a
    token, PushError if the Hub does not answer.
    """
    check_name(name)
    problems: list[tuple[Position, str]] = []
    groups: dict[str, PushGroup] = {}
    try:
        account = check_account()
    except AccessError as error:
        raise UsageError(f"{error.message}; nothing was started", error.hint) from None
    for job in jobs:
        assert job.position
        try:
            target = _target(job, way, name, private=private)
        except ValueError as error:
            problems.append((job.position, str(error)))
            continue
        group = groups.setdefault(target.repository.casefold(), PushGroup(target, []))
        clash = _clash(group, job)
        if clash:
            problems.append((job.position, clash))
        group.jobs.append(job)
    for group in groups.values():
        try:
            group.target = check_target(group.target, account) if way == "repo" else check_source(group.target)
        except (AccessError, UsageError) as error:
            assert group.position
            problems.append((group.position, f"{error.message}; {error.hint}"))
        except PushError:  # a checkpoint that is missing, gated or not answered is its job's to tell, and no hindrance to the others
            if way == "repo":
                raise
    if problems:
        raise ManifestError(sorted(dict.fromkeys(problems), key=lambda problem: (problem[0].line, problem[0].column)))
    return Pushes(list(groups.values()))


def check_name(pattern: str) -> None:
    """Raise UsageError for a pattern of names that is none."""
    try:
        made = [pattern.format(name=name, owner="o") for name in "ab"]
    except (KeyError, IndexError, ValueError, AttributeError):
        made = ["", ""]
    if made[0] == made[1]:
        raise UsageError(f"{pattern!r} is not a pattern of names", "write {name} for the model's name, and {owner} for its owner's")


def _target(job: Job, way: Way, name: str, *, private: bool) -> Target:
    """Raises ValueError, in a sentence, for a source that this way does not lead from."""
    if way == "repo":
        owner, _, own = job.source.name.rpartition("/") if job.source.folder is None else ("", "", job.source.folder.resolve().name)
        return Target(repository=name.format(name=own, owner=owner), private=private)
    if job.source.folder is not None:
        raise ValueError(f"{job.source} is a folder and has no repository to push to; give --push repo, or take this line out")
    return Target(repository=job.source.name, create_pr=way == "pr")


def _clash(group: PushGroup, job: Job) -> str:
    """The reason why a job's artifact cannot join the others of its group; empty if it can."""
    assert job.position
    for other in group.jobs:
        assert other.position
        if other.position != job.position and (other.source != job.source or other.backend == job.backend):
            return f"its {job.backend} artifact would go to {group.target.repository}, where line {other.position.line} has its own"
    return ""
