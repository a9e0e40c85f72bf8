"""Variants of a model with its cache run all cases: good ones pass, and faults in their graphs are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.architectures import PROFILES, OnnxConfig, find_architecture, in_profile
from converter.backends import BACKENDS
from converter.backends.onnx.session import OnnxSession
from converter.backends.session import Session
from converter.checkpoints.loading import load_model
from converter.core.records import Job, Outcome, Source, Variant
from converter.core.typing import Array
from converter.pipeline import run_job
from converter.validation.case_inputs import InputGenerator
from converter.validation.deviation import VariantGrid
from converter.validation.influence import measure_influences
from converter.validation.past import OwnPast
from converter.validation.reference import Reference
from tests.support.checkpoints import save_tiny, save_tokenizer

FEATURE = "causal-lm-with-past"
FILES = {"fp16": "model_fp16.onnx", "w8": "model_w8.onnx", "q8": "model_quantized.onnx"}

Plant = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny(tmp_path_factory.mktemp("gpt2"), "gpt2", "AutoModelForCausalLM")
    return save_tokenizer(folder, "input_ids", "attention_mask")


@pytest.fixture(scope="module")
def made(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The folder of the files, and how the conversion ended."""
    folder = tmp_path_factory.mktemp("made")
    chosen = {"profile": "hub", "feature": FEATURE, "variants": "fp32,fp16,w8,q8", "tier": "any"}
    options = BACKENDS["onnx"].options.model_validate(chosen)
    source = Source(name="tiny", folder=checkpoint)
    cache = Path(os.environ["CONVERTER_CACHE"])
    job = Job(source=source, backend="onnx", options=options, destination=folder / "onnx", model_folder=folder, cache=cache)
    return folder / "onnx", run_job(job)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> tuple[Reference, OnnxConfig]:
    loaded = load_model(checkpoint, "AutoModelForCausalLM", "float32")
    architecture = find_architecture("gpt2")
    hub = in_profile(architecture.onnx_config, PROFILES["hub"], ["position_ids"])
    config = replace(architecture, onnx_config=hub).configure(loaded.config, FEATURE)
    assert {"position_ids", "attention_mask", "past_key_values.0.key"} <= config.inputs.keys()
    return Reference(loaded, tuple(config.outputs)), config


@pytest.fixture(scope="module")
def grid(model: tuple[Reference, OnnxConfig]) -> VariantGrid:
    return VariantGrid(*model, None)


def problems(grid: VariantGrid, session: Session, name: str) -> list[str]:
    deviations = grid.deviations(session, activations="dynamic" if name == "q8" else "float")
    return [problem for deviation in deviations for problem in deviation.problems()] + [*grid.problems(session)]


def variants(outcome: Outcome) -> dict[str, Variant]:
    assert outcome.verdict, outcome.failure
    return {variant.name: variant for variant in outcome.verdict.variants}


def test_good_variants_pass_and_their_record_has_how_far_each_output_is_off(made: tuple[Path, Outcome]) -> None:
    _, outcome = made
    assert outcome.status == "converted", outcome.failure
    records = variants(outcome)
    assert not records["fp32"].deviations
    for name in FILES:
        assert {deviation.output for deviation in records[name].deviations} == {
            "logits",
            *(f"present.{layer}.{kind}" for layer in range(2) for kind in ("key", "value")),
        }
        assert all(deviation.passed and 0 < deviation.median < 0.3 for deviation in records[name].deviations), records[name].deviations
        itself = [deviation for deviation in records[name].deviations if deviation.case == "a token at a time against all at once"]
        assert len(itself) == 1
    ratios = [deviation.worst / deviation.bound for deviation in records["fp16"].deviations]
    assert ratios == sorted(ratios, reverse=True)


@pytest.mark.parametrize("name", FILES)
def test_a_good_variant_has_no_problem_at_the_cases(name: str, made: tuple[Path, Outcome], grid: VariantGrid) -> None:
    assert problems(grid, OnnxSession(made[0] / FILES[name]), name) == []


# the same things done to the graph of any of them


