"""`--optimize`: fused graphs pass the same validation, serve every checkpoint of their configuration, and hold each weight once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from converter.architectures import FEATURES
from converter.backends.onnx import export
from converter.backends.onnx.capture import capture as capturing
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.passes.fusion import NOTHING
from converter.core.records import Job, Outcome, Source
from converter.pipeline import run_job
from tests.support.checkpoints import TINY_CONFIGS, save_tiny

FEATURE = {
    "bart": "seq2seq-lm-with-past",
    "gpt2": "causal-lm-with-past",
    "gpt_neo": "causal-lm-with-past",
    "marian": "seq2seq-lm",
    "mbart": "causal-lm-with-past",
    "t5": "seq2seq-lm-with-past",
}
"""The feature of each architecture; masked-lm by default. The others were tried by hand."""


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_architecture_passes_its_validation_when_it_is_fused_for_a_cpu(
    model_type: str, tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    feature = FEATURE.get(model_type, "masked-lm")
    outcome = convert(tiny(model_type, FEATURES[feature].auto_classes[0]), feature=feature, optimize="cpu")
    assert outcome.failure is None, outcome.failure.message
    assert any(note.startswith("fused for cpu: ") and "linear layers" in note for note in outcome.notes)
    onnx.checker.check_model(Path(outcome.destination) / "model.onnx", full_check=True)


@pytest.mark.parametrize(
    ("model_type", "feature", "fused"),
    [
        ("bert", "masked-lm", {"Attention", "SkipLayerNormalization", "BiasGelu"}),
        ("gpt2", "causal-lm-with-past", {"MultiHeadAttention", "SkipLayerNormalization"}),
        ("t5", "seq2seq-lm-with-past", {"SkipSimplifiedLayerNormalization"}),
        ("bart", "seq2seq-lm", {"Attention", "MultiHeadAttention", "SkipLayerNormalization", "BiasGelu"}),
    ],
)
def test_what_is_fused_for_cuda_passes_its_validation_on_a_cpu(
    model_type: str, feature: str, fused: set[str], tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    outcome = convert(tiny(model_type, FEATURES[feature].auto_classes[0]), feature=feature, optimize="cuda")
    assert outcome.failure is None, outcome.failure.message
    counts = operators(Path(outcome.destination) / "model.onnx")
    assert counts.keys() >= fused
    (note,) = outcome.notes
    assert all(f"{counts[name]} {name}" in note for name in fused)


@pytest.mark.parametrize("optimize", ["cpu", "cuda"])
def test_an_encoder_and_a_decoder_that_are_a_file_each_are_fused_each(
    optimize: str, tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    outcome = convert(tiny("t5", "AutoModelForSeq2SeqLM"), feature="seq2seq-lm-with-past", profile="hub", optimize=optimize)
    assert outcome.failure is None, outcome.failure.message
    assert len(outcome.notes) == 2


def test_where_no_fusion_applies_it_is_told(tiny: Callable[..., Path], convert: Callable[..., Outcome]) -> None:
    outcome = convert(tiny("bert", "AutoModelForMultipleChoice"), feature="multiple-choice", optimize="cpu")
    assert outcome.failure is None, outcome.failure.message
    assert outcome.notes == (NOTHING,)


@pytest.mark.parametrize(("model_type", "feature"), [("gpt2", "causal-lm-with-past"), ("bert", "masked-lm"), ("albert", "masked-lm")])
@pytest.mark.parametrize("optimize", ["cpu", "cuda"])
def test_no_weight_is_stored_twice(
    model_type: str, feature: str, optimize: str, tmp_path: Path, convert: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "embedding_size": 32, "vocab_size": 120}
    monkeypatch.setitem(TINY_CONFIGS, "albert", {**sizes, "num_hidden_layers": 2, "max_position_embeddings": 40})
    checkpoint = save_tiny(tmp_path / "checkpoint", model_type, FEATURES[feature].auto_classes[0])
    outcome = convert(checkpoint, feature=feature, optimize=optimize)
    assert outcome.failure is None, outcome.failure.message
    stored = sum(
        numpy_helper.to_array(tensor).nbytes
        for tensor in onnx.load(Path(outcome.destination) / "model.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    assert stored <= (checkpoint / "model.safetensors").stat().st_size


@pytest.mark.parametrize(("model_type", "feature", "optimize"), [("gpt2", "causal-lm-with-past", "cpu"), ("bert", "default", "cuda")])
def test_a_fused_graph_serves_every_checkpoint_of_its_configuration_and_none_that_is_fused_otherwise(
    model_type: str, feature: str, optimize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures: list[Graph] = []

    def capture(*arguments: object) -> Graph:
        captures.append(capturing.capture(*arguments))  # type: ignore[arg-type]  # handed through
        return captures[-1]

    monkeypatch.setattr(export, "capture", capture)

    def convert(seed: int, place: str, cached: bool, how: str) -> bytes:
        folder = tmp_path / f"seed{seed}"
        if not folder.exists():
            save_tiny(folder, model_type, FEATURES[feature].auto_classes[0], seed=seed)
        outcome = run_job(
            Job(
                source=Source(name=str(folder), folder=folder),
                backend="onnx",
                options=OnnxOptions.model_validate({"feature": feature, "optimize": how}),
                destination=tmp_path / place,
                cache=tmp_path / "cache" if cached else None,
            )
        )
        assert outcome.failure is None, outcome.failure.message
        return (tmp_path / place / "model.onnx").read_bytes()

    convert(1, "one", True, optimize)
    graph = convert(2, "other", True, optimize)
    assert len(captures) == 1
    convert(1, "plain", True, "none")
    assert len(captures) == 2
    assert graph == convert(2, "fresh", False, optimize)


def test_a_fused_weight_that_is_not_what_its_recipe_makes_is_found(
    tmp_path: Path,
    tiny: Callable[..., Path],
    convert: Callable[..., Outcome],
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    outcome = convert(checkpoint, feature="masked-lm", optimize="cuda")
    assert outcome.failure is None, outcome.failure.message
    place = tmp_path / "planted"
    shutil.copytree(outcome.destination, place)
    (place / "converter.json").unlink()
    arguments = ("validate", place, "--reference", checkpoint, "--feature", "masked-lm")
    assert command(*arguments).returncode == 0
    model = onnx.load(place / "model.onnx")
    tensor = next(
        initializer for initializer in model.graph.initializer if initializer.name.startswith(".T(") and initializer.name.count(" + ") == 2
    )
    array = numpy_helper.to_array(tensor).copy()
    array[3, 70] = np.nextafter(array[3, 70], np.float32(1))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, place / "model.onnx")
    result = command(*arguments)
    assert result.returncode == 1
    assert tensor.name in result.stdout + result.stderr


def test_a_cpu_s_graph_shares_the_checkpoint_s_weights_as_any_other(tmp_path: Path, convert: Callable[..., Outcome]) -> None:
    folder = save_tiny(tmp_path / "tiny", "bert")
    outcome = convert(folder, folder, feature="default", weights="shared", optimize="cpu")
    assert outcome.failure is None, outcome.failure.message
    assert outcome.artifact and [file.path for file in outcome.artifact.shared_files] == ["model.safetensors"]
    assert json.loads((folder / "converter.json").read_text())["options"]["optimize"] == "cpu"
