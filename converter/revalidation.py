"""Validation of an artifact that was made before, here or elsewhere: `converter validate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from converter.architectures.selection import architecture_of, with_feature
from converter.artifacts.integrity import record_problems
from converter.artifacts.record_file import read_record
from converter.artifacts.stray_files import holds_weights, stray_files
from converter.backends import Backend
from converter.backends.conversion import Conversion
from converter.checkpoints.fetch import fetch, resolve
from converter.core.errors import ConversionError
from converter.core.records import TIERS, Allowed, ArtifactRecord, Options, Source, Verdict

if TYPE_CHECKING:
    from converter.validation.measurement import Measurement

PERMISSIONS = ("allow_pickle", "trust_remote_code", "drop_weights", "text", "evaluate")
"""Options that never come from a record, because anybody may write one."""


def revalidate(backend: Backend, artifact: Path, reference: Source, asked: Mapping[str, Any]) -> tuple[Options, Verdict]:
    """Validate an existing artifact against a checkpoint.

    Args:
        backend: the artifact's backend.
        artifact: its folder.
        reference: the checkpoint.
        asked: options of the command line; the others come from the record.

    Returns:
        The options, and the verdict. Its problems include a record of another artifact, a record that loosens a check, changed files, files
        without validation, and changed sidecar files.

    Raises:
        ConverterError: the artifact cannot be measured.
    """
    from converter.validation.measurement import measure, measure_variants

    record = read_record(artifact)
    record = record if record and record.backend == backend.name else None
    recorded = {name: value for name, value in record.options.items() if name not in PERMISSIONS} if record else {}
    if recorded.pop("config", None) and not asked.get("config"):  # a record may come from anywhere, and a configuration is run
        raise ConversionError(f"the artifact in {artifact} was made with a configuration of its maker's own", "name it with --config")
    if backend.options.says_precision(asked):
        recorded.pop("precision", None)
    try:
        options = backend.options.model_validate({**recorded, **asked}) if recorded else backend.read_options(artifact, asked)
    except pydantic.ValidationError as error:
        raise ConversionError(
            f"the record in {artifact} has options that this version does not know", "convert the checkpoint again"
        ) from error
    checkpoint = resolve(reference, options.allowed)
    architecture = architecture_of(checkpoint, options)
    options = with_feature(options, architecture, checkpoint)
    folder = fetch(checkpoint, options.allowed)
    conversion = Conversion(backend=backend, architecture=architecture, checkpoint=folder, options=options)
    verdict = Verdict(atol=options.atol or 0, rtol=0, runtime="")
    if conversion.keeps_base:
        measured = measure(conversion, artifact)
        verdict = measured.verdict
    if conversion.variants:
        measured = measure_variants(conversion, artifact, verdict, make=False)
        verdict = measured.verdict
    loosening = ("atol", "tier") if conversion.variants else ("atol",)
    unasked = {name: recorded[name] for name in loosening if recorded.get(name) and name not in asked}
    notes = [f"{name} {value} comes from its record" for name, value in unasked.items()]
    problems = (
        *verdict.problems,
        *record_problems(artifact, backend),
        *_loosened(unasked, measured.default_atol, backend.options),
        *_strays(artifact, backend, measured, record),
        *_sidecar_problems(artifact, folder, backend, measured, record, options.allowed),
    )
    return options, verdict.model_copy(update={"problems": problems, "notes": (*verdict.notes, *measured.notes, *notes)})


def _loosened(unasked: Mapping[str, Any], default_atol: float, options: type[Options]) -> Iterator[str]:
    """Say which options of a record, `unasked` for on the command line, are looser than their default, a clause each."""
    atol, tier = unasked.get("atol"), unasked.get("tier")
    looser: list[tuple[str, Any, Any]] = []
    if atol and atol > default_atol:
        looser.append(("atol", atol, default_atol))
    if tier:
        tiers: list[str] = [*TIERS]
        default_tier = options.model_fields["tier"].default
        looser += [("tier", tier, default_tier)] if tiers.index(tier) > tiers.index(default_tier) else []
    for name, value, default in looser:
        yield f"its record says {name} {value}, which is looser than the default {default}: to accept that, pass --{name} {value}"


def _strays(artifact: Path, backend: Backend, measured: Measurement, record: ArtifactRecord | None) -> Iterator[str]:
    """Say which files clients may load that were not validated, a clause each: in its folder and in the model's."""
    from converter.validation.sidecars import model_folders

    files = {file for variant in measured.verdict.variants for file in variant.files}
    files |= {bucket.file for bucket in measured.signature.buckets}
    files |= set() if measured.verdict.variants else {*backend.files.layout_in(artifact)}
    for name in stray_files(artifact, backend, files, record):
        yield f"{name} in its folder was not validated, and clients may load it: move it elsewhere"
    names = [file.path for file in record.sidecars] if record else ()
    if artifact.parent in model_folders(artifact, backend.name, names) and not holds_weights(artifact.parent):
        for path in sorted(artifact.parent.iterdir()):
            if path.is_file() and backend.files.is_client_file(path):
                yield f"../{path.name} lies beside its folder and was not validated, so clients may load it unchecked: move it elsewhere"


def _sidecar_problems(
    artifact: Path, checkpoint: Path, backend: Backend, measured: Measurement, record: ArtifactRecord | None, allowed: Allowed
) -> Iterator[str]:
    """The sidecar files that differ from the checkpoint's, a clause each."""
    from converter.validation.sidecars import Sidecars, model_folders

    generated = {**dict.fromkeys(backend.files.sidecars), **measured.generated_sidecars}
    for folder in model_folders(artifact, backend.name, [file.path for file in record.sidecars] if record else ()):
        prefix = "" if folder == artifact else "../"
        for problem in Sidecars(folder, checkpoint, generated, allowed).problems():
            yield f"{prefix}{problem}"
