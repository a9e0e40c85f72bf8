"""One capture serves every checkpoint of its configuration, with the same file for a result; a graph that is not right never does."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from converter.architectures import FEATURES
from converter.backends.onnx import export
from converter.backends.onnx.capture import capture as capturing
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.options import OnnxOptions
from converter.core.records import Event, Job, Options, Outcome
from converter.core.records import Source as Src
from converter.executors import local
from converter.pipeline import run_job
from converter.warming import most_used, warm
from tests.hub_server import HubClient, HubServer
from tests.support.checkpoints import ONE_LAYER, TINY_CONFIGS, save_tiny


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Every graph that is captured."""
    made: list[Graph] = []

    def capture(*arguments: object) -> Graph:
        made.append(capturing.capture(*arguments))  # type: ignore[arg-type]  # handed through
        return made[-1]

    monkeypatch.setattr(export, "capture", capture)
    return made


def convert(checkpoint: Path, place: Path, cache: Path | None, feature: str = "default", profile: str = "documented") -> Outcome:
    options: Options = OnnxOptions(feature=feature, profile=profile)
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
    auto_class, changes = FEATURES[feature].auto_classes[0], ONE_LAYER.get(model_type, {})
    one, other = (save_tiny(tmp_path / f"seed{seed}", model_type, auto_class, seed=seed, **changes) for seed in (1, 2))
    convert(one, tmp_path / "one", tmp_path / "cache", feature)
    assert len(captures) == 1
    cached = convert(other, tmp_path / "cached", tmp_path / "cache", feature)
    assert len(captures) == 1
    fresh = convert(other, tmp_path / "fresh", None, feature)
    assert len(captures) == 2
    assert (tmp_path / "cached" / "model.onnx").read_bytes() == (tmp_path / "fresh" / "model.onnx").read_bytes()
    assert cached.verdict and fresh.verdict
    timeless = {"latency": None}
    assert cached.verdict.model_copy(update=timeless) == fresh.verdict.model_copy(
        update=timeless
    )  # the same cases at the same shapes, to the last figure


def test_a_checkpoint_of_another_configuration_is_captured_for_itself(tmp_path: Path, captures: list[Graph]) -> None:
    for number, changes in enumerate(({}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}, {"num_hidden_layers": 2})):
        checkpoint = save_tiny(tmp_path / str(number), "bert", **{"num_hidden_layers": 1, **changes})
        convert(checkpoint, tmp_path / f"out{number}", tmp_path / "cache")
    assert len(captures) == 4


def _plant(cache: Path, graph: Graph) -> None:
    """Replace the only graph in a cache."""
    (path,) = (cache / "graphs").iterdir()
    path.write_bytes(gzip.compress(graph.to_bytes()))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the graph of a checkpoint in `cache`, another checkpoint in `other`, and its artifact by a capture in `fresh`."""
    folder = tmp_path_factory.mktemp("baseline")
    one, other = (save_tiny(folder / name, "bert", seed=seed) for seed, name in enumerate(("one", "other"), 1))
    convert(one, folder / "out", folder / "cache")
    convert(other, folder / "fresh", None)
    return folder


def _relu(tmp_path: Path, captures: list[Graph], _: Graph) -> Graph:
    """Of a model that differs in its activation alone."""
    convert(save_tiny(tmp_path / "relu", "bert", hidden_act="relu"), tmp_path / "relu-out", None)
    return captures.pop()


def _unloadable(_: Path, __: list[Graph], graph: Graph) -> Graph:
    graph.model.graph.node[-1].op_type = "NoSuchOperator"
    return graph


def _of_other_weights(_: Path, __: list[Graph], graph: Graph) -> Graph:
    return Graph(graph.model, (*graph.weights, "no.such.weight"))


@pytest.mark.parametrize("plant", [_relu, _unloadable, _of_other_weights])
def test_a_wrong_graph_under_the_right_key_is_dropped_and_captured_anew(
    tmp_path: Path, baseline: Path, captures: list[Graph], plant: Callable[[Path, list[Graph], Graph], Graph]
) -> None:
    shutil.copytree(baseline / "cache", tmp_path / "cache")
    (kept,) = (baseline / "cache" / "graphs").iterdir()
    data = kept.read_bytes()
    _plant(tmp_path / "cache", plant(tmp_path, captures, Graph.from_bytes(gzip.decompress(data))))
    captures.clear()
    convert(baseline / "other", tmp_path / "out", tmp_path / "cache")
    assert len(captures) == 1
    for left in (tmp_path / "cache" / "graphs").iterdir():  # the wrong graph is gone or replaced
        assert left.read_bytes() == data
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (baseline / "fresh" / "model.onnx").read_bytes()


def test_a_graph_whose_artifact_fails_its_validation_is_not_kept(tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "checkpoint", "bert")
    job = Job(
        source=Src(name="x", folder=checkpoint),
        backend="onnx",
        options=OnnxOptions(feature="default", profile="documented", atol=1e-30),
        destination=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    assert run_job(job).status == "failed"
    assert not (tmp_path / "cache" / "graphs").exists()


class Silent:
    def observe(self, index: int, event: Event) -> None:
        pass


def test_workers_share_the_graphs(tmp_path: Path) -> None:
    jobs = [
        Job(
            source=Src(name=str(seed), folder=save_tiny(tmp_path / f"seed{seed}", "bert", seed=seed)),
            backend="onnx",
            options=OnnxOptions(feature="default", profile="documented"),
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


# --- warmed


def graphs(cache: Path) -> set[str]:
    return {path.name for path in (cache / "graphs").iterdir()}


def warmed(folder: Path, cache: Path, feature: str | None = None) -> None:
    """A cache that has the graph for the config.json in `folder`, whatever else is there."""
    (outcome,) = warm(Src(name="warmed", folder=folder), feature, cache, lambda _: None)
    assert outcome.status == "converted", outcome.failure


def test_a_checkpoint_with_trained_weights_costs_no_capture_with_the_graph_that_the_package_warms(
    tmp_path: Path, minilm: Path, captures: list[Graph]
) -> None:
    (source,) = (checkpoint for checkpoint in most_used() if checkpoint.name == "sentence-transformers/all-MiniLM-L6-v2")
    assert source.folder
    warmed(source.folder, tmp_path / "cache")
    assert len(captures) == 1
    convert(minilm, tmp_path / "cached", tmp_path / "cache", profile="hub")
    assert len(captures) == 1
    convert(minilm, tmp_path / "fresh", None, profile="hub")
    assert (tmp_path / "cached" / "model.onnx").read_bytes() == (tmp_path / "fresh" / "model.onnx").read_bytes()


def test_tensors_as_old_checkpoints_of_the_hub_have_them_find_the_graph_of_their_configuration(
    tmp_path: Path, captures: list[Graph]
) -> None:
    """bert-base-uncased's: names of pretraining, gamma and beta, a buffer that is none today, both names of a tie; in half precision."""
    config = {**TINY_CONFIGS["bert"], "model_type": "bert", "architectures": ["BertForMaskedLM"]}
    for place, more in (("alone", {}), ("hub", {"transformers_version": "4.6.0.dev0", "gradient_checkpointing": False})):
        (tmp_path / place).mkdir()
        (tmp_path / place / "config.json").write_text(json.dumps({**config, **more}), encoding="utf-8")
    model = transformers.BertForPreTraining(transformers.BertConfig(**TINY_CONFIGS["bert"]))
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {"bert.embeddings.position_ids": torch.arange(40)[None]}
    for name, tensor in model.state_dict().items():
        ending = ".".join(name.rsplit(".", 2)[-2:])
        tensors[f"{name.removesuffix(ending)}{old.get(ending, ending)}"] = tensor.half().clone()
    assert {"cls.predictions.decoder.weight", "cls.predictions.transform.LayerNorm.gamma"} <= tensors.keys()
    save_file(tensors, tmp_path / "hub" / "model.safetensors", metadata={"format": "pt"})
    warmed(tmp_path / "alone", tmp_path / "cache")
    convert(tmp_path / "hub", tmp_path / "out", tmp_path / "cache", "masked-lm", "hub")
    assert len(captures) == 1


