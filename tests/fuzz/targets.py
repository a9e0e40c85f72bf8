"""The targets of the fuzzer: each passes bytes to a reader, which may only raise ConverterError."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.core.errors import ConverterError
from tests.fuzz.mutation import TOKENS, changed_values, mutated
from tests.support.checkpoints import save_tiny, save_tokenizer
from tests.support.samples import artifact_record, failed, outcome, pushed

Try = Callable[[bytes], None]
Make = Callable[[random.Random, Sequence[bytes]], bytes]


class WrongError(Exception):
    """A forbidden result; the message says which."""


@dataclass(frozen=True)
class Target:
    """A reader: valid inputs of it, how they are broken, and how one is tried in a folder that only it has."""

    name: str
    seeds: Callable[[Path], Sequence[bytes]]
    prepare: Callable[[Path], Try]
    make: Make = mutated


# --- manifests ------------------------------------------------------------------------------------------------------------

_TEXT = b"""# models
distilbert-base-uncased-finetuned-sst-2-english@main  to=onnx,torchscript feature=sequence-classification
./checkpoints/ours  to=onnx atol=1e-4 output="two words/x"
org/name to=neuron target=inf2 batch-size=1 sequence-length=128,256 opset=20
gpt2 dtype=checkpoint weights=shared allow-pickle=true config=./mine.py:Mine
"""
_YAML = b"""defaults: &d {atol: 1e-4, to: [onnx]}
models:
- org/a
- {model: ./b, feature: masked-lm, output: x/y}
- model: org/c@v1
  to: onnx,torchscript
  sequence-length: [128, 256]
- *d
"""
_WORDS = (
    *(
        b"models:",
        b"defaults:",
        b"model:",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b": ",
        b"\n",
        b"\n  ",
        b"&a ",
        b"*a",
        b"!!str ",
        b"| \n",
        b"# ",
    ),
    *(b"org/a", b"./x", b"to=", b"to: ", b"onnx", b"feature=", b"atol=", b"atol: ", b"output=", b"output: ", b"opset=20", b"@", b" ", b'"'),
)


def _grammar(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Half of them mutations, half words of a manifest in any order."""
    if rng.random() < 0.5:
        return mutated(rng, seeds)
    words = [rng.choice(TOKENS if rng.random() < 0.1 else _WORDS) for _ in range(rng.randint(1, 60))]
    return b"".join(words)


def _manifest(name: str) -> Callable[[Path], Try]:
    def prepare(folder: Path) -> Try:
        from converter.manifest import read_manifest

        path = folder / name

        def run(data: bytes) -> None:
            path.write_bytes(data)
            for entry in read_manifest(path):
                place = (folder / "out" / entry.output).resolve()
                if folder / "out" not in place.parents:
                    raise WrongError(f"output {entry.output!r} leads out of the output folder")

        return run

    return prepare


# --- checkpoints ----------------------------------------------------------------------------------------------------------


def _checkpoint(folder: Path, name: str) -> Callable[[bytes], Path]:
    """Writes an input as the file `name` of an otherwise valid checkpoint."""
    save_tiny(folder / "checkpoint", "bert")

    def write(data: bytes) -> Path:
        (folder / "checkpoint" / name).write_bytes(data)
        return folder / "checkpoint"

    return write


def _planned(name: str) -> Callable[[Path], Try]:
    """As a batch meets it before a worker is started: resolved, its memory predicted; and then fetched."""

    def prepare(folder: Path) -> Try:
        from converter.backends import BACKENDS
        from converter.checkpoints.fetch import fetch
        from converter.core.records import Job, Outcome, Source
        from converter.executors.memory_prediction import predicted_bytes
        from converter.pipeline import plan_job

        write = _checkpoint(folder, name)
        if name == "model.safetensors.index.json":
            (folder / "checkpoint" / "model.safetensors").rename(folder / "checkpoint" / "model-00001-of-00001.safetensors")

        def run(data: bytes) -> None:
            place = write(data)
            job = Job(
                source=Source(name="./checkpoint", folder=place), backend="onnx", options=BACKENDS["onnx"].options(), destination=folder
            )
            planned = plan_job(job)
            if isinstance(planned, Outcome):
                assert planned.failure
                _sentence(planned.failure.message, planned.failure.kind)
                return
            predicted_bytes(planned)
            fetch(planned.checkpoint)

        return run

    return prepare


