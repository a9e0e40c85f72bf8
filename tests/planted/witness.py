"""Proof that a planted fault does harm: an input at which the faulty artifact is wrong and the good one is right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from converter.architectures.dummies import MASKED_BY, Padding, draw
from converter.architectures.model_config import overridden
from converter.architectures.size import Size
from converter.backends.session import Session
from converter.core.errors import ConversionError
from converter.core.records import Signature
from converter.padding import cut, pad
from tests.planted.bases import Good

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]

TOLERANCES = 10
"""A float32 artifact is harmed if it is this many documented tolerances off the checkpoint."""
ERRORS = 4
"""And if it is this many times as far off the checkpoint as the good artifact is; for a variant, by root mean square, that alone."""
RTOL = 1e-5


@dataclass(frozen=True)
class Harm:
    """How a fault shows at its witness. `done` says whether it shows at all."""

    done: bool
    message: str


class Witness(Protocol):
    """Shows the harm that a fault does to a copy of a good model's folder."""

    def prove(self, good: Good, faulty: Path) -> Harm: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of the artifact with random inputs of a size; a cache is the model's own keys and values.

    Attributes:
        variant: the precision to call, or none for an artifact of one.
        token: in the middle of each row.
        tokens: fill each row in turn.
        first: at the beginning of each row.
        scale: of inputs other than tokens, such as pixels.
        resize: lengths of axes of an input, by its name.
        before: a call that the same session answers first, `times` over.
    """

    batch: int = 2
    sequence: int = 8
    past: int = 0
    source: int = 8
    padding: Padding = "none"
    variant: str = ""
    token: int | None = None
    tokens: tuple[int, ...] = ()
    first: int | None = None
    scale: float = 1.0
    resize: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    before: Call | None = None
    times: int = 1
    seed: int = 1

    def _earlier(self) -> Iterator[tuple[Call, int]]:
        """The calls before this one, the first of them first, and how often each."""
        if self.before:
            yield from self.before._earlier()
            yield self.before, self.times

    def inputs(self, good: Good) -> Arrays:
        """The inputs by name."""
        rng = np.random.default_rng(self.seed)
        size = Size(batch=self.batch, sequence=self.sequence, past=self.past, source=self.source)
        if self.past:
            size = replace(size, cached_source=self.source)
        config = good.config
        arrays = dict(draw(config, size, rng, self.padding))
        if self.past:
            arrays |= self._past(good, arrays, rng)
        for name in ("input_ids", "decoder_input_ids"):
            if name in arrays and self.token is not None:
                arrays[name][:, arrays[name].shape[1] // 2] = self.token
            if name in arrays and self.tokens:
                arrays[name][:] = np.resize(self.tokens, arrays[name].shape[1])
            if name in arrays and self.first is not None:
                arrays[name][:, 0] = self.first
        for name, axes in self.resize.items():
            shape = tuple(axes.get(axis, length) for axis, length in enumerate(arrays[name].shape))
            arrays[name] = rng.standard_normal(shape).astype(arrays[name].dtype)
        return {
            name: array * np.float32(self.scale) if array.dtype.kind == "f" and "past" not in name else array
            for name, array in arrays.items()
        }

    def _past(self, good: Good, arrays: Arrays, rng: np.random.Generator) -> dict[str, Array]:
        """The keys and values that the checkpoint itself gives for other tokens, under the same mask."""
        before = dict(
            draw(good.config, Size(batch=self.batch, sequence=self.past, past=0, source=self.source, cached_source=0), rng, "none")
        )
        for mask in (*MASKED_BY.values(), "attention_mask"):
            if mask in before and mask in arrays:
                before[mask] = arrays[mask][:, : before[mask].shape[1]]
        for same in ("input_ids", "input_features"):
            if "decoder_input_ids" in arrays and same in arrays:
                before[same] = arrays[same]
        if "position_ids" in before:
            before["position_ids"] = (before["attention_mask"].cumsum(axis=-1) - 1).clip(0)
        outputs = _reference(good, before)
        return {name: outputs[f"present{name.removeprefix('past_key_values')}"] for name in arrays if name.startswith("past_key_values.")}

    def prove(self, good: Good, faulty: Path) -> Harm:
        if repr(self) not in good.answers:
            arrays = self.inputs(good)
            good.answers[repr(self)] = arrays, _reference(good, arrays), self._answer(good, good.artifact, arrays)
        arrays, expected, right = good.answers[repr(self)]
        try:
            wrong = self._answer(good, faulty / good.base.backend, arrays)
        except ConversionError as error:
            return Harm(True, f"does not run: {error.message[:80]}")
        return _harm(good, arrays, expected, right, wrong, by_rms=self.variant not in ("", "fp32"))

    def _answer(self, good: Good, artifact: Path, arrays: Arrays) -> Arrays:
        with closing(open_artifact(good, artifact, self.variant)) as session:
            for earlier, times in self._earlier():
                inputs = earlier.inputs(good)
                for _ in range(times):
                    _run(session, inputs)
            return _run(session, arrays)


def open_artifact(good: Good, artifact: Path, variant: str = "") -> Session | Archive:
    """Open the files of a variant, or of an artifact with one precision; an archive in this process, which is faster."""
    if good.base.backend != "onnx":
        return Archive(artifact / good.backend.files.main, by_name=good.base.backend == "torchscript")
    return good.backend.variants.open(artifact, variant) if good.backend.variants and variant else good.backend.open(artifact)


def _run(session: Session | Archive, arrays: Arrays) -> Arrays:
    """An artifact's outputs for inputs of any shape, padded if it takes one shape only."""
    if not session.signature.fixed:
        return session.run(arrays)
    return cut(session.run(pad(arrays, session.signature)), arrays, session.signature)


