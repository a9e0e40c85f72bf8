"""The story of one job: `run_job` tells it whole.

    source → checkpoint → loaded model → artifact → verdict → record → its place

Every way in (a batch, a single command, a worker) makes Jobs and comes through here. torch and transformers are imported
where the story first touches a model, and not before: a job that is done already costs neither.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter.architectures import (
    Architecture,
    OnnxConfig,
    canonical,
    embedding_architecture,
    feature_of_class,
    find_architecture,
    own_architecture,
    own_fault,
)
from converter.architectures.embedders import encoder_class
from converter.architectures.features import WITH_PAST
from converter.artifacts.job_log import JobLog
from converter.artifacts.staging import copy_sidecars, keep_rejected, publish, staging_folder
from converter.artifacts.store import describe_files, find_done, job_key, read_record, versions_of
from converter.backends import BACKENDS, Backend, Cache, Conversion
from converter.checkpoints.fetch import fetch, resolve
from converter.checkpoints.policy import is_sidecar
from converter.core.errors import (
    ConversionError,
    ConverterError,
    NotSupportedError,
    OutputError,
    ValidationError,
    is_lack_of_memory,
    unforeseen,
)
from converter.core.records import (
    ArtifactRecord,
    Checkpoint,
    Event,
    Failure,
    Finding,
    Job,
    Options,
    Outcome,
    Signature,
    SourceRecord,
    Stage,
    Status,
    Verdict,
)
from converter.core.timing import Stages
from converter.validation.accuracy import custom_metric as own
from converter.validation.accuracy import texts

if TYPE_CHECKING:
    from converter.checkpoints.loading import LoadedModel

Observer = Callable[[Event], None]
"""Is told what happens, as it happens."""


def _unobserved(_: Event) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job that is to be done: its checkpoint at a commit, what its artifact will be made with, and the key it will bear.

    It goes to another process, where the class of a user's own configuration is not known: so that is found again there.
    `otherwise` is what is done where the model turns out not to be had in the form that nobody asked for but its backend prefers.
    """

    job: Job
    checkpoint: Checkpoint
    versions: Mapping[str, str]
    key: str
    stages: tuple[Stage, ...] = ()
    otherwise: Plan | None = None


@dataclass(frozen=True)
class Measurement:
    """A verdict, the artifact's own account of itself, files that its clients want beside the checkpoint's, and notes on the checkpoint.

    `default_atol` is the absolute tolerance of a verdict for which none was asked.
    """

    verdict: Verdict
    dtype: str
    signature: Signature
    beside: Mapping[str, bytes]
    default_atol: float
    notes: tuple[str, ...] = ()


def run_job(job: Job, observe: Observer = _unobserved) -> Outcome:
    """Do one job from beginning to end. Whatever goes wrong becomes its outcome; only an interruption is raised."""
    planned = plan_job(job, observe)
    return planned if isinstance(planned, Outcome) else conclude(job, carry_out(planned, observe))


def conclude(job: Job, outcome: Outcome) -> Outcome:
    """The outcome of a job that nothing more will be done about, with the last line of its log."""
    if not job.log:
        return outcome
    log = JobLog(job, kept=outcome.status in ("converted", "unvalidated"))
    log.write(Event.of_outcome(outcome))
    return outcome.model_copy(update={"log": str(log.path) if log.path else None})


def plan_job(job: Job, observe: Observer = _unobserved) -> Plan | Outcome:
    """The story up to the first weight: a Plan, or the Outcome of a job that fails here or is done already."""
    told: list[Event] = []
    stages = Stages(both(told.append, observe))
    try:
        with stages.stage("resolve"):
            before = read_record(job.destination)
            checkpoint = resolve(job.source, job.options.allowed, before.source.files if before else ())
            checkpoint = _noting_feature(checkpoint, job.options)
            architecture = architecture_of(checkpoint, job.options)
            versions = {**versions_of(BACKENDS[job.backend].packages), **architecture.origin, **_origins(job.options)}
            plans: list[Plan] = []
            for options in _forms(job.options, architecture, checkpoint):
                key = job_key(checkpoint, job.backend, options, versions)
                plans.append(Plan(job=replace(job, options=options), checkpoint=checkpoint, versions=versions, key=key))
            found = [(plan, record) for plan in plans if (record := _find_done(plan.job, plan.key))]
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome and not the end of the others
        JobLog(job).write(Event(event="job-began"), *told)
        return _failed(job, stages, error)
    if found:
        ((plan, done), *_) = found
        return _done_already(plan.job, done, stages, checkpoint)
    preferred, *others = (replace(plan, stages=tuple(stages.done)) for plan in plans)
    return replace(preferred, otherwise=next(iter(others), None))


