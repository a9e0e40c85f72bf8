"""Every documented row, from a checkpoint to a file that other shapes run through, held against transformers by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import transformers
from transformers import DynamicCache, EncoderDecoderCache

from converter.records import Outcome
from tests.contract import CONTRACT, ROWS, Axes, keeps, spread

Arrays = dict[str, Any]
HEADS, HEAD_SIZE, VOCABULARY = 4, 8, 119


@dataclass(frozen=True)
class Shape:
    """Lengths that are neither the capture's nor the validation's."""

    batch: int
    new: int
    past: int = 0
    source: int = 0
    held: int = 0
    choice: int = 1


@pytest.mark.parametrize(("model_type", "feature"), ROWS, ids=lambda part: str(part))
def test_a_documented_row_converts_and_runs_at_shapes_that_were_not_captured(
    model_type: str, feature: str, tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    row = CONTRACT[model_type][feature]
    checkpoint = tiny(model_type, row["auto_class"])
    outcome = convert(checkpoint, feature=feature)
    assert outcome.status == "converted", outcome.failure
    assert outcome.verdict and outcome.verdict.atol == row["atol"]
    generates = feature in ("causal-lm-with-past", "seq2seq-lm-with-past")
    assert (outcome.verdict.generation is not None) == generates

    path = Path(outcome.destination) / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = ort.InferenceSession(path)
    model = getattr(transformers, row["auto_class"]).from_pretrained(checkpoint)
    layers = getattr(model.config, "num_decoder_layers", 2)
    expected = {**spread(row["inputs"], layers), **spread(row["outputs"], layers)}
    declared = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    assert list(declared) == list(expected)

    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for shape in _shapes(feature, model_type):
        inputs = _inputs(session, model, shape)
        outputs = dict(zip((node.name for node in session.get_outputs()), session.run(None, inputs), strict=True))
        for name, array in _reference(model, inputs, list(outputs)).items():
            assert outputs[name].dtype == array.dtype == np.float32
            np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=row["atol"], err_msg=f"{name} at {shape}")
        _note_lengths({**inputs, **outputs}, expected, lengths)
        _labels_are_true({**inputs, **outputs}, declared)
    for name, axes in expected.items():
        for axis, label in axes.items():
            assert keeps(declared[name][axis], label, lengths), f"axis {axis} of {name} is {declared[name][axis]!r} instead of {label!r}"


def _shapes(feature: str, model_type: str) -> Iterator[Shape]:
    if (feature, model_type) in (("sequence-classification", "bart"), ("sequence-classification", "mbart")):
        yield from (Shape(1, 6, source=6), Shape(4, 31, source=31))  # it reads the decoder where the encoder's text ends
    elif not feature.endswith("-with-past"):
        yield from (Shape(1, 2, source=3, choice=1), Shape(4, 21, source=14, choice=5), Shape(7, 38, source=36, choice=2))
    else:
        yield from (Shape(1, 3, source=4), Shape(3, 1, 13, 6, 6), Shape(4, 5, 30, 22, 22), Shape(2, 7, 0, 9, 9))


def _inputs(session: ort.InferenceSession, model: Any, shape: Shape) -> Arrays:
    """Inputs made without the package's own; nothing is padded, so that every element counts."""
    rng = np.random.default_rng(7)
    config, names = model.config, [node.name for node in session.get_inputs()]
    two_stacks = "decoder_input_ids" in names
    first = shape.source if two_stacks else shape.new
    made: Arrays = {}
    for name in names:
        if name.startswith("past_key_values."):
            length = shape.held if ".encoder." in name else shape.past
            made[name] = rng.standard_normal((shape.batch, HEADS, length, HEAD_SIZE)).astype(np.float32)
        elif name == "bbox":
            made[name] = np.sort(rng.integers(0, 50, (shape.batch, shape.new, 2, 2)), axis=2).reshape(shape.batch, shape.new, 4)
        else:
            length = {"input_ids": first, "attention_mask": first if two_stacks else shape.past + shape.new}.get(name, shape.new)
            if name == "decoder_attention_mask":
                length = shape.past + shape.new
            choice = (shape.choice,) if type(model).__name__.endswith("MultipleChoice") else ()
            limits = {"token_type_ids": (0, 2), "global_attention_mask": (0, 2)}.get(name, (1, 2) if "mask" in name else (3, VOCABULARY))
            made[name] = rng.integers(*limits, (shape.batch, *choice, length), dtype=np.int64)
    if type(model).__name__.endswith("BartForSequenceClassification"):
        made["input_ids"][:, -1] = config.eos_token_id
    return made


def _reference(model: Any, inputs: Arrays, outputs: list[str]) -> Arrays:
    """What transformers gives, with a cache made and read by hand."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    past = [tensors.pop(name) for name in list(tensors) if name.startswith("past_key_values.")]
    if past and "past_key_values.0.key" in inputs:
        tensors["past_key_values"] = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
    elif past:
        own, cross = (list(zip(past[start::4], past[start + 1 :: 4], strict=True)) for start in (0, 2))
        tensors["past_key_values"] = EncoderDecoderCache(DynamicCache(own), DynamicCache(cross))
    model.config.use_cache = bool(past)  # a cache of BART's own is too short where its decoder has more layers than its encoder
    if model.config.model_type in ("gpt2", "gpt_neo"):
        model.config.pad_token_id = 0  # as documented for a classifier that has none
    with torch.no_grad():
        result = model(**tensors, return_dict=True)
    found: Arrays = {name: result[name].numpy() for name in outputs if not name.startswith("present.")}
    for name in outputs:
        if name.startswith("present."):
            _, layer, *stack, part = name.split(".")
            cache = result.past_key_values
            if stack:
                cache = cache.self_attention_cache if stack == ["decoder"] else cache.cross_attention_cache
            held = cache.layers[int(layer)]
            found[name] = (held.keys if part == "key" else held.values).numpy()
    return found


def _note_lengths(arrays: Arrays, labels: Mapping[str, Axes], lengths: defaultdict[str, set[int]]) -> None:
    """How many lengths a label of the row names in one run; 1 for all runs of the ones that tell the truth."""
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for name, axes in labels.items():
        for axis, label in axes.items():
            seen[label].add(arrays[name].shape[axis])
    for label, found in seen.items():
        if len(found) > len(lengths[label]):
            lengths[label] = found


def _labels_are_true(arrays: Arrays, declared: Mapping[str, list[Any]]) -> None:
    """One label names one length, and a declared length is the one that comes."""
    seen: dict[str, int] = {}
    for name, dims in declared.items():
        for dim, length in zip(dims, arrays[name].shape, strict=True):
            assert (seen.setdefault(dim, length) if isinstance(dim, str) else dim) == length, f"{dim!r} of {name} is {length}"
