"""The artifact's declared interface and its behaviour: names, axes, dtypes, repeatability, fixed lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from converter.architectures import OnnxConfig
from converter.backends.session import Session
from converter.core.errors import ConversionError, InputError
from converter.core.records import Signature
from converter.core.typing import Array
from converter.padding import cut, pad
from converter.validation.case_inputs import InputGenerator


def run(session: Session, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """The artifact's outputs for inputs of any shape, padded if it takes one shape only. Raises ConversionError or InputError."""
    signature = session.signature
    if not signature.fixed:
        return session.run(arrays)
    return cut(session.run(pad(arrays, signature)), arrays, signature)


def interface_problems(signature: Signature, config: OnnxConfig, arrays: Mapping[str, Array], dtype: str) -> Iterator[str]:
    """Compare names in order, axis names, dtypes with the configuration; `dtype` is the checkpoint's."""
    for kind, specs, expected in (("input", signature.inputs, config.inputs), ("output", signature.outputs, config.outputs)):
        names = [spec.name for spec in specs]
        if names != list(expected):
            yield f"{kind}s are {', '.join(names) or 'none'} instead of {', '.join(expected)}"
        for spec in specs:
            for axis, label in expected.get(spec.name, {}).items():
                dim = spec.shape[axis] if axis < len(spec.shape) else "missing"
                if dim != label:
                    yield f"axis {axis} of {kind} {spec.name!r} is {dim!r} instead of {label!r}"
    unknown = signature.fixed.keys() - {label for axes in config.inputs.values() for label in axes.values()}
    if unknown:
        yield f"it fixes {', '.join(sorted(unknown))}, which is not an axis of its inputs"
    yield from _dtype_problems(
        signature, {**{name: str(array.dtype) for name, array in arrays.items()}, **dict.fromkeys(config.outputs, dtype)}
    )


def _dtype_problems(signature: Signature, wanted: Mapping[str, str]) -> Iterator[str]:
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if spec.dtype != wanted.get(spec.name, spec.dtype):
                yield f"{kind} {spec.name!r} is {spec.dtype} instead of {wanted[spec.name]}"


def first_run(session: Session, arrays: Mapping[str, Array]) -> Mapping[str, Array] | None:
    """The artifact's outputs before any other call; None if it does not run, as the cases report."""
    try:
        return run(session, arrays)
    except (ConversionError, InputError):
        return None


def behaviour_problems(session: Session, arrays: Mapping[str, Array], first: Mapping[str, Array] | None = None) -> Iterator[str]:
    """Check that it returns the declared shape, repeats its results, and that no call changes another.

    `first` are its outputs for `arrays` before all other calls, if there were some.
    """
    try:
        before, after = (run(session, arrays) for _ in range(2))
    except (ConversionError, InputError):
        return  # the cases tell it
    for spec in session.signature.outputs:
        shape = before[spec.name].shape
        declared = tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape)
        if len(shape) != len(declared) or any(dim not in (-1, length) for dim, length in zip(declared, shape, strict=True)):
            yield f"output {spec.name!r} is declared as {spec.shape} and comes as {shape}"
        if before[spec.name].tobytes() != after[spec.name].tobytes():
            yield f"output {spec.name!r} is another each time for the same inputs"
        elif first and first[spec.name].tobytes() != after[spec.name].tobytes():
            yield f"output {spec.name!r} is another after other calls, for the same inputs"
    changed = [*session.changes()]
    if changed:
        others = f" ({len(changed) - 1} more)" if len(changed) > 1 else ""
        yield f"running it changes {changed[0]}{others}, and an artifact has to stay the same between calls"


def guard_problems(session: Session, generator: InputGenerator) -> Iterator[str]:
    """An axis that has one length only raises at any other: that is what keeps its user from wrong numbers."""
    for label, arrays in generator.beyond():
        try:
            session.run(arrays)
        except ConversionError:
            continue
        allowed = " or ".join(dict.fromkeys(str(shape[label]) for shape in session.signature.shapes if label in shape))
        yield f"it is for {label} {allowed} alone, and does not refuse another length"