def carry_out(plan: Plan, observe: Observer = _unobserved) -> Outcome:
    """The rest of the story: fetch, load, convert, validate, and put the artifact in its place with its record."""
    job, checkpoint, backend = plan.job, plan.checkpoint, BACKENDS[plan.job.backend]
    log = JobLog(job)
    tell = both(log.write, observe)
    log.write(Event(event="job-began", message=_told_of(plan)), *map(Event.of_stage, plan.stages))
    stages = Stages(tell, plan.stages)
    try:
        with ExitStack() as stack:
            with stages.stage("fetch"):
                backend.ready(job.options)
                staged = stack.enter_context(staging_folder(job.destination, lambda: tell(Event(event="waiting"))))
                if done := _find_done(job, plan.key):  # another run has made it in the meantime
                    return _done_already(job, done, stages, checkpoint)
                architecture = architecture_of(checkpoint, job.options)
                if not architecture.origin.items() <= plan.versions.items():
                    raise ConversionError(f"{job.options.config} was changed in the meantime", "run it again")
                folder = fetch(checkpoint, job.options.allowed)
            conversion, measured = _make(plan, architecture, folder, staged, stages)
            if not (measured.verdict.passed or _is_let_pass(measured.verdict, job.options)):
                raise _rejection(measured.verdict, job, staged)
            with stages.stage("record"):
                for name in conversion.lent:
                    (staged / name).unlink()
                names = filter(is_sidecar, checkpoint.files)
                sidecars = copy_sidecars(folder, names, job.model_folder, measured.beside) if job.model_folder else ()
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
                    lent=describe_files(job.destination, conversion.lent),
                    sidecars=sidecars,
                    verdict=measured.verdict,
                    stages=tuple(stages.done),
                    notes=conversion.notes,
                )
                log.stage(staged)
                publish(staged, record, job.destination)
                log.keep()
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome and not the end of the others
        if plan.otherwise and isinstance(error, NotSupportedError):
            note = f"it is tried for {plan.otherwise.job.options.feature}, without a cache: {error.message}"
            outcome = carry_out(plan.otherwise, observe)
            return outcome.model_copy(update={"notes": (*outcome.notes, note)})
        return _failed(job, stages, error)
    except BaseException:
        log.write(Event(event="job-ended", status="interrupted", stage=stages.current))
        raise
    status: Status = "unvalidated" if record.verdict.unvalidated else "converted"
    notes = (*checkpoint.notes, *([architecture.note] if architecture.note else ()), *conversion.notes)
    return Outcome.of(job, status, artifact=record, verdict=record.verdict, stages=tuple(stages.done), notes=notes)


def look_ahead(job: Job, observe: Observer = _unobserved) -> tuple[Finding, ...] | Outcome:
    """What can be found out of a checkpoint before it is converted, or the Outcome of a job that fails before that."""
    from converter.architectures.dummies import makes_its_own
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
            model, config = _load(folder, architecture, backend, job.options)
            preprocessor = load_tokenizer(folder, job.options.allowed) if makes_its_own(config) else None
            return tuple(backend.check(model, config, job.options, preprocessor))
    except (Exception, SystemExit) as error:  # whatever it is, it is this job's outcome
        return _failed(job, stages, error)


def measure(backend: Backend, artifact: Path, checkpoint: Path, architecture: Architecture, options: Options) -> Measurement:
    """Validate the artifact in one folder against the checkpoint in another, each opened afresh."""
    from converter.checkpoints.loading import load_tokenizer
    from converter.validation.reference import Reference
    from converter.validation.validate import default_tolerance, validate

    with closing(backend.open(artifact)) as session:
        model, config = _load_reference(checkpoint, architecture, backend, options)
        verdict = validate(session, Reference(model, tuple(config.outputs)), config, load_tokenizer(checkpoint, options.allowed), options)
        beside = backend.beside(model, config, session.signature, artifact)
        default_atol = default_tolerance(config, model.dtype).atol
        return Measurement(verdict, model.dtype, session.signature, beside, default_atol, model.notes)


