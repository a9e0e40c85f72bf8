"""One capture serves every checkpoint of its configuration, with the same file for a result; a graph that is not right never does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from converter.architectures import FEATURES
from converter.backends.onnx import OnnxOptions, export
from converter.backends.onnx import capture as capturing
from converter.backends.onnx.graph import Graph
from converter.executors import local
from converter.pipeline import run_job
from converter.records import Job, Options, Outcome
from converter.records import Source as Src
from tests.checkpoints import save_tiny


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Every graph that is captured."""
    made: list[Graph] = []

    def capture(*arguments: object) -> Graph:
        made.append(capturing.capture(*arguments))  # type: ignore[arg-type]  # handed through
        return made[-1]

    monkeypatch.setattr(export, "capture", capture)
    return made


def convert(checkpoint: Path, place: Path, cache: Path | None, feature: str = "default") -> Outcome:
    options: Options = OnnxOptions(feature=feature)
    outcome = run_job(
        Job(source=Src(name=str(checkpoint), folder=checkpoint), backend="onnx", options=options, destination=place, cache=cache)
    )
    assert outcome.failure is None, outcome.failure.message
    return outcome


@pytest.mark.parametrize(
    ("model_type", "feature"),
    [
        ("bert", "default"),
        ("gpt2", "causal-lm-with-past"),
        ("t5", "seq2seq-lm-with-past"),
        ("longformer", "default"),
        ("ibert", "masked-lm"),
        ("bart", "sequence-classification"),
    ],
)
def test_a_second_checkpoint_costs_no_capture_and_its_file_is_the_same_byte_for_byte(
    tmp_path: Path, captures: list[Graph], model_type: str, feature: str
) -> None:
    one, other = (save_tiny(tmp_path / f"seed{seed}", model_type, FEATURES[feature].auto_class, seed=seed) for seed in (1, 2))
    convert(one, tmp_path / "one", tmp_path / "cache", feature)
    assert len(captures) == 1
    cached = convert(other, tmp_path / "cached", tmp_path / "cache", feature)
    assert len(captures) == 1
    fresh = convert(other, tmp_path / "fresh", None, feature)
    assert len(captures) == 2
    assert (tmp_path / "cached" / "model.onnx").read_bytes() == (tmp_path / "fresh" / "model.onnx").read_bytes()
    assert cached.verdict == fresh.verdict  # the same cases at the same shapes, to the last figure


def test_a_checkpoint_of_another_configuration_is_captured_for_itself(tmp_path: Path, captures: list[Graph]) -> None:
    for number, changes in enumerate(({}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}, {"num_hidden_layers": 1})):
        convert(save_tiny(tmp_path / str(number), "bert", **changes), tmp_path / f"out{number}", tmp_path / "cache")
    assert len(captures) == 4


def _plant(cache: Path, graph: Graph) -> None:
    """Put a graph in the place of the only one in a cache."""
    import gzip

    (path,) = (cache / "graphs").iterdir()
    path.write_bytes(gzip.compress(graph.to_bytes()))


def _relu(tmp_path: Path, captures: list[Graph]) -> Graph:
    """Of a model that differs in its activation alone."""
    convert(save_tiny(tmp_path / "relu", "bert", hidden_act="relu"), tmp_path / "relu-out", None)
    return captures.pop()


def _unloadable(_: Path, captures: list[Graph]) -> Graph:
    broken = Graph.from_bytes(captures[0].to_bytes())
    broken.model.graph.node[-1].op_type = "NoSuchOperator"
    return broken


def _of_other_weights(_: Path, captures: list[Graph]) -> Graph:
    return Graph(captures[0].model, (*captures[0].weights, "no.such.weight"))


@pytest.mark.parametrize("plant", [_relu, _unloadable, _of_other_weights])
def test_a_wrong_graph_under_the_right_key_is_dropped_and_captured_anew(
    tmp_path: Path, captures: list[Graph], plant: Callable[[Path, list[Graph]], Graph]
) -> None:
    one, other = (save_tiny(tmp_path / f"seed{seed}", "bert", seed=seed) for seed in (1, 2))
    convert(one, tmp_path / "one", tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / "graphs").iterdir()
    right = kept.read_bytes()
    _plant(tmp_path / "cache", plant(tmp_path, captures))
    captures.clear()
    convert(other, tmp_path / "out", tmp_path / "cache")
    assert len(captures) == 1
    for left in (tmp_path / "cache" / "graphs").iterdir():  # what was found wrong is gone, or replaced
        assert left.read_bytes() == right
    convert(other, tmp_path / "fresh", None)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (tmp_path / "fresh" / "model.onnx").read_bytes()


def test_a_graph_whose_artifact_fails_its_validation_is_not_kept(tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "checkpoint", "bert")
    job = Job(
        source=Src(name="x", folder=checkpoint),
        backend="onnx",
        options=OnnxOptions(feature="default", atol=1e-30),
        destination=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    assert run_job(job).status == "failed"
    assert not (tmp_path / "cache" / "graphs").exists()


class Silent:
    def stage(self, index: int, name: str) -> None:
        pass


def test_workers_share_the_graphs(tmp_path: Path) -> None:
    jobs = [
        Job(
            source=Src(name=str(seed), folder=save_tiny(tmp_path / f"seed{seed}", "bert", seed=seed)),
            backend="onnx",
            options=OnnxOptions(feature="default"),
            destination=tmp_path / f"out{seed}",
            cache=tmp_path / "cache",
        )
        for seed in range(6)
    ]
    outcomes = list(local.run(jobs, 2, Silent()))
    assert {outcome.status for outcome in outcomes} == {"converted"}
    assert len(list((tmp_path / "cache" / "graphs").iterdir())) == 1
    seconds = sorted(stage.cpu_seconds for outcome in outcomes for stage in outcome.stages if stage.name == "convert")
    assert seconds[3] < seconds[-1]  # no more than the two that began at once captured
