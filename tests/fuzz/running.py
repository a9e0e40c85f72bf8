"""Inputs are tried in a process for each target, which has a limit on its memory, is timed, and may hang or crash."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS, Target, attempt
from tests.support.checkpoints import save_tiny

MEMORY = 3 * 2**30
"""Bytes of anonymous memory that a target's process may take, of which the imports are a third of a gigabyte."""
SLOWEST = 10.0
"""Seconds that an input may take."""
_KEPT = Path("build/fuzz")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


@dataclass
class Result:
    """The results of a target: the number of inputs, the slowest's seconds, the peak of memory, and failures with their files."""

    target: str
    tried: int = 0
    cpu_seconds: float = 0.0
    slowest: float = 0.0
    peak_bytes: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


def prepare(folder: Path) -> None:
    """Import all that targets need, in `folder` and without the Hub, for `fuzz_in_fork`."""
    os.chdir(folder)
    os.environ |= _OFFLINE
    import converter.cli  # noqa: F401 - for the children
    from converter.checkpoints.loading import load_model

    for model_type in ("bert", "gpt_neo", "t5"):
        load_model(save_tiny(folder / "checkpoints" / model_type, model_type), "AutoModel", "float32")


def fuzz_in_fork(name: str, inputs: int, seed: int) -> Result:
    """Run `fuzz` for a target by its name, in a fork of this process."""
    return fuzz(next(target for target in TARGETS if target.name == name), inputs, seed, "fork")


def fuzz(target: Target, inputs: int, seed: int, start: str = "spawn") -> Result:
    """Try `inputs` broken inputs on a target, in a child that is killed if it hangs."""
    context: Any = multiprocessing.get_context(start)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(target.name, inputs, seed, theirs))
    child.start()
    theirs.close()
    result, last = Result(target.name), b""
    try:
        while ours.poll(600 if not last else 3 * SLOWEST):  # the first word comes after the imports
            message = ours.recv()
            if isinstance(message, Result):
                result = message
                break
            last = message
        else:
            result.wrong[_keep(target, last)] = "it hangs"
    except EOFError:
        child.join()
        result.wrong[_keep(target, last)] = f"its process ended with {child.exitcode}"
    child.kill()
    child.join()
    return result


def _child(name: str, inputs: int, seed: int, connection: Connection) -> None:
    os.environ |= _OFFLINE
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # a panic of the tokenizers' Rust is printed there in any case
        os.dup2(nowhere, stream)
    logging.disable()
    target = next(candidate for candidate in TARGETS if candidate.name == name)
    rng = random.Random(f"{seed} {name}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        folder = Path(made).resolve()
        (folder / "seeds").mkdir()
        (folder / "work").mkdir()
        os.environ["HOME"] = os.environ["CONVERTER_CACHE"] = str(folder / "work")
        seeds, run = target.seeds(folder / "seeds"), target.prepare(folder / "work")
        for data in seeds:
            if problem := attempt(run, data):
                connection.send(Result(name, wrong={_keep(target, data): f"before it was broken: {problem}"}))
                return
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        beside = sorted(path.name for path in folder.iterdir())
        result, began = Result(name), time.process_time()
        for number in range(inputs):
            data = target.make(rng, seeds)
            connection.send(data)
            start = time.perf_counter()
            problem = attempt(run, data)
            seconds = time.perf_counter() - start
            if seconds > SLOWEST:
                problem = problem or f"it takes {seconds:.0f} s"
            if sorted(path.name for path in folder.iterdir()) != beside:
                problem = problem or "it wrote outside of its folder"
            if problem and problem not in result.wrong.values():
                result.wrong[_keep(target, data)] = problem
            result.tried, result.slowest = number + 1, max(result.slowest, seconds)
        result.cpu_seconds = time.process_time() - began
        result.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        connection.send(result)


def _keep(target: Target, data: bytes) -> str:
    """Write an input down, to be tried again."""
    path = _KEPT / target.name.replace(" ", "-") / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def outside(inputs: int, seed: int) -> Result:
    """A sample as a user's own command lines: `converter plan` on broken manifests, in processes with limits on memory and time."""
    result, rng = Result("whole processes"), random.Random(seed)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        for number in range(inputs):
            target = TARGETS[number % 2]
            path = Path(made) / target.name
            path.write_bytes(target.make(rng, target.seeds(Path(made))))
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "converter", "plan", "--manifest", str(path), "--output", str(Path(made) / "out")]
            try:
                ended = subprocess.run(
                    command,
                    capture_output=True,
                    timeout=3 * SLOWEST,
                    check=False,
                    preexec_fn=limit,
                    env={**os.environ, "HF_HUB_OFFLINE": "1"},
                )
                message = ended.stderr.decode(errors="replace")
                wrong = "" if ended.returncode in (0, 1, 2) else f"exit code {ended.returncode}"
                wrong = wrong or next((sign for sign in ("Traceback", "internal error:", "\x1b", "\0") if sign in message), "")
            except subprocess.TimeoutExpired:
                wrong = "it hangs"
            if wrong:
                result.wrong[_keep(target, path.read_bytes())] = wrong
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            result.cpu_seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            result.tried, result.slowest = number + 1, max(result.slowest, time.perf_counter() - start)
            result.peak_bytes = max(result.peak_bytes, after.ru_maxrss * 1024)
    return result


def again(path: Path) -> str:
    """The failure of a saved input."""
    target = next(candidate for candidate in TARGETS if candidate.name.replace(" ", "-") == path.parent.name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        return attempt(target.prepare(Path(made).resolve()), path.read_bytes())
