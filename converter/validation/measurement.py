"""An artifact in a folder, measured against its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from converter.backends.conversion import Conversion
from converter.core.records import Signature, Verdict
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


def measure(conversion: Conversion, artifact: Path) -> Measurement:
    """Validate the artifact in a folder, opened afresh."""
    configured = conversion.reference
    with closing(conversion.backend.open(artifact)) as session:
        reference = Reference(configured.model, tuple(configured.config.outputs))
        verdict = validate(session, reference, configured.config, conversion.tokenizer, conversion.options)
        return _measurement(conversion, artifact, verdict, session.signature, configured.model.dtype)


def measure_variants(conversion: Conversion, artifact: Path, exact: Verdict, *, make: bool) -> Measurement:
    """The accuracy drop of the variants, beside the verdict on the `exact` files; `make` derives them from these first."""
    variants, signature = judge(conversion, artifact, make=make)
    if make and conversion.backend.variants and not conversion.keeps_base:
        conversion.backend.variants.remove(artifact, conversion.backend.variants.base)
    return _measurement(conversion, artifact, exact.model_copy(update={"variants": variants}), signature, variants[0].floats)


def _measurement(conversion: Conversion, artifact: Path, verdict: Verdict, signature: Signature, dtype: str) -> Measurement:
    configured = conversion.reference
    sidecars = conversion.backend.generated_sidecars(configured, signature, artifact)
    default_atol = default_tolerance(configured.config, configured.model.dtype).atol
    return Measurement(verdict, dtype, signature, sidecars, default_atol, configured.model.notes)