def measure_variants(
    backend: Backend, artifact: Path, checkpoint: Path, architecture: Architecture, options: Options, exact: Verdict, *, make: bool
) -> Measurement:
    """The same of its variants, by what they lose, beside the verdict on the `exact` files; `make` makes them first, of these."""
    from converter.checkpoints.loading import load_tokenizer
    from converter.validation.accuracy.variants import judge
    from converter.validation.validate import default_tolerance

    model, config = _load_reference(checkpoint, architecture, backend, options)
    variants = judge(backend, artifact, model, config, load_tokenizer(checkpoint, options.allowed), options, make=make)
    if make and backend.exact not in backend.variants(options):
        backend.drop(artifact, backend.exact)
    with closing(backend.open(artifact)) as session:
        signature = session.signature
    verdict = exact.model_copy(update={"variants": variants})
    beside, default_atol = backend.beside(model, config, signature, artifact), default_tolerance(config, model.dtype).atol
    return Measurement(verdict, variants[0].floats, signature, beside, default_atol, model.notes)


def _find_done(job: Job, key: str) -> ArtifactRecord | None:
    """The record of the artifact, where it is there already; one that was not validated is not, where it can be here."""
    done = find_done(job.destination, job.model_folder, key)
    return None if done and done.verdict.unvalidated and BACKENDS[job.backend].validates_here else done


def _done_already(job: Job, done: ArtifactRecord, stages: Stages, checkpoint: Checkpoint) -> Outcome:
    status: Status = "unvalidated" if done.verdict.unvalidated else "skipped"
    return Outcome.of(job, status, artifact=done, verdict=done.verdict, stages=tuple(stages.done), notes=(*checkpoint.notes, *done.notes))


def _told_of(plan: Plan) -> str:
    """What a job's log begins with."""
    chosen = ", ".join(f"{name} {value}" for name, value in plan.job.options.model_dump(exclude_defaults=True).items())
    return f"{plan.checkpoint.identity} with {', '.join(f'{name} {version}' for name, version in plan.versions.items())}; {chosen}"


def both(first: Observer, second: Observer) -> Observer:
    """Tells two, in this order."""

    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell


def _make(plan: Plan, architecture: Architecture, folder: Path, staged: Path, stages: Stages) -> tuple[Conversion, Measurement]:
    """The artifact in `staged`, measured; made a second time, from nothing, where what was left in the cache did not serve."""
    backend, job = BACKENDS[plan.job.backend], plan.job
    cache = Cache(job.cache, plan.versions) if job.cache else None
    with stages.stage("convert"):
        conversion = _convert(cache, architecture, backend, folder, staged, job)
    with stages.stage("validate"):
        try:
            measured = measure(backend, staged, folder, architecture, job.options)
        except ConverterError:
            if not conversion.reused:
                raise
            measured = None
    if conversion.reused and not (measured and measured.verdict.passed):
        conversion.reject()
        for file in staged.iterdir():
            file.unlink()
        return _make(replace(plan, job=replace(job, cache=None)), architecture, folder, staged, stages)
    assert measured
    if not measured.verdict.passed:
        return conversion, measured
    conversion.accept()
    if backend.variants(job.options):
        with stages.stage("variants"):
            measured = measure_variants(backend, staged, folder, architecture, job.options, measured.verdict, make=True)
        if backend.exact not in backend.variants(job.options):
            conversion = replace(conversion, lent=())
    return conversion, measured


def _convert(cache: Cache | None, architecture: Architecture, backend: Backend, folder: Path, staged: Path, job: Job) -> Conversion:
    from converter.architectures.dummies import makes_its_own
    from converter.checkpoints.loading import load_tokenizer

    model, config = _load(folder, architecture, backend, job.options)
    preprocessor = load_tokenizer(folder, job.options.allowed) if makes_its_own(config) else None
    conversion = backend.convert_with(cache, model, config, job.options, staged, preprocessor, job.destination)
    conversion = replace(conversion, notes=(*model.notes, *conversion.notes))
    if not conversion.reused:
        gc.collect()  # a captured graph is full of cycles, and the validation wants the memory
    return conversion


def _load(folder: Path, architecture: Architecture, backend: Backend, options: Options) -> tuple[LoadedModel, OnnxConfig]:
    """The checkpoint in the form that `backend` converts, and the configuration by which it does."""
    from converter.checkpoints.loading import load_model

    assert options.feature
    attn_implementation = backend.attn_implementation(architecture.onnx_config)
    model = load_model(folder, architecture.auto_class(options.feature), options.loads_as, attn_implementation, options.allowed)
    return model, backend.configure(architecture, model, options)


def _load_reference(folder: Path, architecture: Architecture, backend: Backend, options: Options) -> tuple[LoadedModel, OnnxConfig]:
    """The checkpoint as a user of transformers loads it, and the configuration by which it is measured."""
    from converter.checkpoints.loading import load_model

    assert options.feature
    model = load_model(folder, architecture.auto_class(options.feature), options.loads_as, allowed=options.allowed)
    return model, backend.configure(architecture, model, options)