@pytest.mark.parametrize(
    ("model_type", "feature"),
    [("gpt2", "causal-lm-with-past"), ("t5", "seq2seq-lm-with-past"), ("distilbert", "sequence-classification"), ("roberta", "masked-lm")],
)
def test_a_fine_tune_finds_the_graphs_of_its_configuration(tmp_path: Path, captures: list[Graph], model_type: str, feature: str) -> None:
    auto_class = FEATURES[feature].auto_classes[0]
    base = save_tiny(tmp_path / "base", model_type, auto_class)
    (base / "model.safetensors").unlink()
    warmed(base, tmp_path / "cache", feature)
    assert not (base / "model.safetensors").exists()
    trained = {"problem_type": "single_label_classification", "torch_dtype": "float32", "_name_or_path": "base"}
    fine_tune = save_tiny(tmp_path / "fine-tune", model_type, auto_class, seed=3, **trained)
    convert(fine_tune, tmp_path / "out", tmp_path / "cache", feature, "hub")
    files = 2 if feature.startswith("seq2seq") else 1
    assert len(captures) == files
    assert len(graphs(tmp_path / "cache")) == files


def test_of_a_checkpoint_of_the_hub_config_json_alone_is_fetched(
    tmp_path: Path, hub: HubServer, client: HubClient, tiny: Callable[..., Path]
) -> None:
    hub.add_repository("org/tiny", {path.name: path for path in tiny("bert").iterdir()})
    said = client("cache", "warm", "org/tiny", "--cache", tmp_path / "cache")
    assert said.out.startswith("✓ org/tiny: default, largest error ")
    assert any("config.json" in request for request in hub.requests)
    assert not [request for request in hub.requests if "safetensors" in request]
    assert len(graphs(tmp_path / "cache")) == 1


def test_a_configuration_that_cannot_be_converted_is_told_and_keeps_no_other_from_being_warmed(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]], tiny: Callable[..., Path]
) -> None:
    for name, config in (("other", {"model_type": "no-such"}), ("odd", {"model_type": "bert", "hidden_size": 7, "num_attention_heads": 3})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    places = [tmp_path / "missing", tmp_path / "other", tmp_path / "odd", tiny("bert")]
    result = command("cache", "warm", *places, "--cache", tmp_path / "cache", "--json")
    rows = json.loads(result.stdout)
    assert result.returncode == 1
    assert [row["config"] for row in rows] == [*map(str, places)]
    assert [bool(row["error"]) for row in rows] == [True, True, True, False]
    assert result.stderr.count("error: ") == 3 and "Traceback" not in result.stderr
    assert len(graphs(tmp_path / "cache")) == 1
