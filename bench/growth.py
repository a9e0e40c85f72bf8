"""What grows with a batch, for each checkpoint of it, beside what `bench.scaling` reckons with: outcomes, the report, questions, words.

`python -m bench.growth OUTCOME COUNT FOLDER` is the process in which so many outcomes are kept and written; it prints its figures as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.models import BERT_BASE, MINILM, weight_bytes
from bench.processes import run
from bench.scaling import Measured
from bench.table import Row
from converter import report
from converter.backends import BACKENDS
from converter.core.records import Event, Job, Outcome, Position, Source
from converter.core.timing import anonymous_bytes
from converter.pipeline import Plan, plan_job, run_job
from converter.report import page
from tests.hub_server import HubServer
from tests.support.checkpoints import save_tiny

_OUTCOMES = 20_000
_REPOSITORIES = 100
_TASKS = 2_048
_LOOKS = 50


def measure() -> Iterator[Row]:
    """Measurements beside the assumed figures, without targets: for whoever changes one."""
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        outcome, words = _converted(place)
        (place / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")
        files = sum(path.is_file() for path in (place / "out").rglob("*"))
        command: list[str | Path] = [sys.executable, "-m", "bench.growth", place / "outcome.json", str(_OUTCOMES), place]
        seen: list[int] = []
        grown = json.loads(run(command, lambda process: seen.append(anonymous_bytes(process))).output.splitlines()[-1])
        tiny, base = save_tiny(place / "tiny", "bert"), BERT_BASE.checkpoint(place / "base")
        planning = _planning(tiny)
        hashing = (_planning(base, times=3) - planning) / weight_bytes(base)
    print(f"  a report of {_OUTCOMES} is written in {grown['seconds']:.1f} CPU s")
    yield _row("an outcome in memory", "kB", grown["kept"] / 1e3, measured.outcome_bytes / 1e3)
    yield _row("… at most, as the report is written", "kB", (max(seen) - grown["before"]) / _OUTCOMES / 1e3, measured.writing_bytes / 1e3)
    yield _row("… in report.json", "kB", grown[report.JSON_NAME] / 1e3, measured.json_bytes / 1e3)
    yield _row("… in report.md", "kB", grown[report.MARKDOWN_NAME] / 1e3, measured.markdown_bytes / 1e3)
    yield _row("… in report.html", "kB", grown[report.HTML_NAME] / 1e3, measured.html_bytes / 1e3)
    yield _row("files of MiniLM in the output folder", "", files, measured.files)
    yield _row("planning a checkpoint in a folder", "CPU ms", planning * 1e3, measured.planning * 1e3)
    yield _row("… for each GB of its weights", "CPU s", hashing * 1e9, measured.hashing * 1e9)
    api, resolved, fetched, asking = _questions()
    yield _row("questions of a plan, to the API", "", api, measured.plan_api)
    yield _row("… for files", "", resolved, measured.plan_resolved)
    yield _row("questions of fetching MiniLM", "", fetched, measured.fetch_resolved)
    yield _row("a question, in the client", "CPU ms", asking * 1e3, measured.asking * 1e3)
    yield _row("words of a task", "", words, measured.words)
    yield _row("ray.wait, for each task under way", "µs", _look() * 1e6, measured.look * 1e6)


def _row(what: str, unit: str, value: float, figure: float) -> Row:
    return Row(what, unit, value, figure, "taken")


def _converted(place: Path) -> tuple[Outcome, int]:
    """MiniLM, converted as a batch does it, and how many words of it a Ray driver would hear."""
    events: list[Event] = []
    folder = MINILM.checkpoint(place / "minilm")
    model = place / "out" / "org" / "minilm"
    source, options = Source(name=str(folder), folder=folder), BACKENDS["onnx"].options(feature=MINILM.feature, profile="documented")
    job = Job(source=source, backend="onnx", options=options, destination=model / "onnx", model_folder=model, log="text")
    outcome = run_job(job, events.append)
    assert outcome.status == "converted", outcome
    return outcome, len(events) + 3  # that it began, its outcome, and its end


def _planning(folder: Path, times: int = 500) -> float:
    """CPU seconds to plan a checkpoint in a folder, which nobody has converted yet."""
    job = Job(
        source=Source(name=str(folder), folder=folder),
        backend="onnx",
        options=BACKENDS["onnx"].options(profile="documented"),
        destination=folder / "none",
    )
    started = time.process_time()
    for _ in range(times):
        assert isinstance(plan_job(job), Plan)
    return (time.process_time() - started) / times


def _questions() -> tuple[float, float, float, float]:
    """Of planning a checkpoint, to the API and for files; of fetching it; and the CPU seconds of one."""
    files = (
        {path.relative_to(MINILM.folder).as_posix(): path for path in MINILM.folder.rglob("*") if path.is_file()} if MINILM.folder else {}
    )
    with HubServer() as hub, tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        names = [f"org/model-{number}" for number in range(_REPOSITORIES)]
        for repository in names:
            hub.add_repository(repository, files)
        (place / "one.txt").write_text("org/model-0\n", encoding="utf-8")
        (place / "all.txt").write_text("".join(f"{repository}\n" for repository in names), encoding="utf-8")
        environment = hub.environment(place / "home")
        alone = run([*_CONVERTER, "plan", "--manifest", place / "one.txt"], environment=environment)
        first = len(hub.requests)
        planned = run([*_CONVERTER, "plan", "--manifest", place / "all.txt"], environment=hub.environment(place / "home-2"))
        asked = hub.requests[first:]
        api = sum("/api/" in request for request in asked)
        before = len(hub.requests)
        run([*_CONVERTER, "run", "--manifest", place / "one.txt", "--output", place / "out"], environment=environment)
        fetched = sum("/resolve/" in request for request in hub.requests[before:])
    others = len(asked) - first
    return api / len(names), (len(asked) - api) / len(names), fetched, (planned.cpu_seconds - alone.cpu_seconds) / others


_CONVERTER: tuple[str | Path, ...] = (sys.executable, "-m", "converter")


def _look() -> float:
    """Seconds of `ray.wait` for each of many silent streams, as `executors.ray_driver` calls it."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=1, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False, logging_level=logging.ERROR)
    try:
        quiet = ray.remote(num_cpus=1, num_returns="streaming", max_retries=0)(_quiet)
        streams = [quiet.remote() for _ in range(_TASKS)]
        time.sleep(5)  # until all are given
        started = time.perf_counter()
        for _ in range(_LOOKS):
            assert not ray.wait([*streams], num_returns=1, timeout=0)[0]
        return (time.perf_counter() - started) / _LOOKS / _TASKS
    finally:
        ray.shutdown()


def _quiet() -> Iterator[int]:
    time.sleep(600)
    yield 0


def _grow(source: Path, count: int, place: Path) -> Mapping[str, float]:
    """Bytes of memory before; then the bytes kept per outcome and per file; and the CPU seconds of writing all."""
    one = json.loads(source.read_bytes())
    assert page  # it is imported before, as its imports are no outcome's
    before = anonymous_bytes()
    outcomes = []
    for number in range(count):
        own = {"model": f"org/model-{number}", "position": Position(file="models.txt", line=number + 1, column=1).model_dump()}
        outcomes.append(Outcome.model_validate_json(json.dumps({**one, **own})))
    kept = anonymous_bytes() - before
    started = time.process_time()
    report.write(report.in_order(outcomes), place)
    seconds = time.process_time() - started
    names = (report.JSON_NAME, report.MARKDOWN_NAME, report.HTML_NAME)
    sizes = {name: (place / name).stat().st_size / count for name in names}
    return {"before": before, "kept": kept / count, "seconds": seconds, **sizes}


if __name__ == "__main__":
    print(json.dumps(_grow(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
