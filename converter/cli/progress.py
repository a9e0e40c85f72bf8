"""Progress of a batch: a live display on a terminal, plain lines in a pipe, events for programs, nothing with `--quiet`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from converter.artifacts.job_log import about
from converter.cli import actions
from converter.cli.console import console, on_terminal, outcome_line, push_line, results_on_terminal
from converter.core.records import Event, Job, Outcome, Pushed


class PlainProgress:
    """Prints a line when a job enters a stage, and for each note."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._names = [f"[{number}/{len(jobs)}] {job.source} → {job.backend}" for number, job in enumerate(jobs, 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def observe(self, index: int, event: Event) -> None:
        """React to an event of a job."""
        if event.event == "stage-began" and event.stage:
            self.stage(index, event.stage)
        elif event.event == "waiting":
            console.say_aside(f"{self._names[index]}: waiting for another run that makes it")
        elif event.event == "retry":
            console.say_aside(f"{self._names[index]}: {event.message}; retry {event.attempt} in {event.seconds:.0f} s")
        elif event.event in ("warning", "note") and event.message:
            console.say_aside(event.message)

    def stage(self, index: int, name: str) -> None:
        """A job entered a stage."""
        console.say_aside(f"{self._names[index]}: {name}")

    def done(self, outcome: Outcome) -> None:
        """A job ended."""
        console.say(outcome_line(outcome))
        for note in outcome.notes:
            console.say_aside(f"  note: {note}")

    def pushed(self, pushed: Pushed) -> None:
        """A push ended."""
        console.say(push_line(pushed))


class EventProgress(PlainProgress):
    """Prints each event as a line of JSON; results go to standard output."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(jobs)
        self._jobs = jobs
        console.event(Event(event="batch-began", message=f"{len(jobs)} to do"))

    def observe(self, index: int, event: Event) -> None:
        console.event(about(self._jobs[index], event))

    def done(self, outcome: Outcome) -> None:
        event = Event.of_outcome(outcome)
        position = str(outcome.position) if outcome.position else None
        named = {"model": outcome.model, "backend": outcome.backend, "position": position}
        console.event(event.model_copy(update=named))
        for note in outcome.notes:
            console.event(Event(event="note", message=note).model_copy(update=named))
        console.say(outcome_line(outcome))

    def pushed(self, pushed: Pushed) -> None:
        failure = pushed.failure
        console.event(
            Event(
                event="pushed",
                model=pushed.repository,
                position=str(pushed.position) if pushed.position else None,
                status=pushed.status,
                message=failure.message if failure else pushed.url or None,
                hint=failure.hint or None if failure else None,
            )
        )
        super().pushed(pushed)


class GroupedProgress(PlainProgress):
    """The same lines in the log of GitHub Actions, folded by job unless another job's line comes between."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(jobs)
        self._open: int | None = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            actions.end_group()
            self._open = None

    def stage(self, index: int, name: str) -> None:
        if index != self._open:
            self._close()
            actions.group(self._names[index])
            self._open = index
        super().stage(index, name)

    def done(self, outcome: Outcome) -> None:
        self._close()
        super().done(outcome)


class LiveProgress(PlainProgress):
    """A bar for the batch, and a row for each running job with its stage and time."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(jobs)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=results_on_terminal(),  # a file or a pipe gets the results themselves
        )
        self._batch = self._progress.add_task("batch", total=len(jobs))
        self._rows: dict[int, TaskID] = {}
        self._indices = {(str(job.source), job.backend, str(job.destination)): index for index, job in enumerate(jobs)}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def stage(self, index: int, name: str) -> None:
        if index not in self._rows:
            self._rows[index] = self._progress.add_task(self._names[index], total=len(_STAGES))
        completed = _STAGES.index(name) if name in _STAGES else 0
        self._progress.update(self._rows[index], description=f"{self._names[index]}: {name}", completed=completed)

    def done(self, outcome: Outcome) -> None:
        row = self._rows.pop(self._indices[outcome.model, outcome.backend, outcome.destination], None)
        if row is not None:
            self._progress.remove_task(row)
        self._progress.advance(self._batch)
        super().done(outcome)


_STAGES = ("resolve", "fetch", "convert", "validate", "record")


def progress(jobs: Sequence[Job]) -> PlainProgress:
    """The display that fits standard error."""
    if console.logs_json:
        return EventProgress(jobs)
    if console.quiet:
        return PlainProgress(jobs)
    if actions.active():
        return GroupedProgress(jobs)
    return LiveProgress(jobs) if on_terminal() else PlainProgress(jobs)
