"""The story of one job: `run_job`.

source → checkpoint → loaded model → artifact → verdict → record → installation

A batch, a single command and a worker all make Jobs and call this module. torch and transformers are imported when a model is
touched, so an unchanged job needs neither.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter.architectures import custom_code_error
from converter.architectures.selection import architecture_of, candidate_options, with_feature_note
from converter.artifacts.installation import install
from converter.artifacts.integrity import describe_files
from converter.artifacts.job_log import JobLog
from converter.artifacts.record_file import read_record
from converter.artifacts.rejection import is_accepted_unvalidated, rejection
from converter.artifacts.sidecars import copy_sidecars
from converter.artifacts.staging import staging_folder
from converter.artifacts.store import cache_key, find_up_to_date
from converter.artifacts.versions import versions_of
from converter.backends import BACKENDS
from converter.backends.cache import Cache
from converter.backends.conversion import Conversion
from converter.backends.result import ConversionResult
from converter.checkpoints.fetch import fetch, resolve
from converter.checkpoints.policy import is_sidecar
from converter.core.debugging import current, debugging
from converter.core.errors import ConversionError, ConverterError, NotSupportedError, ValidationError
from converter.core.garbage import collected
from converter.core.internal_error import internal_error
from converter.core.out_of_memory import is_out_of_memory
from converter.core.records import ArtifactRecord, Checkpoint, Event, Failure, Job, Options, Outcome, SourceRecord, Stage, Status
from converter.core.timing import Stages
from converter.validation.accuracy import custom_metric, texts

if TYPE_CHECKING:
    from converter.validation.measurement import Measurement

Observer = Callable[[Event], None]
"""Receives events."""


def unobserved(_: Event) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A planned job: its checkpoint at a commit, the versions for its artifact, and the cache key.

    It is sent to another process, which has no class of a custom configuration; so the class is loaded again there. `fallback` is the
    plan without KV cache, used if the model has none.
    """

    job: Job
    checkpoint: Checkpoint
    versions: Mapping[str, str]
    key: str
    stages: tuple[Stage, ...] = ()
    fallback: Plan | None = None


def run_job(job: Job, observe: Observer = unobserved) -> Outcome:
    """Do one job from beginning to end. Whatever goes wrong becomes its outcome; only an interruption is raised."""
    planned = plan_job(job, observe)
    return planned if isinstance(planned, Outcome) else finish(job, execute(planned, observe))


def finish(job: Job, outcome: Outcome) -> Outcome:
    """The outcome of a job that nothing more will be done about, with the last line of its log."""
    if not job.log or outcome.status == "skipped":
        return outcome
    log = JobLog(job, kept=outcome.status in ("converted", "unvalidated"))
    log.write(Event.of_outcome(outcome))
    return outcome.model_copy(update={"log": str(log.path) if log.path else None})


def plan_job(job: Job, observe: Observer = unobserved) -> Plan | Outcome:
    """The story up to the first weight: a Plan, or the Outcome of a failed or unchanged job."""
    events: list[Event] = []
    stages = Stages(tee(events.append, observe))
    try:
        with stages.stage("resolve"):
            before = read_record(job.destination)
            checkpoint = resolve(job.source, job.options.allowed, before.source.files if before else ())
            checkpoint = with_feature_note(checkpoint, job.options)
            architecture = architecture_of(checkpoint, job.options)
            versions = {**versions_of(BACKENDS[job.backend].packages), **architecture.origin, **_origins(job.options)}
            plans: list[Plan] = []
            for options in candidate_options(job.options, architecture, checkpoint):
                key = cache_key(checkpoint, job.backend, options, versions)
                plans.append(Plan(job=replace(job, options=options), checkpoint=checkpoint, versions=versions, key=key))
            matches = [(plan, record) for plan in plans if (record := _find_up_to_date(plan.job, plan.key))]
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome and not the end of the others
        JobLog(job).write(Event(event="job-began"), *events)
        return failed_outcome(job, stages, error)
    if matches:
        ((plan, done), *_) = matches
        return _up_to_date(plan.job, done, stages, checkpoint)
    preferred, *others = (replace(plan, stages=tuple(stages.done)) for plan in plans)
    return replace(preferred, fallback=next(iter(others), None))


class OccupiedError(BaseException):
    """Another run makes the artifact. A BaseException, because it is no outcome of the job."""


