"""Validation of an artifact that was made before, here or elsewhere: `converter validate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from converter.backends import Backend
from converter.checkpoints.fetch import fetch, resolve
from converter.errors import ConversionError
from converter.ledger import read_record, record_problems
from converter.pipeline import architecture_of, measure, measure_variants, with_feature
from converter.records import Options, Source, Verdict


def revalidate(backend: Backend, artifact: Path, reference: Source, asked: Mapping[str, Any]) -> tuple[Options, Verdict]:
    """Validate an artifact that was made before, here or elsewhere, against a checkpoint.

    The options are those of its record with those `asked` for over them; a note says which tolerance came from the record.
    A record that is not this artifact's, or a file that is not the recorded one, is a problem of the verdict.
    """
    record = read_record(artifact)
    recorded = dict(record.options) if record and record.backend == backend.name else {}
    if recorded.pop("config", None) and not asked.get("config"):  # a record may come from anywhere, and a configuration is run
        raise ConversionError(f"the artifact in {artifact} was made with a configuration of its maker's own", "name it with --config")
    for permission in ("allow_pickle", "trust_remote_code", "text", "evaluate"):  # nor does a record from anywhere allow anything
        recorded.pop(permission, None)
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
    variants = backend.variants(options)
    verdict = Verdict(atol=options.atol or 0, rtol=0, runtime="")
    notes: list[str] = []
    if not variants or backend.exact in variants:
        measured = measure(backend, artifact, folder, architecture, options)
        verdict, notes = measured.verdict, [*measured.notes]
    if variants:
        measured = measure_variants(backend, artifact, folder, architecture, options, verdict, make=False)
        verdict, notes = measured.verdict, [*measured.notes]
    notes += [f"atol {options.atol:g} is what its record says"] if recorded.get("atol") and "atol" not in asked else []
    if recorded.get("drop_weights") and "drop_weights" not in asked:
        notes.append("--drop-weights is what its record says")
    if variants and recorded and "tier" not in asked:
        notes.append(f"tier {options.measured_by.tier} is what its record says")
    problems = (*verdict.problems, *record_problems(artifact, backend))
    return options, verdict.model_copy(update={"problems": problems, "notes": (*verdict.notes, *notes)})
