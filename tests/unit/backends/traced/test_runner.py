"""Messages between the two processes arrive whole or not at all."""

from __future__ import annotations

import io

import pytest
import torch

from converter.backends.traced import runner


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
    said, found = runner.receive(stream)
    assert said == {"do": "run", "text": "é"}
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        name: (each.dtype, each.shape) for name, each in tensors.items()
    }
    assert all(torch.equal(found[name], each) for name, each in tensors.items())
    assert runner.receive(stream) == ({"name": None}, {})
    with pytest.raises(EOFError):
        runner.receive(stream)


@pytest.mark.parametrize("kept", [0, 3, 8, 12, 40])
def test_a_message_that_is_cut_short_is_the_end(kept: int) -> None:
    stream = io.BytesIO()
    runner.send(stream, {"do": "run"}, {"tokens": torch.arange(9)})
    with pytest.raises(EOFError):
        runner.receive(io.BytesIO(stream.getvalue()[:kept]))
