"""A forward's changes to a model are detected, undone, and reported if they change its outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch

from converter.architectures import find_architecture
from converter.checkpoints.loading import LoadedModel, load_model
from converter.validation.case_inputs import InputGenerator
from converter.validation.reference import Reference
from converter.validation.state import ModelState
from converter.validation.tolerance import Tolerance
from converter.validation.validate import state_problems

Forward = Callable[..., Any]


@pytest.fixture
def model(tiny: Callable[..., Path]) -> LoadedModel:
    return load_model(tiny("bert"), "AutoModel", "float32")


def plant(model: LoadedModel, before_it: Callable[[Any, torch.Tensor], object]) -> None:
    """Have the model do something else before each forward, with itself and its tokens."""
    forward = type(model.module).forward

    def planted(self: Any, input_ids: torch.Tensor, **others: Any) -> Any:
        before_it(self, input_ids)
        return forward(self, input_ids, **others)

    model.module.forward = MethodType(planted, model.module)


def problems_of(model: LoadedModel) -> tuple[Reference, list[str]]:
    """The reference, with what calls changed, and the problem that is made of it."""
    config = find_architecture("bert").onnx_config(model.config, task="default")
    reference = Reference(model, tuple(config.outputs))
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), ())
    inputs = [*generator.grid(), generator.longest_case()]
    for case in inputs:
        reference.run(case.arrays)
    return reference, list(state_problems(inputs, generator, reference, Tolerance(1e-5, 1e-5)))


def first(module: Any) -> Any:
    return module.encoder.layer[0]


def attribute(module: Any, tokens: torch.Tensor) -> None:
    if tokens.shape[1] < 10:
        first(module).attention.self.scaling = 1.0


def buffer_in_place(module: Any, tokens: torch.Tensor) -> None:
    module.embeddings.position_ids.fill_(3)


def buffer_anew(module: Any, tokens: torch.Tensor) -> None:
    module.embeddings.register_buffer("position_ids", torch.full((1, 40), 2), persistent=False)


def submodule(module: Any, tokens: torch.Tensor) -> None:
    first(module).output.dense = torch.nn.Linear(64, 32)


def hook(module: Any, tokens: torch.Tensor) -> None:
    if not first(module)._forward_hooks:
        first(module).register_forward_hook(lambda _, __, output: output * 2 if isinstance(output, torch.Tensor) else output)


def setting(module: Any, tokens: torch.Tensor) -> None:
    module.config.temperature_of_test = tokens.shape[1]
    first(module).attention.self.scaling = 1 / module.config.temperature_of_test


def list_in_place(module: Any, tokens: torch.Tensor) -> None:
    module.seen.append(tokens.shape[1])
    first(module).attention.self.scaling = 0.1 * len(module.seen)


@pytest.mark.parametrize(
    ("planted", "path"),
    [
        (attribute, "encoder.layer.0.attention.self.scaling"),
        (buffer_in_place, "embeddings.position_ids"),
        (buffer_anew, "embeddings.position_ids"),
        (submodule, "encoder.layer.0.output.dense"),
        (hook, "encoder.layer.0._forward_hooks"),
        (setting, "config.temperature_of_test"),
        (list_in_place, "seen"),
    ],
)
def test_whatever_a_call_changes_is_seen_and_put_back(planted: Callable[..., None], path: str, model: LoadedModel) -> None:
    model.module.seen = []
    plain = {name: array.copy() for name, array in problems_of(model)[0].run(one_case(model)).items()}
    plant(model, planted)
    reference, _ = problems_of(model)
    assert path in reference.changes, reference.changes
    assert ModelState(model.module).restore() == []
    del model.module.forward
    again = reference.run(one_case(model))
    assert all(np.array_equal(array, again[name]) for name, array in plain.items())


def one_case(model: LoadedModel) -> dict[str, np.ndarray[Any, Any]]:
    ids = np.arange(24, dtype=np.int64).reshape(2, 12) + 5
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def test_what_changes_the_outputs_for_good_is_a_problem_that_names_it(model: LoadedModel) -> None:
    plant(model, attribute)
    _, (problem,) = problems_of(model)
    assert "a call changes the checkpoint itself" in problem
    scaling = first(model.module).attention.self.scaling
    assert f"encoder.layer.0.attention.self.scaling was {scaling} and is 1.0" in problem
    assert problem.endswith("; take a checkpoint, or a configuration of it, that calls do not change")
    assert problem == problems_of(model)[1][0]  # the same each time


def test_a_setting_that_can_be_made_in_the_configuration_is_told(model: LoadedModel) -> None:
    model.config.mode_of_test = "sparse"

    def switch(module: Any, tokens: torch.Tensor) -> None:
        if tokens.shape[1] < 10:
            module.config.mode_of_test = "full"
            first(module).attention.self.scaling = 1.0

    plant(model, switch)
    _, (problem,) = problems_of(model)
    assert problem.endswith('; to convert the changed model, set "mode_of_test": "full" in config.json')


def count_calls(module: Any, tokens: torch.Tensor) -> None:
    module.calls = getattr(module, "calls", 0) + 1


def keep_a_table(module: Any, tokens: torch.Tensor) -> None:
    module.table = torch.arange(tokens.shape[1])
    first(module).register_buffer("table", torch.ones(tokens.shape[1]), persistent=False)


def keep_in_a_dictionary(module: Any, tokens: torch.Tensor) -> None:
    module.__dict__.setdefault("tables", {})[tokens.shape[1]] = torch.ones(3)


@pytest.mark.parametrize("planted", [count_calls, keep_a_table, keep_in_a_dictionary])
def test_what_is_kept_and_changes_no_output_is_no_problem(planted: Callable[..., None], model: LoadedModel) -> None:
    plant(model, planted)
    reference, problems = problems_of(model)
    assert reference.changes
    assert problems == []


def test_a_parameter_that_is_written_to_is_seen(model: LoadedModel) -> None:
    weight = first(model.module).output.dense.weight
    for write in (lambda: weight.data.add_(1.0), lambda: weight.add_(1.0)):
        state = ModelState(model.module)
        with torch.inference_mode():
            write()
        assert [change.path for change in state.restore()] == ["encoder.layer.0.output.dense.weight"]


def divide_once(module: Any, tokens: torch.Tensor) -> None:
    """As RWKV does at the first call outside of training."""
    if not getattr(module, "is_divided", False):
        first(module).output.dense.weight.div_(4.0)
        module.is_divided = True


def divide_each_time(module: Any, tokens: torch.Tensor) -> None:
    first(module).output.dense.weight.div_(4.0)


def test_weights_that_are_divided_once_are_not_divided_again(model: LoadedModel) -> None:
    plant(model, divide_once)
    weight = first(model.module).output.dense.weight
    divided = weight.detach() / 4.0
    reference, problems = problems_of(model)
    assert torch.equal(weight, divided)
    assert {"encoder.layer.0.output.dense.weight", "is_divided"} <= reference.changes.keys()
    assert problems == []


def test_weights_that_are_divided_each_time_are_a_problem(model: LoadedModel) -> None:
    plant(model, divide_each_time)
    _, (problem,) = problems_of(model)
    assert "encoder.layer.0.output.dense.weight" in problem


def test_a_model_that_changes_nothing_has_no_changes(model: LoadedModel) -> None:
    reference, problems = problems_of(model)
    assert (reference.changes, problems) == ({}, [])


def test_nan_in_a_buffer_is_no_change(model: LoadedModel) -> None:
    model.module.register_buffer("unset", torch.full((3,), float("nan")))
    assert ModelState(model.module).restore() == []