def architecture_of(checkpoint: Checkpoint, options: Options) -> Architecture:
    """The user's own description of the architecture where there is one, else ours."""
    if options.config:
        return embedding_architecture(own_architecture(options.config, checkpoint.model_type), _classes(checkpoint))
    written_by = str(checkpoint.config.get("transformers_version", ""))
    return find_architecture(checkpoint.model_type, written_by, _classes(checkpoint))


def _origins(options: Options) -> Mapping[str, str]:
    """What a user's own texts and metric are known by. Raises NotSupportedError where they are not there."""
    asked = options.measured_by
    return {**texts.origin(asked.text), **own.origin(asked.evaluate)}


def _forms(options: Options, architecture: Architecture, checkpoint: Checkpoint) -> Iterator[Options]:
    """The options that a job is done with; behind them those for a model that turns out to have no cache, where nobody asked for one."""
    chosen = with_feature(options, architecture, checkpoint)
    yield chosen
    if not options.feature and chosen.feature and chosen.feature.endswith(WITH_PAST):
        yield chosen.model_copy(update={"feature": chosen.feature.removesuffix(WITH_PAST)})


def with_feature(options: Options, architecture: Architecture, checkpoint: Checkpoint) -> Options:
    """The options with the feature that was asked for by its documented name, or with the one that the checkpoint was trained for."""
    feature = architecture.choose_feature(options.feature, _classes(checkpoint), options.prefers_cache, checkpoint.task)
    return options.model_copy(update={"feature": feature})


def _classes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The classes that config.json names; of an encoder whose family has a decoder too the class of the encoder alone."""
    encoder = encoder_class(checkpoint.model_type) if canonical(checkpoint.task) == "default" else None
    return (encoder,) if encoder else checkpoint.classes


def _noting_feature(checkpoint: Checkpoint, options: Options) -> Checkpoint:
    """The checkpoint with a note if the feature is another than config.json's, by what its repository is."""
    named = checkpoint.classes[0] if checkpoint.classes else ""
    if options.feature or not checkpoint.task or not named or feature_of_class(named) == canonical(checkpoint.task):
        return checkpoint
    note = (
        f"modules.json says that the model is loaded for {checkpoint.task}, so it is converted for that, though config.json names {named}"
    )
    return replace(checkpoint, notes=(*checkpoint.notes, note))


def _is_let_pass(verdict: Verdict, options: Options) -> bool:
    """Whether nothing measured it, nothing is known against it, and its user has said that this is enough."""
    return bool(verdict.unvalidated) and not verdict.problems and options.accepts_unvalidated


def _rejection(verdict: Verdict, job: Job, staged: Path) -> ValidationError:
    kept = _kept(verdict, job, staged) if job.keep_rejected else ""
    if verdict.unvalidated and not verdict.problems:
        return ValidationError(
            f"the artifact could not be validated: {verdict.unvalidated}{kept}",
            "convert it where something runs it, or keep it with --allow-unvalidated and run `converter validate` there",
            verdict,
        )
    lost = [f"{variant.files[-1]} {'; '.join(variant.problems)}" for variant in verdict.variants if not variant.passed]
    if lost:
        return ValidationError(
            f"{'. '.join(lost)}{kept}",
            "see every figure with --json; ask for a wider precision, or for less with --tier",
            verdict,
        )
    allowed = "" if verdict.problems else "; a difference that you accept can be allowed with --atol"
    return ValidationError(
        f"the artifact does not do what the checkpoint does: {verdict.first_problem}{kept}",
        f"see every figure with --json{allowed}",
        verdict,
    )


def _kept(verdict: Verdict, job: Job, staged: Path) -> str:
    """Keep a rejected artifact, and return where it is or why it could not be kept, as the end of a sentence."""
    try:
        return f"; it is kept in {keep_rejected(staged, verdict, job.destination)}"
    except OutputError as error:  # the verdict matters more
        return f"; it could not be kept: {error.message}"


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


def _failed(job: Job, stages: Stages, error: Exception | SystemExit) -> Outcome:
    told = error if isinstance(error, ConverterError) and not is_lack_of_memory(error) else unforeseen(error)
    if told is not error and job.options.config and not is_lack_of_memory(error):
        told = own_fault(job.options.config, error)
    failure = Failure(
        stage=stages.current,
        kind=type(error).__name__,
        message=told.message,
        hint=told.hint,
        passing=told.passing,
        traceback="".join(traceback.format_exception(error)),
    )
    verdict = error.verdict if isinstance(error, ValidationError) else None
    return Outcome.of(job, "failed", verdict=verdict, failure=failure, stages=tuple(stages.done))
