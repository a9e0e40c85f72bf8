"""`--check`: findings on a checkpoint before its conversion."""

from __future__ import annotations

from dataclasses import replace

from converter.architectures.selection import architecture_of, with_feature
from converter.backends import BACKENDS
from converter.backends.conversion import Conversion
from converter.checkpoints.fetch import fetch, resolve
from converter.core.records import Finding, Job, Outcome
from converter.core.timing import Stages
from converter.pipeline import Observer, failed_outcome, unobserved


def preflight(job: Job, observe: Observer = unobserved) -> tuple[Finding, ...] | Outcome:
    """The findings on a checkpoint, or the Outcome of a job that fails before them."""
    stages = Stages(observe)
    backend = BACKENDS[job.backend]
    check = backend.preflight
    assert check
    try:
        with stages.stage("resolve"):
            checkpoint = resolve(job.source, job.options.allowed)
            architecture = architecture_of(checkpoint, job.options)
            job = replace(job, options=with_feature(job.options, architecture, checkpoint))
        with stages.stage("fetch"):
            folder = fetch(checkpoint, job.options.allowed)
        with stages.stage("check"):
            conversion = Conversion(backend=backend, architecture=architecture, checkpoint=folder, options=job.options)
            return tuple(check.check(conversion.load(), job.options))
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome
        return failed_outcome(job, stages, error)