class Archive:
    """An archive in this process."""

    def __init__(self, path: Path, *, by_name: bool) -> None:
        extra = {"signature.json": b""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._module = torch.jit.load(path, _extra_files=extra)  # type: ignore[no-untyped-call]
        self.signature = Signature.model_validate_json(extra["signature.json"])
        names = [argument.name for argument in self._module.forward.schema.arguments[1:]]
        if by_name and names != [spec.name for spec in self.signature.inputs]:
            raise ConversionError("its inputs have other names than its signature says")

    def run(self, inputs: Arrays) -> Arrays:
        try:
            with torch.no_grad():
                results = self._module(*(torch.from_numpy(inputs[spec.name]) for spec in self.signature.inputs))
        except RuntimeError as error:  # whatever the archive raises
            raise ConversionError(str(error)) from error
        if not isinstance(results, tuple) or len(results) != len(self.signature.outputs):
            raise ConversionError("it does not give the outputs that its signature names")
        return {spec.name: result.numpy() for spec, result in zip(self.signature.outputs, results, strict=True)}

    def close(self) -> None:
        del self._module


def _reference(good: Good, arrays: Arrays) -> Arrays:
    model = good.reference.model
    with overridden(model.config, good.config.values_override):
        return good.reference.run(arrays)


def _harm(good: Good, arrays: Arrays, expected: Arrays, right: Arrays, wrong: Arrays, *, by_rms: bool) -> Harm:
    atol = good.config.atol_for_validation
    worst = Harm(False, "no output differs")
    largest = 0.0
    for name, value in expected.items():
        if wrong[name].shape != value.shape:
            return Harm(True, f"{name} has shape {wrong[name].shape}, not {value.shape}")
        if not by_rms and wrong[name].dtype != value.dtype:
            return Harm(True, f"{name} is {wrong[name].dtype}, not {value.dtype}")
        kept = np.broadcast_to(_kept(name, value, arrays), value.shape)
        if not kept.any():
            continue
        off, usual = (np.abs(outputs[name].astype(np.float64) - value)[kept] for outputs in (wrong, right))
        if by_rms:
            ours, theirs = float(np.sqrt(np.mean(off**2))), float(np.sqrt(np.mean(usual**2)))
            factor = ours / max(theirs, atol)
            done = factor > ERRORS
            message = f"{name} is {ours:.1e} off (rms), the good one {theirs:.1e}"
        else:
            tolerances = float(np.max(off / (atol + RTOL * np.abs(value[kept]))))
            factor = min(tolerances / TOLERANCES, float(off.max()) / max(float(usual.max()), 1e-12) / ERRORS)
            done = factor > 1
            message = f"{name} is {off.max():.1e} off, {tolerances:.0f} tolerances; the good one {usual.max():.1e}"
        if np.isnan(off).any():
            return Harm(True, f"{name} is NaN")
        if factor > largest:
            largest, worst = factor, Harm(done, message)
    return worst


def _kept(name: str, array: Array, arrays: Arrays) -> Array:
    """Which positions of an output are no padding, in the output's shape or one that spreads to it."""
    mask = arrays.get("decoder_attention_mask" if "decoder_input_ids" in arrays else "attention_mask")
    everything = np.ones((1,) * array.ndim, bool)
    if mask is None or mask.all():
        return everything
    if name.startswith("present."):
        of = arrays["attention_mask"] if ".encoder." in name else mask
        return (of[:, None, :, None] == 1) if of.shape[1] == array.shape[2] else np.zeros((1,) * array.ndim, bool)
    if array.ndim >= 2 and array.shape[1] > 1 and mask.shape[1] >= array.shape[1] and _is_by_token(array, arrays):
        return np.equal(mask[:, mask.shape[1] - array.shape[1] :], 1).reshape(*array.shape[:2], *(1,) * (array.ndim - 2))
    return everything


def _is_by_token(array: Array, arrays: Arrays) -> bool:
    tokens = arrays.get("decoder_input_ids", arrays.get("input_ids"))
    return tokens is not None and array.shape[1] == tokens.shape[1]


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The file's declared interface differs from the good one's, and clients rely on it."""

    variant: str = ""

    def prove(self, good: Good, faulty: Path) -> Harm:
        described = []
        for artifact in (good.artifact, faulty / good.base.backend):
            try:
                with closing(open_artifact(good, artifact, self.variant)) as session:
                    described.append([*_described(session)])
            except ConversionError as error:
                return Harm(True, f"does not open: {error.message[:80]}")
        others = [line for line in described[1] if line not in described[0]] or [line for line in described[0] if line not in described[1]]
        if not others and described[0] != described[1]:
            others = [f"another order: {', '.join(line.split()[1] for line in described[1])}"]
        return Harm(bool(others), others[0] if others else "it equals the good one's")


def _described(session: Session | Archive) -> Iterator[str]:
    yield from (f"fixed {axis} {length}" for axis, length in session.signature.fixed.items())
    for kind, specs in (("input", session.signature.inputs), ("output", session.signature.outputs)):
        yield from (f"{kind} {spec.name} {spec.dtype} {spec.shape}" for spec in specs)


@dataclass(frozen=True)
class Folder:
    """A value that a client reads beside the artifact differs from the checkpoint's own files, or is missing.

    `read` is the client's function of a folder.
    """

    read: Callable[[Path], object]

    def prove(self, good: Good, faulty: Path) -> Harm:
        right = self.read(good.folder)
        try:
            wrong = self.read(faulty)
        except Exception as error:  # whatever a library raises over a file that is not there or not right
            return Harm(True, f"cannot be read: {str(error)[:80]}")
        return Harm(right != wrong, f"{str(wrong)[:60]} instead of {str(right)[:60]}")
