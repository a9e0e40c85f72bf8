"""Which artifacts of a batch go together, and when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from converter.core.records import Job, Options, Outcome, Position, Pushed, Source
from converter.publish import batch
from converter.publish.batch import Pushes, PushGroup
from converter.publish.push import Target
from tests.support.samples import failed, outcome, pushed, verdict

BACKENDS = ("onnx", "torchscript", "neuron")


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> Pushes:
    """The pushes of one model to three backends; a double of the push only returns the folders."""

    def push_double(folders: Sequence[Path], target: Target, position: Position | None) -> Pushed:
        return pushed(artifacts=tuple(folder.name for folder in folders), repository=target.repository)

    monkeypatch.setattr(batch, "push", push_double)
    jobs = [Job(source=Source(name="org/a"), backend=name, options=Options(), destination=Path("out", name)) for name in BACKENDS]
    return Pushes([PushGroup(Target(repository="org/a"), jobs)])


def _ended(name: str, status: str) -> Outcome:
    destination = f"out/{name}"
    if status == "failed":
        return failed(destination=destination)
    return outcome(
        destination=destination, status=status, verdict=verdict(unvalidated="nothing runs it" if status == "unvalidated" else "")
    )


@pytest.mark.parametrize(
    ("statuses", "artifacts", "notes"),
    [
        (("converted", "skipped", "converted"), ("onnx", "torchscript", "neuron"), ()),
        (("failed", "converted", "skipped"), ("torchscript", "neuron"), ()),
        (("converted", "failed", "unvalidated"), ("onnx",), ("out/neuron was not validated and is not pushed",)),
    ],
)
def test_a_model_is_pushed_once_when_its_last_job_has_ended(
    pushes: Pushes, statuses: Sequence[str], artifacts: Sequence[str], notes: Sequence[str]
) -> None:
    *first, last = [_ended(name, status) for name, status in zip(BACKENDS, statuses, strict=True)]
    assert [push for ended in first for push in pushes.after(ended)] == []
    (push,) = pushes.after(last)
    assert (push.artifacts, push.notes) == (artifacts, notes)


def test_a_model_of_which_nothing_was_converted_is_not_pushed(pushes: Pushes) -> None:
    assert [push for name in BACKENDS for push in pushes.after(_ended(name, "failed"))] == []


def test_what_was_never_validated_is_offered_to_be_refused(pushes: Pushes) -> None:
    *_, (push,) = [
        list(pushes.after(_ended(name, status))) for name, status in zip(BACKENDS, ("failed", "failed", "unvalidated"), strict=True)
    ]
    assert push.artifacts == ("neuron",)


def test_the_outcome_of_another_model_ends_nothing(pushes: Pushes) -> None:
    assert list(pushes.after(outcome(destination="elsewhere"))) == []
