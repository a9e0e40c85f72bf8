"""The Python interface: `converter.convert`, `validate`, `plan`, `run` and `push`.

Each function does what the command of its name does. Errors are raised; results are the records that the commands write.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from converter.artifacts.finding import find_artifacts
from converter.backends import BACKENDS, Backend, unknown_backend
from converter.backends.option_values import check_options, make_options
from converter.checkpoints.source import read_source
from converter.core import errors
from converter.core.errors import CheckpointError, ConverterError, UsageError, ValidationError
from converter.core.output_errors import check_writable
from converter.core.reason import reason
from converter.core.records import Event, Failure, Job, Outcome, PlannedJob, Pushed, Source, Verdict
from converter.executors.batch import Batch, run_here
from converter.executors.limits import DEFAULT
from converter.manifest import DEFAULT_BACKENDS
from converter.manifest.jobs import read_jobs
from converter.pipeline import plan_job, run_job
from converter.planning import describe
from converter.publish import batch
from converter.publish.permissions import check_account, check_target
from converter.publish.push import Target
from converter.publish.push import push as push_folders
from converter.report import Report, in_order, write
from converter.revalidation import revalidate


def convert(
    model: Any, to: str = "onnx", output: str | Path = "out", tokenizer: Any = None, cache: str | Path | None = None, **options: Any
) -> Outcome:
    """Convert one checkpoint, and validate the artifact against it.

    Args:
        model: a Hub id, with `@revision` if needed; a folder, which a `Path` always is; or a loaded model of transformers, in any floating
            point type. A loaded model is written to a temporary checkpoint first.
        to: the backend: `onnx`, `torchscript`, `neuron` or an installed one.
        output: the model's folder. The artifact goes to `output/<to>`, the config and tokenizer files beside it.
        tokenizer: the tokenizer of a loaded model, for the validation on text; None without one.
        cache: a folder of captured graphs, which serve later conversions of the same configuration; None to keep none.
        options: the options of the backend, as in a manifest: `feature="masked-lm"`, `precision=["fp32", "q8"]`.

    Returns:
        The outcome. `path` is the artifact's folder, `validation` has every figure, `variants` the other precisions by name.
        Its status is `skipped` if an artifact of the same checkpoint and options was there already.

    Raises:
        UsageError: an unknown backend or option, or a wrong value; nothing was started.
        CheckpointError: the checkpoint is missing, damaged or refused.
        NotSupportedError: the architecture or the feature cannot be converted.
        ConversionError: the model cannot be captured, or the checkpoint has no weights for the feature.
        ValidationError: the artifact does not match the checkpoint; `verdict` has the figures, and nothing was written.
        OutputError: the folder cannot be written.

    Example:
        >>> result = converter.convert("org/name@main", to="onnx", output="out", precision=["fp32", "q8"])
        >>> result.path, result.validation.max_abs_error, result.variants["q8"].accuracy.cosine_min
    """
    backend, place = _backend(to), _path(output, "output")
    checked = make_options(backend.options, options, hint=_HINT)
    graphs = None if cache is None else _path(cache, "cache")
    if isinstance(model, str | Path) and tokenizer is not None:
        raise UsageError("tokenizer: it is for a loaded model; a checkpoint brings its own", "leave it out")
    with tempfile.TemporaryDirectory(prefix="converter-") as scratch:
        folder = Path(scratch) / "checkpoint"
        source = _source(model) if isinstance(model, str | Path) else _saved(model, tokenizer, folder)
        job = Job(
            source=source,
            backend=backend.name,
            options=checked,
            destination=place / backend.name,
            model_folder=place,
            cache=graphs,
        )
        outcome = run_job(job)
    if outcome.failure:
        _raise(outcome.failure, outcome.verdict)
    return outcome


def validate(artifact: str | Path, reference: str | Path, **options: Any) -> Verdict:
    """Validate an existing artifact against a checkpoint.

    Args:
        artifact: the artifact's folder, or a file in it.
        reference: the checkpoint: a Hub id, with `@revision` if needed, or a folder.
        options: options that differ from the artifact's record, such as `atol=1e-4`. A record alone cannot loosen a check: a larger `atol`
            or `tier` than the default has to be given here too.

    Returns:
        The verdict, which has passed.

    Raises:
        UsageError: no artifact, several, or a wrong option; nothing was measured.
        ValidationError: the artifact does not match; `verdict` has the figures.
        ConverterError: the artifact cannot be measured.

    Example:
        >>> converter.validate("out/onnx", reference="org/name@main").max_abs_error
    """
    source = _source(reference)
    backend, folder = _one_artifact(_path(artifact, "artifact"))
    check_options(backend.options, options, hint=_HINT)
    _, verdict = revalidate(backend, folder, source, options)
    if not verdict.passed:
        raise ValidationError(f"{folder} does not match {source}: {verdict.first_problem}", "", verdict)
    return verdict


def plan(manifest: str | Path, output: str | Path = "out", backends: str | Iterable[str] = DEFAULT_BACKENDS) -> tuple[PlannedJob, ...]:
    """List the jobs of a manifest. Converts and downloads nothing.

    Args:
        manifest: the manifest, models.txt or models.yaml.
        output: the folder of `run`, in which unchanged artifacts are found.
        backends: the backends of entries without `to=`.

    Returns:
        The jobs in the manifest's order. One that will fail has a `failure`.

    Raises:
        ManifestError: the manifest is wrong; `problems` are all problems with their places.
        UsageError: there is no manifest, or an argument is wrong.

    Example:
        >>> [job.model for job in converter.plan("models.txt") if job.action == "convert"]
    """
    return tuple(describe(plan_job(job)) for job in read_jobs(_path(manifest, "manifest"), _path(output, "output"), _backends(backends)))


def run(
    manifest: str | Path,
    output: str | Path = "out",
    backends: str | Iterable[str] = DEFAULT_BACKENDS,
    push: batch.Way | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
) -> Report:
    """Convert every checkpoint of a manifest, and write report.json, report.md and report.html.

    Jobs run in processes of their own, with the time limit and the retries that are the command's defaults, and each has a log file. So
    a script calls this under `if __name__ == "__main__":`, as for multiprocessing.

    Args:
        manifest: the manifest, models.txt or models.yaml.
        output: the folder for artifacts and reports.
        backends: the backends of entries without `to=`.
        push: where validated artifacts go on the Hub: `pr` or `commit` to the checkpoint's repository, `repo` to a new one; None for
            nowhere.
        workers: conversions at a time; None to follow cores and predicted memory.
        cache: a folder of captured graphs, as for `convert`; None to keep none.

    Returns:
        The report. A job that failed has a `failure` in its outcome and does not stop the others; `exit_code` is 1 then.

    Raises:
        ManifestError: the manifest is wrong; `problems` are all problems with their places, and nothing was started.
        UsageError: there is no manifest, an argument is wrong, or a push needs a token.
        OutputError: the folder cannot be written.

    Example:
        >>> report = converter.run("models.txt", output="out")
        >>> [outcome.model for outcome in report.outcomes if outcome.failure]
    """
    if push not in (None, *batch.WAYS):
        raise UsageError(f"push={push!r} is not a way to push", f"choose one of {', '.join(batch.WAYS)}, or None")
    if workers is not None and not (isinstance(workers, int) and workers > 0):
        raise UsageError(f"workers={workers!r} is not a number of conversions", "give 1 or more, or None")
    folder = _path(output, "output")
    graphs = None if cache is None else _path(cache, "cache")
    jobs = [replace(job, cache=graphs, log="text") for job in read_jobs(_path(manifest, "manifest"), folder, _backends(backends))]
    pushes = batch.plan(jobs, push, batch.DEFAULT_NAME, private=False) if push else batch.Pushes()
    check_writable(folder)
    with closing(run_here(Batch(jobs, pushes, DEFAULT), workers, _Unobserved())) as results:
        done = [*results]
    outcomes = [result for result in done if isinstance(result, Outcome)]
    report = in_order(outcomes, [result for result in done if isinstance(result, Pushed)])
    write(report, folder)
    return report


def push(artifacts: str | Path, to: str, *, create_pr: bool = False, branch: str = "main", private: bool = False) -> Pushed:
    """Push validated artifacts to the Hub: only what is new, in one commit.

    The token comes from HF_TOKEN or `hf auth login`.

    Args:
        artifacts: an artifact's folder, a file in it, or a model's folder.
        to: the repository, as `org/name`; it is created if missing.
        create_pr: open a pull request, or add to our open one, instead of committing.
        branch: the branch to commit to; it is created if missing.
        private: make a new repository private.

    Returns:
        The result, with the address of the commit or pull request.

    Raises:
        UsageError: no artifact, or an impossible repository or branch.
        AccessError: no token, or no write access.
        PushError: an artifact that may not be pushed, or the Hub refuses.

    Example:
        >>> converter.push("out", to="org/name-ONNX").url
    """
    if create_pr and branch != "main":
        raise UsageError("a pull request goes to main", "leave out either create_pr or branch")
    folders = [folder for _, folder in find_artifacts(_path(artifacts, "artifacts"))]
    target = Target(repository=to, create_pr=create_pr, branch=branch, private=private)
    pushed = push_folders(folders, check_target(target, check_account()))
    if pushed.failure:
        _raise(pushed.failure)
    return pushed


_HINT = "see docs/reference/manifest.md for the options of each backend"


class _Unobserved:
    """Nobody watches: the report has all."""

    def observe(self, index: int, event: Event) -> None:
        pass


def _backend(name: str) -> Backend:
    if name not in BACKENDS:
        raise UsageError(unknown_backend(str(name)), f"choose one of {', '.join(BACKENDS)}")
    return BACKENDS[name]


def _backends(names: str | Iterable[str]) -> tuple[str, ...]:
    """The names, each checked; of a text with commas too, as on the command line."""
    return tuple(_backend(name.strip()).name for name in (names.split(",") if isinstance(names, str) else names))


def _path(value: str | Path, argument: str) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise UsageError(f"{argument}={value!r} is not a path", "give a text or a Path")
    return Path(value)


def _source(name: str | Path) -> Source:
    if not isinstance(name, str | Path):
        raise UsageError(f"{name!r} is not the name of a checkpoint", "give a Hub id or a folder")
    return Source(name=str(name), folder=name) if isinstance(name, Path) else read_source(name)


def _one_artifact(path: Path) -> tuple[Backend, Path]:
    artifacts = find_artifacts(path)
    if len(artifacts) > 1:
        names = ", ".join(str(folder) for _, folder in artifacts)
        raise UsageError(f"{path} has several artifacts: {names}", "name one of them")
    return artifacts[0]


def _saved(model: Any, tokenizer: Any, folder: Path) -> Source:
    """A loaded model as a checkpoint in `folder`. Raises CheckpointError if transformers cannot write it."""
    kind = type(model).__name__
    if not callable(getattr(model, "save_pretrained", None)) or not hasattr(model, "config"):
        raise UsageError(f"{kind} is neither a name nor a model of transformers", "give a Hub id, a folder or a loaded model")
    if tokenizer is not None and not callable(getattr(tokenizer, "save_pretrained", None)):
        raise UsageError(f"tokenizer: {type(tokenizer).__name__} is not a tokenizer of transformers", "give a loaded tokenizer, or None")
    try:
        model.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    except Exception as error:  # whatever transformers and the model's own code raise
        raise CheckpointError(f"transformers cannot write this {kind}: {reason(error)}", "convert a checkpoint in a folder") from error
    return Source(name=getattr(model.config, "name_or_path", "") or type(model).__name__, folder=folder)


def _raise(failure: Failure, verdict: Verdict | None = None) -> NoReturn:
    """Raise the error that a failure records; one of a library is a ConverterError with its traceback as a note."""
    kind = getattr(errors, failure.kind, None)
    if kind is ValidationError and verdict:
        raise ValidationError(failure.message, failure.hint, verdict)
    if isinstance(kind, type) and issubclass(kind, ConverterError) and not issubclass(kind, errors.ManifestError):
        error: ConverterError = kind(failure.message, failure.hint)
    else:
        error = ConverterError(failure.message, failure.hint)
        error.add_note(failure.traceback)
    error.is_transient = failure.is_transient
    raise error
