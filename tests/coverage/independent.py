"""An artifact beside its checkpoint, by other code than the converter's own: what both are given is made here, by the artifact's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]

SHAPES: Sequence[Mapping[str, int]] = (
    {"batch": 3, "image_batch": 2, "choice": 2, "sequence": 11, "encoder_sequence": 13, "decoder_sequence": 6, "height": 96, "width": 64},
    {"batch": 1, "image_batch": 4, "choice": 5, "sequence": 7, "encoder_sequence": 5, "decoder_sequence": 9, "height": 64, "width": 128},
)
SOUNDS = {"samples": 4567, "frames": 72}
STEPS = 8


def make(specs: Mapping[str, Sequence[int | str]], shape: Mapping[str, int], seed: int) -> Arrays:
    """Inputs by name for the dimensions that an artifact declares; texts are padded on the right, and a cache is empty."""
    rng = np.random.default_rng(seed)
    lengths = {**SOUNDS, **shape, "batch_size": shape["batch"]}
    lengths |= {"past_sequence + sequence": lengths["sequence"], "past_decoder_sequence + sequence": lengths["decoder_sequence"]}
    arrays: Arrays = {}
    for name, dims in specs.items():
        size = [dim if isinstance(dim, int) else lengths.get(dim, 0) for dim in dims]
        if name.endswith("attention_mask"):
            mask = np.ones(size, np.int64)
            mask[1:, ..., size[-1] - 2 :] = 0
            arrays[name] = mask if name == "attention_mask" else np.ones(size, np.int64)
        elif name == "position_ids":
            arrays[name] = (arrays["attention_mask"].cumsum(-1) - 1).clip(0)[:, -size[1] :]
        elif name.endswith("input_ids"):
            arrays[name] = rng.integers(10, 60, size)  # below them are the tokens that mean something
        elif name in ("token_type_ids", "pixel_mask"):
            arrays[name] = np.ones(size, np.int64) if name == "pixel_mask" else rng.integers(0, 2, size)
        elif name == "bbox":
            arrays[name] = np.tile(np.array([3, 5, 20, 30]), (*size[:-1], 1))
        else:
            arrays[name] = rng.standard_normal(size).astype(np.float32)
    return arrays


def kept(array: np.ndarray[Any, Any], inputs: Arrays) -> np.ndarray[Any, Any]:
    """The part of an output outside padding, if it has an entry for each token of a padded text."""
    mask = inputs.get("attention_mask")
    if mask is not None and "decoder_input_ids" not in inputs and array.shape[: mask.ndim] == mask.shape:
        return array[mask.astype(bool)]
    return array


def expected(model: Any, inputs: Arrays, names: Sequence[str]) -> Arrays:
    """The checkpoint's own output, without a cache."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items() if not name.startswith("past_key_values")}
    with torch.inference_mode():
        result = model(**tensors)
    return {name: result[name].numpy() for name in names}


def compare_onnx(file: Path, checkpoint: Path, auto_class: str, tolerance: float) -> None:
    """Compare an ONNX file with its checkpoint at two shapes, and, with a cache, through its first tokens."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    model = getattr(transformers, auto_class).from_pretrained(checkpoint, dtype=torch.float32).eval()
    specs = {node.name: node.shape for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    for seed, shape in enumerate(SHAPES):
        inputs = make(specs, shape, seed)
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        for name, array in expected(model, inputs, [name for name in names if not name.startswith("present.")]).items():
            np.testing.assert_allclose(kept(outputs[name], inputs), kept(array, inputs), atol=tolerance, rtol=1e-4, err_msg=name)
    if any(name.startswith("past_key_values.") for name in specs) and "logits" in names:
        _compare_steps(session, model, specs, names, tolerance)


def _compare_steps(session: Any, model: Any, specs: Mapping[str, Any], names: list[str], tolerance: float) -> None:
    """Continue a text greedily, the artifact with its cache, the checkpoint by reading all of it again."""
    text = "decoder_input_ids" if "decoder_input_ids" in specs else "input_ids"
    mask = text.replace("input_ids", "attention_mask")
    feed = make(specs, SHAPES[0], 7)
    feed |= {name: np.ones_like(array) for name, array in feed.items() if name.endswith("attention_mask")}
    feed |= {name: np.tile(np.arange(array.shape[1]), (len(array), 1)) for name, array in feed.items() if name == "position_ids"}
    whole = feed[text]
    for _ in range(STEPS):
        outputs = dict(zip(names, session.run(names, feed), strict=True))
        same = {**feed, text: whole, **({mask: np.ones_like(whole)} if mask in feed else {})}
        same.pop("position_ids", None)  # without padding the model counts them itself
        logits = expected(model, same, ["logits"])["logits"][:, -1]
        np.testing.assert_allclose(outputs["logits"][:, -1], logits, atol=tolerance, rtol=1e-4, err_msg=f"after {whole.shape[1]} tokens")
        token = logits.argmax(-1)[:, None]
        whole = np.concatenate([whole, token], axis=1)
        feed |= {f"past_key_values{name.removeprefix('present')}": array for name, array in outputs.items() if name.startswith("present.")}
        feed |= {text: token, **({mask: np.ones_like(whole)} if mask in feed else {})}
        feed |= {name: np.full_like(token, whole.shape[1] - 1) for name in feed if name == "position_ids"}


def compare_torchscript(file: Path, signature: Any, checkpoint: Path, auto_class: str, tolerance: float) -> None:
    """Hold an archive against its checkpoint at two shapes, as far as it takes them."""
    archive = torch.jit.load(str(file))  # type: ignore[no-untyped-call]  # torch's own lacks types
    model = getattr(transformers, auto_class).from_pretrained(checkpoint, dtype=torch.float32).eval()
    specs = {spec.name: [signature.fixed.get(dim, dim) for dim in spec.shape] for spec in signature.inputs}
    names = [spec.name for spec in signature.outputs]
    for seed, shape in enumerate(SHAPES):
        inputs = make(specs, shape, seed)
        with torch.inference_mode():
            outputs = archive(*(torch.from_numpy(array) for array in inputs.values()))
        for name, array in expected(model, inputs, names).items():
            ours = outputs[names.index(name)].numpy()
            np.testing.assert_allclose(kept(ours, inputs), kept(array, inputs), atol=tolerance, rtol=1e-4, err_msg=name)