def _loaded(folder: Path) -> Try:
    """config.json as a worker meets it: up to the loaded model, and the configuration that exports it."""
    from converter.architectures import find_architecture
    from converter.checkpoints.fetch import fetch, resolve
    from converter.checkpoints.loading import load_model
    from converter.core.records import Source

    write = _checkpoint(folder, "config.json")

    def run(data: bytes) -> None:
        checkpoint = resolve(Source(name="./checkpoint", folder=write(data)))
        architecture = find_architecture(checkpoint.model_type)
        feature = architecture.choose_feature(None, checkpoint.classes)
        architecture.configure(load_model(fetch(checkpoint), "AutoModel", "float32").config, feature)

    return run


def _tokenizer(folder: Path) -> Try:
    from converter.checkpoints.loading import load_tokenizer

    save_tokenizer(folder / "checkpoint", "input_ids", "attention_mask")

    def run(data: bytes) -> None:
        (folder / "checkpoint" / "tokenizer.json").write_bytes(data)
        load_tokenizer(folder / "checkpoint")

    return run


def _header(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Half of them mutations, half files whose header is JSON of the right length with values that are not right."""
    if rng.random() < 0.5:
        return mutated(rng, seeds)
    data = rng.choice(seeds)
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(changed_values(rng, json.loads(data[8 : 8 + length]))).encode()
    if rng.random() < 0.3:
        header = mutated(rng, [header])
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _file(name: str) -> Callable[[Path], Sequence[bytes]]:
    """A file of some tiny checkpoints."""

    def seeds(folder: Path) -> Sequence[bytes]:
        made = [save_tiny(folder / kind, kind) for kind in ("bert", "gpt_neo", "t5")]
        return [(place / name).read_bytes() for place in made]

    return seeds


def _tokenizers(folder: Path) -> Sequence[bytes]:
    return [(save_tokenizer(folder / "tokenizer", "input_ids") / "tokenizer.json").read_bytes()]


def _index(_: Path) -> Sequence[bytes]:
    weights = {"a": "model-00001-of-00001.safetensors", "b": "model-00001-of-00001.safetensors"}
    return [json.dumps({"metadata": {"total_size": 10}, "weight_map": weights}).encode()]


# --- records --------------------------------------------------------------------------------------------------------------


def _record(folder: Path) -> Try:
    from converter.artifacts.integrity import record_problems
    from converter.artifacts.record_file import read_record
    from converter.artifacts.store import find_up_to_date
    from converter.backends import BACKENDS
    from converter.report import in_order
    from converter.report.markdown import render

    (folder / "model.onnx").write_bytes(b"x")

    def run(data: bytes) -> None:
        (folder / "converter.json").write_bytes(data)
        record_problems(folder, BACKENDS["onnx"])
        record = read_record(folder)
        if record:
            find_up_to_date(folder, folder, record.key)
            result = outcome(artifact=record, verdict=record.verdict)
            render([result], [], in_order([result]).summary)
            _shown(record.verdict.first_problem)

    return run


def _report(folder: Path) -> Try:
    from converter.report import write
    from converter.report.merge import _read

    def run(data: bytes) -> None:
        path = folder / "report.json"
        path.write_bytes(data)
        report = _read(path)
        write(report, folder / "out")
        for item in report.outcomes:
            if item.failure:
                _shown(item.failure.message)

    return run


def _reports(_: Path) -> Sequence[bytes]:
    from converter.core.records import Position
    from converter.report import in_order

    place = Position(file="models.txt", line=1)
    return [in_order([outcome(position=place), failed(position=place)], [pushed()]).model_dump_json().encode()]


def _records(_: Path) -> Sequence[bytes]:
    return [artifact_record().model_dump_json().encode(), artifact_record(versions={}, tried={}).model_dump_json(indent=2).encode()]


def _graph(folder: Path) -> Try:
    from converter.backends.cache import Cache
    from converter.backends.onnx.files.graph_cache import GraphCache

    cache = GraphCache(Cache(folder, {}))
    cache.folder.mkdir()

    def run(data: bytes) -> None:
        path = cache.folder / "key.onnx.gz"
        path.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1))
        cache.find("key")

    return run


def _graphs(_: Path) -> Sequence[bytes]:
    from onnx import TensorProto, helper

    from converter.backends.onnx.files.graph import Graph

    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph([node], "graph", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    data = Graph(helper.make_model(graph), ("w",)).to_bytes()
    return [data, gzip.compress(data)]


def _values(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """JSON with other values in it, which is looked at and not refused as none."""
    return json.dumps(changed_values(rng, json.loads(rng.choice(seeds)))).encode()


# --- the command line -----------------------------------------------------------------------------------------------------

_ARGUMENTS = (
    *("run", "plan", "report", "features", "validate", "push", "onnx", "torchscript", "neuron", "cache", "warm", "--help", "--version"),
    *("--manifest", "--output", "--jobs", "--lines", "--merge", "--model", "--feature", "--opset", "--atol", "--matrix", "--backends"),
    *("--json", "--quiet", "--debug", "--fail-fast", "--reference", "--to", "--push", "--push-to", "--cache", "--config", "--dtype"),
    *(
        "models.txt",
        "models.yaml",
        "good",
        "out",
        "onnx",
        "3,7",
        "1",
        "auto",
        "bert",
        "masked-lm",
        "x.py:C",
        "{name}",
        "direct",
        "-",
        "--",
        "=",
    ),
)


_OUTWARD = re.compile(rb"(^|[=\n])[/~]+")


def _command(folder: Path) -> Try:
    """The command line in this process, on a machine without the Hub. It converts nothing, because there are no weights."""
    from converter.cli import main

    (folder / "good").mkdir()
    (folder / "good" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / "models.txt").write_text("./good\n", encoding="utf-8")
    (folder / "models.yaml").write_text("models: [./good]\n", encoding="utf-8")

    def run(data: bytes) -> None:
        inside = _OUTWARD.sub(rb"\1_", data.replace(b"\0", b"").replace(b"..", b"__"))  # files named by the user may be written to
        arguments = [os.fsdecode(word) for word in inside.split(b"\n")]
        streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if stream]
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", stream.errors, write_through=True) for stream in streams)
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(arguments)
            except SystemExit as ended:
                if ended.code not in (0, 1, 2):
                    raise WrongError(f"exit code {ended.code}") from None
        if "--debug" not in arguments:
            for stream in (out, err):
                stream.seek(0)
                _shown(stream.read().replace("\n", "").replace("\t", ""))

    return run


def _arguments(_: Path) -> Sequence[bytes]:
    return [
        b"plan\n--manifest\nmodels.txt\n--json",
        b"plan\n--manifest\nmodels.yaml\n--matrix\n4",
        b"run\n--manifest\nmodels.txt\n--output\nout\n--jobs\n1\n--lines\n1",
        b"report\n--manifest\nmodels.txt\n--merge\nout",
        b"features\nbert",
        b"validate\nout/good/onnx\n--reference\ngood\n--atol\n1e-4",
        b"onnx\n--model=good\n--feature\nmasked-lm\n--opset\n20\nout/onnx",
        b"push\nout\n--to\norg/name",
    ]


def _line(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Half of them mutations, half flags and values in any order."""
    if rng.random() < 0.5:
        return mutated(rng, seeds)[:100_000]
    return b"\n".join(
        rng.choice(TOKENS).replace(b"\n", b" ") if rng.random() < 0.2 else rng.choice(_ARGUMENTS).encode() for _ in range(rng.randint(1, 9))
    )


# --- checks ----------------------------------------------------------------------------------------------------


def _sentence(message: str, kind: str) -> None:
    """Raise WrongError for a failure that nobody foresaw, or with a message that a terminal obeys."""
    if "internal error:" in message:
        raise WrongError(f"{kind}: {message}")
    _shown(message)


def _shown(text: str) -> None:
    from converter.core.text import printable

    for sign in ("Traceback (most recent", "internal error:"):
        if sign in text:
            raise WrongError(text[text.index(sign) :][:2000])
    if printable(text) != text:
        raise WrongError(f"a terminal would obey {text[:500]!r}")


def attempt(run: Try, data: bytes) -> str:
    """The failure of an input, in a line; empty for none."""
    try:
        run(data)
    except ConverterError as error:
        try:
            _sentence(error.message, type(error).__name__)
        except WrongError as wrong:
            return str(wrong)
    except WrongError as error:
        return str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__module__}.{type(error).__name__}: {str(error)[:500]}"
    return ""


TARGETS = (
    Target("models.txt", lambda _: [_TEXT], _manifest("models.txt"), _grammar),
    Target("models.yaml", lambda _: [_YAML], _manifest("models.yaml"), _grammar),
    Target("safetensors", _file("model.safetensors"), _planned("model.safetensors"), _header),
    Target("config.json", _file("config.json"), _planned("config.json")),
    Target("index.json", _index, _planned("model.safetensors.index.json")),
    Target("loading", _file("config.json"), _loaded, _values),
    Target("tokenizer.json", _tokenizers, _tokenizer),
    Target("converter.json", _records, _record),
    Target("report.json", _reports, _report),
    Target("graph cache", _graphs, _graph),
    Target("command line", _arguments, _command, _line),
)
