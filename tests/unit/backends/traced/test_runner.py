"""Messages arrive whole or not at all; an archive's numbers are read from its code, and what runs change of it is seen."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

from converter.backends.traced import runner

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:torch.tensor results are registered")


def test_a_message_arrives_as_it_was_sent() -> None:
    stream = io.BytesIO()
    base = torch.arange(6, dtype=torch.int64).reshape(2, 3)
    tensors = {
        "tokens": base,
        "view": base.T,
        "half": torch.ones(2, dtype=torch.float16),
        "none": torch.empty(0, 4),
        "flag": torch.tensor(True),
    }
    runner.send(stream, {"do": "run", "text": "é"}, tensors)
    runner.send(stream, {"name": None})
    stream.seek(0)
    said, results = runner.receive(stream)
    assert said == {"do": "run", "text": "é"}
    assert {name: (value.dtype, value.shape) for name, value in results.items()} == {
        name: (value.dtype, value.shape) for name, value in tensors.items()
    }
    assert all(torch.equal(results[name], value) for name, value in tensors.items())
    assert runner.receive(stream) == ({"name": None}, {})
    with pytest.raises(EOFError):
        runner.receive(stream)


@pytest.mark.parametrize("kept", [0, 3, 8, 12, 40])
def test_a_message_that_is_cut_short_is_the_end(kept: int) -> None:
    stream = io.BytesIO()
    runner.send(stream, {"do": "run"}, {"tokens": torch.arange(9)})
    with pytest.raises(EOFError):
        runner.receive(io.BytesIO(stream.getvalue()[:kept]))


class Comparing(torch.nn.Module):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.where(ids == 77, torch.tensor(78), ids)


class Listing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("large", torch.arange(200, 300))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.isin(ids, torch.tensor([77, 78])) * ids + self.large[:1]


class Branching(torch.nn.Module):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if bool((ids == 77).any()):
            return ids + 78
        return ids


class Floating(torch.nn.Module):
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.where(ids.float() == 77.0, 78.0, ids.float() * 0.5 + float("inf"))


@pytest.mark.parametrize(("module", "is_traced"), [(Comparing(), True), (Comparing(), False), (Listing(), True), (Branching(), False)])
def test_the_tokens_that_code_compares_with_are_found(module: torch.nn.Module, is_traced: bool) -> None:
    archive = torch.jit.trace(module, torch.arange(100)) if is_traced else torch.jit.script(module)
    assert {77, 78} <= runner.integers_of(archive)
    assert 250 not in runner.integers_of(archive)


def test_tokens_compared_as_floats_are_found_and_what_is_no_whole_number_is_not() -> None:
    numbers = runner.integers_of(torch.jit.trace(Floating(), torch.arange(100)))
    assert {77, 78} <= numbers and all(isinstance(number, int) for number in numbers)


def test_code_that_looks_tokens_up_names_few_numbers() -> None:
    embedding = torch.jit.trace(torch.nn.Embedding(100, 4), torch.arange(5))
    assert runner.integers_of(embedding) <= {-1, 0, 1}


class Counting(torch.nn.Module):
    """A counter that is not a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int = 0

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        self.count += 1
        return (values * self.count,)


class Replacing(torch.nn.Module):
    """A tensor that another takes the place of."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(2)

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        self.last = self.last + 1
        return (values + self.last[0],)


class Overwriting(torch.nn.Module):
    """A buffer that is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        self.seen.add_(1)
        return (values + self.seen[0],)


class WithNan(Overwriting):
    """A buffer with NaN that does not change."""

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        return (values + self.seen[0],)


def changed_by_two_runs(archive: Any) -> list[str]:
    state = runner._State(archive)
    for _ in range(2):
        _, tensors = runner._run(archive, ["values"], {"values": torch.ones(2)})
        assert tensors
    return state.changed()


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (lambda: torch.jit.script(Counting()), ["count"]),
        (lambda: torch.jit.script(Replacing()), ["last"]),
        (lambda: torch.jit.script(Overwriting()), ["seen"]),
        (lambda: torch.jit.trace(Overwriting(), torch.ones(2), check_trace=False), ["seen"]),
    ],
)
def test_what_runs_change_is_named(made: Callable[[], Any], names: list[str]) -> None:
    assert changed_by_two_runs(made()) == names


def test_what_stays_as_it_is_is_not_named_even_if_it_is_no_number() -> None:
    module = WithNan()
    module.seen[1] = float("nan")
    assert changed_by_two_runs(torch.jit.script(module)) == []
    assert changed_by_two_runs(torch.jit.trace(torch.nn.Sequential(torch.nn.Linear(2, 2), Tuple()), torch.ones(2))) == []


class Tuple(torch.nn.Module):
    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        return (values,)


def test_an_attribute_that_one_branch_alone_would_set_is_named() -> None:
    class Seldom(Counting):
        def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
            if float(values.sum()) > 1e9:
                self.count += 1
            return (values * (1 + self.count),)

    assert changed_by_two_runs(torch.jit.script(Seldom())) == ["count"]
