"""A checkpoint without usable outputs is reported by output and case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch

from converter.architectures import OnnxConfig, find_architecture
from converter.checkpoints.loading import LoadedModel, load_model
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.reference import Reference
from converter.validation.validate import reference_problems


@pytest.fixture
def model(tiny: Callable[..., Path]) -> tuple[LoadedModel, OnnxConfig, Inputs]:
    loaded = load_model(tiny("bert", "AutoModelForQuestionAnswering"), "AutoModelForQuestionAnswering", "float32")
    config = find_architecture("bert").configure(loaded.config, "question-answering")
    return loaded, config, next(InputGenerator(config, "float32", None, np.random.default_rng(0), ()).grid())


def plant(model: LoadedModel, change: Callable[[Any], None]) -> None:
    """Have the model change its results after each forward."""
    forward = type(model.module).forward

    def planted(self: Any, *arguments: Any, **others: Any) -> Any:
        output = forward(self, *arguments, **others)
        change(output)
        return output

    model.module.forward = MethodType(planted, model.module)


def problems(loaded: LoadedModel, config: OnnxConfig, case: Inputs) -> list[str]:
    reference = Reference(loaded, tuple(config.outputs))
    return [*reference_problems(reference, case, reference.run(case.arrays))]


def test_a_checkpoint_that_is_the_same_each_time_is_no_problem(model: tuple[LoadedModel, OnnxConfig, Inputs]) -> None:
    loaded, config, case = model
    assert problems(loaded, config, case) == []


def test_the_output_that_moves_is_named(model: tuple[LoadedModel, OnnxConfig, Inputs]) -> None:
    loaded, config, case = model

    def noisy(output: Any) -> None:
        output.end_logits = output.end_logits + 1e-6 * torch.randn_like(output.end_logits)

    plant(loaded, noisy)
    assert problems(loaded, config, case) == [
        "the checkpoint itself gives another end_logits each time for the same inputs (documented sample)"
    ]


def test_what_is_no_number_is_the_same_each_time(model: tuple[LoadedModel, OnnxConfig, Inputs]) -> None:
    loaded, config, case = model

    def undefined(output: Any) -> None:
        output.end_logits = output.end_logits * float("nan")

    plant(loaded, undefined)
    assert problems(loaded, config, case) == []
