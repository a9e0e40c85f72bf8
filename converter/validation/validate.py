"""The measurement: interface, grid of cases, influence of every input, weights bit for bit. It judges nothing but figures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.config import overridden
from converter.architectures.dummies import Array, makes_its_own
from converter.backends import Session
from converter.errors import ConversionError, reason
from converter.records import Case, Influence, Options, Verdict, WeightCheck
from converter.validation.cases import Inputs, Maker
from converter.validation.compare import Tolerance, compare, kept_positions
from converter.validation.generation import compare_generation
from converter.validation.reference import Reference

RTOL = 1e-5
"""numpy.allclose's default, which the documented validation used beside its absolute tolerance."""

FLOAT16 = Tolerance(atol=1e-2, rtol=1e-3)
"""For float16: the relative part is torch.testing's; all-MiniLM-L6-v2 differs by 6.6e-3 on a scale of 5.8, one part in 2^10."""

_SEED = 20250704  # another than the capture's, so that no case is the sample it was captured with
LARGE = 1024
"""Bytes from which on a tensor of numbers has to be a weight; the constants of a graph itself are smaller."""

_CHUNK = 1 << 22  # bytes compared at once


def default_tolerance(config: OnnxConfig, dtype: str) -> Tolerance:
    """The tolerance for an artifact whose weights are of floating point type `dtype`."""
    return FLOAT16 if dtype == "float16" else Tolerance(config.atol_for_validation, RTOL)


def validate(session: Session, reference: Reference, config: OnnxConfig, tokenizer: Any | None, options: Options) -> Verdict:
    """Measure the artifact in `session` against `reference`. A verdict that has not passed is a failure, whatever its cause."""
    rng = np.random.default_rng(_SEED)
    tolerance = default_tolerance(config, reference.model.dtype)
    if options.atol is not None:
        tolerance = replace(tolerance, atol=options.atol)
    notes = [*_overrides(reference.model.config, config)]
    with overridden(reference.model.config, config.values_override):
        maker = Maker(config, reference.model.dtype, tokenizer, rng)
        inputs = list(maker.grid())
        try:
            inputs.append(maker.text())
        except ValueError as error:
            notes.append(f"no real text was tried: {error}")
        notes += _single_lengths(config, inputs)
        return Verdict(
            atol=tolerance.atol,
            rtol=tolerance.rtol,
            runtime=session.runtime,
            problems=(
                *_interface_problems(session, config, inputs[0].arrays, reference),
                *_behaviour_problems(session, inputs[0].arrays),
            ),
            cases=tuple(_run_case(case, session, reference, config, tolerance) for case in inputs),
            influences=tuple(_influences(session, reference, config, maker)),
            generation=compare_generation(session, reference, config, rng, tolerance),
            weights=_check_weights(session, reference),
            notes=tuple(notes),
        )


def _overrides(model_config: Any, config: OnnxConfig) -> Iterator[str]:
    """What the configuration changes of the model beside whether it gives its cache."""
    for name, value in (config.values_override or {}).items():
        if name != "use_cache" and getattr(model_config, name, None) != value:
            yield f"with {name} = {value!r} in place of {getattr(model_config, name, None)!r}, in the checkpoint too"


def _single_lengths(config: OnnxConfig, inputs: Sequence[Inputs]) -> Iterator[str]:
    """The axes that a configuration of the user's own gives one length only, so that nothing is known of others."""
    for label in inputs[0].axes:
        lengths = {case.axes[label] for case in inputs}
        if len(lengths) == 1 and makes_its_own(config):
            yield f"{type(config).__name__}.generate_dummy_inputs makes {label} {lengths.pop()} long and no other length was tried"


def _interface_problems(session: Session, config: OnnxConfig, arrays: Mapping[str, Array], reference: Reference) -> Iterator[str]:
    """Names in order, dtypes, and every axis named as the configuration names it."""
    for kind, specs, expected in (("input", session.inputs, config.inputs), ("output", session.outputs, config.outputs)):
        names = [spec.name for spec in specs]
        if names != list(expected):
            yield f"{kind}s are {', '.join(names) or 'none'} instead of {', '.join(expected)}"
        for spec in specs:
            for axis, label in expected.get(spec.name, {}).items():
                found = spec.shape[axis] if axis < len(spec.shape) else "missing"
                if found != label:
                    yield f"axis {axis} of {kind} {spec.name!r} is {found!r} instead of {label!r}"
    for spec in session.inputs:
        if spec.name in arrays and spec.dtype != str(arrays[spec.name].dtype):
            yield f"input {spec.name!r} is {spec.dtype} instead of {arrays[spec.name].dtype}"
    for spec in session.outputs:
        if spec.name in config.outputs and spec.dtype != reference.model.dtype:
            yield f"output {spec.name!r} is {spec.dtype} instead of {reference.model.dtype}"