def take_instead(model: onnx.ModelProto, name: str, nodes: Sequence[onnx.NodeProto], other: str) -> None:
    for node in model.graph.node:
        node.input[:] = [other if value == name else value for value in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def constant(name: str, value: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def ones_for_the_mask(model: onnx.ModelProto) -> None:
    nodes = [
        helper.make_node("Equal", ["attention_mask", "attention_mask"], ["planted.same"]),
        helper.make_node("Cast", ["planted.same"], ["planted.ones"], to=TensorProto.INT64),
    ]
    take_instead(model, "attention_mask", nodes, "planted.ones")


def zeros_for_the_past(model: onnx.ModelProto) -> None:
    """Of both layers, keys and values."""
    for layer in range(2):
        for kind in ("key", "value"):
            name = f"past_key_values.{layer}.{kind}"
            take_instead(model, name, [helper.make_node("Sub", [name, name], [f"planted.{layer}.{kind}"])], f"planted.{layer}.{kind}")


def zeros_for_one_layers_keys(model: onnx.ModelProto) -> None:
    name = "past_key_values.1.key"
    take_instead(model, name, [helper.make_node("Sub", [name, name], ["planted.key"])], "planted.key")


def swap_the_presents(model: onnx.ModelProto) -> None:
    swapped = {"present.0.key": "present.1.key", "present.1.key": "present.0.key"}
    for node in model.graph.node:
        node.input[:] = [swapped.get(name, name) for name in node.input]
        node.output[:] = [swapped.get(name, name) for name in node.output]


def count_padding_for_positions(model: onnx.ModelProto) -> None:
    """Positions count as if the text were not padded left."""
    nodes = [
        constant("planted.axis", 1),
        constant("planted.one", 1),
        constant("planted.length", [2]),
        helper.make_node("Equal", ["input_ids", "input_ids"], ["planted.same"]),
        helper.make_node("Cast", ["planted.same"], ["planted.ones"], to=TensorProto.INT64),
        helper.make_node("CumSum", ["planted.ones", "planted.axis"], ["planted.count"]),
        helper.make_node("Sub", ["planted.count", "planted.one"], ["planted.place"]),
        helper.make_node("Shape", ["past_key_values.0.key"], ["planted.shape"]),
        helper.make_node("Gather", ["planted.shape", "planted.length"], ["planted.past"]),
        helper.make_node("Add", ["planted.place", "planted.past"], ["planted.positions"]),
    ]
    take_instead(model, "position_ids", nodes, "planted.positions")


def once_nothing_is_cached(name: str, other: str, before: Sequence[onnx.NodeProto]) -> Plant:
    """`other` replaces the input `name` as long as the past is empty."""

    def plant(model: onnx.ModelProto) -> None:
        nodes = [
            *before,
            constant("planted.length", 2),
            constant("planted.none", 0),
            helper.make_node("Shape", ["past_key_values.0.key"], ["planted.shape"]),
            helper.make_node("Gather", ["planted.shape", "planted.length"], ["planted.past"]),
            helper.make_node("Equal", ["planted.past", "planted.none"], ["planted.first"]),
            helper.make_node("Where", ["planted.first", other, name], ["planted.chosen"]),
        ]
        take_instead(model, name, nodes, "planted.chosen")

    return plant


def _ones(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Equal", [name, name], ["planted.same"]),
        helper.make_node("Cast", ["planted.same"], ["planted.ones"], to=TensorProto.INT64),
    ]


def _places() -> list[onnx.NodeProto]:
    return [
        *_ones("input_ids"),
        constant("planted.axis", 1),
        constant("planted.one", 1),
        helper.make_node("CumSum", ["planted.ones", "planted.axis"], ["planted.count"]),
        helper.make_node("Sub", ["planted.count", "planted.one"], ["planted.places"]),
    ]


positions_at_first = once_nothing_is_cached("position_ids", "planted.places", _places())
mask_at_first = once_nothing_is_cached("attention_mask", "planted.ones", _ones("attention_mask"))


def planted(path: Path, plant: Plant, folder: Path) -> OnnxSession:
    model = onnx.load(path)
    plant(model)
    onnx.save(model, folder / "model.onnx")
    return OnnxSession(folder / "model.onnx")


FAULTS: Mapping[str, Plant] = {
    "a past that is ignored": zeros_for_the_past,
    "one layer's keys of the past that are ignored": zeros_for_one_layers_keys,
    "a mask that is ignored": ones_for_the_mask,
    "a mask that is ignored as long as nothing is cached": mask_at_first,
    "keys that come out as another layer's": swap_the_presents,
    "padding on the left that is counted for positions": count_padding_for_positions,
    "positions that are ignored as long as nothing is cached": positions_at_first,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FILES)
def test_a_fault_in_a_variant_is_found(name: str, fault: str, made: tuple[Path, Outcome], grid: VariantGrid, tmp_path: Path) -> None:
    assert problems(grid, planted(made[0] / FILES[name], FAULTS[fault], tmp_path), name)


class OffBehindAPast:
    """A double around a variant's session: its logits are off by a share of their spread, up and down, once there is a past."""

    def __init__(self, session: OnnxSession, off: float) -> None:
        self._session, self._off, self.signature = session, off, session.signature

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        return self._session.tokens_apart(name, vocabulary)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        outputs = dict(self._session.run(inputs))
        if inputs["past_key_values.0.key"].shape[2]:
            logits = outputs["logits"]
            outputs["logits"] = logits + np.where(np.arange(logits.shape[-1]) % 2, self._off, -self._off).astype(logits.dtype)
        return outputs


@pytest.mark.parametrize("name", ["fp16", "w8"])  # a variant that rounds activations does so otherwise at each call
def test_a_token_at_a_time_has_to_give_what_all_at_once_gives(
    name: str, made: tuple[Path, Outcome], grid: VariantGrid, model: tuple[Reference, OnnxConfig]
) -> None:
    """It may be off less than the rounding error that both have."""
    session = OnnxSession(made[0] / FILES[name])
    (good,) = [deviation for deviation in grid.deviations(session, activations="float") if deviation.case.startswith("a token")]
    spread = _spread(model)
    for times, passed in ((0.0, True), (1.5, False)):
        doubled: Any = OffBehindAPast(session, times * good.bound * spread)
        deviations = grid.deviations(doubled, activations="float")
        (itself,) = [deviation for deviation in deviations if deviation.case.startswith("a token")]
        assert itself.passed is passed, itself
        if not passed:
            assert "(a token at a time against all at once)" in "".join(itself.problems())


def _spread(model: tuple[Reference, OnnxConfig]) -> float:
    """Of the logits over random texts, which is that over the grid within a fifth."""
    reference, config = model
    rng = np.random.default_rng(3)
    logits = reference.run(InputGenerator(config, "float32", None, rng, ()).at_random(20, 20).arrays)["logits"]
    return float(np.sqrt(logits.reshape(-1, logits.shape[-1]).var(axis=0).mean()))


# the float32 file: the influence of each input, with and without a past


@pytest.fixture(scope="module")
def generator(model: tuple[Reference, OnnxConfig]) -> Iterator[tuple[InputGenerator, OwnPast]]:
    reference, config = model
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), ())
    yield generator, OwnPast(reference.run(generator.longest_case().arrays))