def execute(plan: Plan, observe: Observer = unobserved, *, patient: bool = True) -> Outcome:
    """The rest of the story: fetch, load, convert, validate, and put the artifact in its place with its record.

    Another run that makes the artifact is waited for. If not `patient`, OccupiedError is raised instead.
    """
    job, checkpoint, backend = plan.job, plan.checkpoint, BACKENDS[plan.job.backend]
    log = JobLog(job, buffered=True)  # until the lock is held: another run may write it
    notify = tee(log.write, observe)
    log.write(Event(event="job-began", message=_log_heading(plan)), *map(Event.of_stage, plan.stages))
    stages = Stages(notify, plan.stages)

    def occupied() -> None:
        if not patient:
            raise OccupiedError
        notify(Event(event="waiting"))

    try:
        with ExitStack() as stack:
            stack.enter_context(debugging(job.debugging))
            with stages.stage("fetch"):
                backend.check_environment(job.options)
                staged = stack.enter_context(staging_folder(job.destination, occupied))
                if done := _find_up_to_date(job, plan.key):  # another run has made it in the meantime
                    return _up_to_date(job, done, stages, checkpoint)
                log.flush()
                architecture = architecture_of(checkpoint, job.options)
                if not architecture.origin.items() <= plan.versions.items():
                    raise ConversionError(f"{job.options.config} was changed in the meantime", "run it again")
                folder = fetch(checkpoint, job.options.allowed)
            conversion = Conversion(
                backend=backend,
                architecture=architecture,
                checkpoint=folder,
                options=job.options,
                cache=Cache(job.cache, plan.versions) if job.cache else None,
                destination=job.destination,
            )
            result, measured = _make(conversion, staged, stages)
            if not (measured.verdict.passed or is_accepted_unvalidated(measured.verdict, job.options)):
                raise rejection(measured.verdict, job, staged)
            with stages.stage("record"):
                for name in result.shared_files:
                    (staged / name).unlink()
                names = filter(is_sidecar, checkpoint.files)
                sidecars = copy_sidecars(folder, names, job.model_folder, measured.generated_sidecars) if job.model_folder else ()
                record = ArtifactRecord(
                    key=plan.key,
                    source=_source_record(checkpoint),
                    backend=backend.name,
                    options=job.options.model_dump(mode="json"),
                    versions=plan.versions,
                    configuration=architecture.onnx_config.__name__,
                    dtype=measured.dtype,
                    signature=measured.signature,
                    tried=measured.verdict.tried,
                    files=describe_files(staged),
                    shared_files=describe_files(job.destination, result.shared_files),
                    sidecars=sidecars,
                    verdict=measured.verdict,
                    stages=tuple(stages.done),
                    notes=result.notes,
                )
                log.stage(staged)
                install(staged, record, job.destination)
                log.keep()
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome and not the end of the others
        log.flush()
        return _fall_back(plan, error, observe, patient=patient) or failed_outcome(job, stages, error)
    except BaseException:
        log.write(Event(event="job-ended", status="interrupted", stage=stages.current))
        raise
    status: Status = "unvalidated" if record.verdict.unvalidated else "converted"
    notes = (*checkpoint.notes, *([architecture.note] if architecture.note else ()), *result.notes)
    return Outcome.of(job, status, artifact=record.summary, verdict=record.verdict, stages=tuple(stages.done), notes=notes)


def _fall_back(plan: Plan, error: Exception | SystemExit, observe: Observer, *, patient: bool) -> Outcome | None:
    """The outcome of the plan without KV cache, if there is one and `error` may be the cache's."""
    if plan.fallback is None or not isinstance(error, NotSupportedError):
        return None
    outcome = execute(plan.fallback, observe, patient=patient)
    if outcome.failure and outcome.failure.message == error.message:  # it was not the cache
        return outcome
    note = f"it is tried for {plan.fallback.job.options.feature}, without a cache: {error.message}"
    return outcome.model_copy(update={"notes": (*outcome.notes, note)})


def _find_up_to_date(job: Job, key: str) -> ArtifactRecord | None:
    """The record of an up-to-date artifact; an artifact that was not validated does not count if this machine could validate it."""
    done = find_up_to_date(job.destination, job.model_folder, key)
    return None if done and done.verdict.unvalidated and BACKENDS[job.backend].validates_here else done


def _up_to_date(job: Job, done: ArtifactRecord, stages: Stages, checkpoint: Checkpoint) -> Outcome:
    status: Status = "unvalidated" if done.verdict.unvalidated else "skipped"
    return Outcome.of(
        job, status, artifact=done.summary, verdict=done.verdict, stages=tuple(stages.done), notes=(*checkpoint.notes, *done.notes)
    )