def _behaviour_problems(session: Session, arrays: Mapping[str, Array]) -> Iterator[str]:
    """The shape it returns is the one it declares, and the same inputs give the same numbers."""
    try:
        first, second = session.run(arrays), session.run(arrays)
    except ConversionError:
        return  # the cases tell it
    for spec in session.outputs:
        shape = first[spec.name].shape
        declared = tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape)
        if len(shape) != len(declared) or any(dim not in (-1, found) for dim, found in zip(declared, shape, strict=True)):
            yield f"output {spec.name!r} is declared as {spec.shape} and comes as {shape}"
        if first[spec.name].tobytes() != second[spec.name].tobytes():
            yield f"output {spec.name!r} is another each time for the same inputs"


def _run_case(case: Inputs, session: Session, reference: Reference, config: OnnxConfig, tolerance: Tolerance) -> Case:
    try:
        found = session.run(case.arrays)  # first: the runtime needs more memory on the way than the reference does
    except ConversionError as error:
        try:
            reference.run(case.arrays)
        except Exception as also:  # whatever the model's own code raises over inputs that are not for it
            return Case(name=case.name, axes=case.axes, error=f"neither it nor the checkpoint takes these inputs: {reason(also)}")
        return Case(name=case.name, axes=case.axes, error=error.message)
    untrue = _untrue_label(session, {**case.arrays, **found})
    if untrue:
        return Case(name=case.name, axes=case.axes, error=untrue)
    expected = reference.run(case.arrays)
    missing = [name for name in expected if name not in found]
    if missing:
        return Case(name=case.name, axes=case.axes, error=f"it gives no {', '.join(missing)}")
    comparisons = tuple(
        compare(
            name,
            found[name],
            array,
            kept_positions(name, array, config, case.arrays),
            tolerance,
            config.feature.decides and not name.startswith("present."),
        )
        for name, array in expected.items()
    )
    return Case(name=case.name, axes=case.axes, comparisons=comparisons)


def _untrue_label(session: Session, arrays: Mapping[str, Array]) -> str:
    """Which axis name stands for two lengths at once, in a clause; empty where all tell the truth."""
    lengths: dict[str, int] = {}
    for spec in (*session.inputs, *session.outputs):
        for dim, length in zip(spec.shape, arrays[spec.name].shape, strict=False):
            if isinstance(dim, str) and dim != "?" and lengths.setdefault(dim, length) != length:
                return f"the axis {dim!r} is {lengths[dim]} long in one place and {length} in {spec.name!r}"
    return ""


def _influences(session: Session, reference: Reference, config: OnnxConfig, maker: Maker) -> Iterator[Influence]:
    """Change one input at a time: what moves the checkpoint has to move the artifact, however little it moves it."""
    seen: dict[str, Influence] = {}
    for base, changed in maker.variations():
        expected_base = reference.run(base.arrays)
        try:
            found_base = session.run(base.arrays)
        except ConversionError:
            return  # the cases tell it
        scale = max(float(np.abs(array).max(initial=0.0)) for array in expected_base.values())
        noise = 32 * float(np.finfo(reference.model.dtype).eps) * scale  # what another order of the same sums may move
        for name, case in changed.items():
            if name in seen and seen[name].reference_change > noise:
                continue  # it is told already
            expected_change = _largest_change(expected_base, reference.run(case.arrays), case, config)
            try:
                change = _largest_change(found_base, session.run(case.arrays), case, config)
            except ConversionError:
                change = float("nan")
            ignored = expected_change > noise and not change > 0
            seen[name] = Influence(input=name, reference_change=expected_change, artifact_change=change, passed=not ignored)
    yield from seen.values()


def _largest_change(before: Mapping[str, Array], after: Mapping[str, Array], case: Inputs, config: OnnxConfig) -> float:
    """The largest change of any output at the positions that are padding in neither."""
    return max(
        float(
            np.max(
                np.abs(after[name].astype(np.float64) - array),
                where=np.broadcast_to(kept_positions(name, array, config, case.arrays), array.shape),
                initial=0.0,
            )
        )
        for name, array in before.items()
        if name in after and name in config.outputs
    )


def _check_weights(session: Session, reference: Reference) -> WeightCheck:
    """Compare every stored tensor with the checkpoint: no sample of inputs reaches each row of an embedding.

    One that bears a weight's name has to be that weight; any other large one has to be some weight, as it is or transposed.
    """
    tensors = {name: tensor.numpy() for name, tensor in reference.model.tensors().items()}
    compared, different, strangers = 0, [], []
    for name, stored in session.weights():
        if name in tensors:
            compared += 1
            if not _same_bytes(stored, tensors[name]):
                different.append(name)
        elif stored.nbytes >= LARGE and stored.dtype.kind == "f":
            strangers.append((name, stored))
    known = {_digest(each) for tensor in tensors.values() for each in (tensor, tensor.T)} if strangers else set()
    unknown = tuple(name for name, stored in strangers if _digest(stored) not in known)
    return WeightCheck(compared=compared + len(strangers) - len(unknown), different=tuple(different), unknown=unknown)


def _same_bytes(stored: Array, tensor: Array) -> bool:
    if stored.shape != tensor.shape or stored.dtype != tensor.dtype:
        return False
    ours, theirs = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (stored, tensor))
    return all(np.array_equal(ours[start : start + _CHUNK], theirs[start : start + _CHUNK]) for start in range(0, len(ours), _CHUNK))


def _digest(array: Array) -> bytes:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).digest()
