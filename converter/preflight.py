"""`--check`: findings on a checkpoint before its conversion."""

from __future__ import annotations

from dataclasses import replace

from converter.architectures.selection import architecture_of, with_feature
from converter.backends import BACKENDS
from converter.checkpoints.fetch import fetch, resolve
from converter.core.records import Finding, Job, Outcome
from converter.core.timing import Stages
from converter.pipeline import Observer, failed_outcome, unobserved


def preflight(job: Job, observe: Observer = unobserved) -> tuple[Finding, ...] | Outcome:
    """The findings on a checkpoint, or the Outcome of a job that fails before them."""
    from converter.architectures.dummies import makes_its_own
    from converter.backends.loading import load_for_conversion
    from converter.checkpoints.loading import load_tokenizer

    stages = Stages(observe)
    backend = BACKENDS[job.backend]
    try:
        with stages.stage("resolve"):
            checkpoint = resolve(job.source, job.options.allowed)
            architecture = architecture_of(checkpoint, job.options)
            job = replace(job, options=with_feature(job.options, architecture, checkpoint))
        with stages.stage("fetch"):
            folder = fetch(checkpoint, job.options.allowed)
        with stages.stage("check"):
            model, config = load_for_conversion(folder, architecture, backend, job.options)
            preprocessor = load_tokenizer(folder, job.options.allowed) if makes_its_own(config) else None
            return tuple(backend.check(model, config, job.options, preprocessor))
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome
        return failed_outcome(job, stages, error)