def _log_heading(plan: Plan) -> str:
    """The first events of a job's log."""
    chosen = ", ".join(f"{name} {value}" for name, value in plan.job.options.model_dump(exclude_defaults=True).items())
    return f"{plan.checkpoint.identity} with {', '.join(f'{name} {version}' for name, version in plan.versions.items())}; {chosen}"


def tee(first: Observer, second: Observer) -> Observer:
    """Tells two, in this order."""

    def notify(event: Event) -> None:
        first(event)
        second(event)

    return notify


def _make(conversion: Conversion, staged: Path, stages: Stages) -> tuple[ConversionResult, Measurement]:
    """The artifact in `staged` with its verdict; made again from scratch if a cached graph failed, and once more without patches."""
    from converter.validation.measurement import measure_variants

    result, measured = _attempt(conversion, staged, stages)
    if result.reused and not (measured and measured.verdict.passed):
        result.reject()
        _clear(staged)
        conversion.release()
        conversion = replace(conversion, cache=None)
        result, measured = _attempt(conversion, staged, stages)
    assert measured
    if not measured.verdict.passed and conversion.backend.patches_exporter and not current().plain_export:
        _clear(staged)
        conversion.release()
        with debugging(replace(current(), plain_export=True)):
            result, measured = _attempt(conversion, staged, stages)
        assert measured
        result = replace(result, notes=(*result.notes, _UNPATCHED))
        if not measured.verdict.passed:
            notes = (*measured.verdict.notes, _UNPATCHED_TOO)
            measured = replace(measured, verdict=measured.verdict.model_copy(update={"notes": notes}))
    if not measured.verdict.passed:
        return result, measured
    result.accept()
    if conversion.variants:
        with stages.stage("variants"):
            measured = measure_variants(conversion, staged, measured.verdict, make=True)
        if not conversion.keeps_base:
            result = replace(result, shared_files=())
    return result, measured


_UNPATCHED = "it matches only without the converter's patches of torch's exporter (CONVERTER_PLAIN_EXPORT=1): report this"
_UNPATCHED_TOO = "it was tried without the converter's patches of torch's exporter too"


def _clear(staged: Path) -> None:
    for file in staged.iterdir():
        file.unlink()


def _attempt(conversion: Conversion, staged: Path, stages: Stages) -> tuple[ConversionResult, Measurement | None]:
    """Convert and validate; no measurement if a cached graph could not even be run."""
    from converter.validation.measurement import measure

    with stages.stage("convert"):
        result = _convert(conversion, staged)
    with stages.stage("validate"):
        try:
            return result, measure(conversion, staged)
        except ConverterError:
            if not result.reused:
                raise
            return result, None


@collected()  # a captured graph is full of cycles, and the validation wants the memory
def _convert(conversion: Conversion, staged: Path) -> ConversionResult:
    configured = conversion.load()
    result = conversion.backend.convert(configured, conversion, staged)
    return replace(result, notes=(*configured.model.notes, *result.notes))


def _origins(options: Options) -> Mapping[str, str]:
    """The digests of custom texts and metrics. Raises NotSupportedError if a file is missing."""
    asked = options.accuracy_requirement
    return {**texts.origin(asked.text), **custom_metric.origin(asked.evaluate)}


def _source_record(checkpoint: Checkpoint) -> SourceRecord:
    return SourceRecord(
        model=checkpoint.source.name,
        revision=checkpoint.source.revision,
        identity=checkpoint.identity,
        model_type=checkpoint.model_type,
        weight_bytes=checkpoint.weight_bytes,
        repository=checkpoint.repository,
        visibility=checkpoint.visibility,
        contents=checkpoint.contents,
        pickle=checkpoint.has_pickle,
        code=checkpoint.has_code,
        files=checkpoint.described,
    )


def failed_outcome(job: Job, stages: Stages, error: Exception | SystemExit) -> Outcome:
    problem = error if isinstance(error, ConverterError) and not is_out_of_memory(error) else internal_error(error)
    if problem is not error and job.options.config and not is_out_of_memory(error):
        problem = custom_code_error(job.options.config, error)
    failure = Failure(
        stage=stages.current,
        kind=type(error).__name__,
        message=problem.message,
        hint=problem.hint,
        is_transient=problem.is_transient,
        traceback="".join(traceback.format_exception(error)),
    )
    verdict = error.verdict if isinstance(error, ValidationError) else None
    return Outcome.of(job, "failed", verdict=verdict, failure=failure, stages=tuple(stages.done))
