"""An artifact in a folder measured against a checkpoint in another, each opened afresh."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from converter.architectures import Architecture
from converter.backends import Backend
from converter.backends.loading import load_reference
from converter.checkpoints.loading import load_tokenizer
from converter.core.records import Options, Signature, Verdict
from converter.validation.accuracy.variants import judge
from converter.validation.reference import Reference
from converter.validation.tolerance import default_tolerance
from converter.validation.validate import validate


@dataclass(frozen=True)
class Measurement:
    """A verdict, the artifact's own account of itself, files that its clients want beside the checkpoint's, and notes on the checkpoint.

    `default_atol` is the absolute tolerance of a verdict for which none was asked.
    """

    verdict: Verdict
    dtype: str
    signature: Signature
    generated_sidecars: Mapping[str, bytes]
    default_atol: float
    notes: tuple[str, ...] = ()


def measure(backend: Backend, artifact: Path, checkpoint: Path, architecture: Architecture, options: Options) -> Measurement:
    """Validate the artifact in one folder against the checkpoint in another, each opened afresh."""
    with closing(backend.open(artifact)) as session:
        model, config = load_reference(checkpoint, architecture, backend, options)
        verdict = validate(session, Reference(model, tuple(config.outputs)), config, load_tokenizer(checkpoint, options.allowed), options)
        sidecars = backend.generated_sidecars(model, config, session.signature, artifact)
        default_atol = default_tolerance(config, model.dtype).atol
        return Measurement(verdict, model.dtype, session.signature, sidecars, default_atol, model.notes)


def measure_variants(
    backend: Backend, artifact: Path, checkpoint: Path, architecture: Architecture, options: Options, exact: Verdict, *, make: bool
) -> Measurement:
    """The accuracy drop of the variants, beside the verdict on the `exact` files; `make` derives them from these first."""
    model, config = load_reference(checkpoint, architecture, backend, options)
    variants = judge(backend, artifact, model, config, load_tokenizer(checkpoint, options.allowed), options, make=make)
    if make and backend.base_variant not in backend.variants(options):
        backend.remove_variant(artifact, backend.base_variant)
    with closing(backend.open(artifact)) as session:
        signature = session.signature
    verdict = exact.model_copy(update={"variants": variants})
    sidecars, default_atol = backend.generated_sidecars(model, config, signature, artifact), default_tolerance(config, model.dtype).atol
    return Measurement(verdict, variants[0].floats, signature, sidecars, default_atol, model.notes)