@pytest.mark.parametrize(
    ("plant", "ignored"),
    [
        (None, set()),
        (positions_at_first, {("position_ids", "without a past")}),
        (mask_at_first, {("attention_mask", "without a past")}),
        (ones_for_the_mask, {("attention_mask", "without a past"), ("attention_mask", "with a past")}),
        (zeros_for_one_layers_keys, {("past_key_values.1.key", "with a past")}),
    ],
)
def test_an_input_that_is_ignored_is_found_with_a_past_or_without(
    plant: Plant | None,
    ignored: set[tuple[str, str]],
    made: tuple[Path, Outcome],
    model: tuple[Reference, OnnxConfig],
    generator: tuple[InputGenerator, OwnPast],
    tmp_path: Path,
) -> None:
    session = planted(made[0] / "model.onnx", plant or (lambda model: None), tmp_path)
    influences = [*measure_influences(session, model[0], model[1], *generator)]
    assert {influence.where for influence in influences} == {"with a past", "without a past"}
    assert {(influence.input, influence.where) for influence in influences if not influence.passed} == ignored
    for influence in influences:
        if not influence.passed:
            assert f"the input {influence.input!r} matters to the checkpoint" in "".join(influence.problems())
            assert "".join(influence.problems()).endswith(f"and not to the artifact {influence.where}")
