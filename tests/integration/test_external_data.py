"""Weights that one file cannot hold lie beside it: written, validated and loaded like all others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import transformers

from converter.architectures import find_architecture
from converter.architectures.config import DEFAULT_OPSET
from converter.backends.onnx.capture import capture
from converter.backends.onnx.capture.torch_patches import lean_exporter
from converter.backends.onnx.files import model_file
from converter.checkpoints.loading import load_model
from converter.core.records import Outcome


def test_an_artifact_with_external_data_is_the_same_model_and_its_faults_are_found(
    tiny: Callable[..., Path],
    convert: Callable[..., Outcome],
    command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    checkpoint = tiny("distilbert", "AutoModelForMaskedLM")
    single = Path(convert(checkpoint, feature="masked-lm").destination) / "model.onnx"
    model = load_model(checkpoint, "AutoModelForMaskedLM", "float32", "eager")
    graph = capture.capture(model, find_architecture("distilbert").configure(model.config, "masked-lm"), None)
    folder = tmp_path / "external"
    folder.mkdir()
    model_file.write(graph, graph.bind(model), folder / "model.onnx", single_file_limit=0)

    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "model.onnx_data"]
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    inputs = {"input_ids": np.arange(6).reshape(2, 3), "attention_mask": np.ones((2, 3), np.int64)}
    for one, other in zip(_run(single, inputs), _run(folder / "model.onnx", inputs), strict=True):
        np.testing.assert_array_equal(one, other)

    validate = ("validate", folder, "--reference", checkpoint, "--feature", "masked-lm")
    assert command(*validate).returncode == 0
    with open(folder / "model.onnx_data", "r+b") as file:
        file.seek(40)
        file.write(b"\x01\x02")
    assert command(*validate).returncode == 1
    (folder / "model.onnx_data").unlink()
    missing = command(*validate)
    assert missing.returncode == 1 and "Traceback" not in missing.stderr


def test_tied_weights_are_written_once(tiny: Callable[..., Path], convert: Callable[..., Outcome]) -> None:
    checkpoint = tiny("distilbert", "AutoModelForMaskedLM")
    outcome = convert(checkpoint, feature="masked-lm")
    stored = onnx.load(Path(outcome.destination) / "model.onnx").graph.initializer
    embeddings = [tensor.name for tensor in stored if tuple(tensor.dims) == (120, 32)]
    assert len(embeddings) == 1


def test_the_default_opset_is_the_one_that_the_exporter_recommends() -> None:
    with lean_exporter():
        program = torch.onnx.export(torch.nn.Identity().eval(), (torch.zeros(2),), dynamo=True, verbose=False)
    assert program is not None and program.model.opset_imports[""] == DEFAULT_OPSET


@pytest.mark.parametrize("opset", [18, 21, 25])
def test_an_opset_that_is_asked_for_is_the_one_in_the_file(
    opset: int, tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = convert(shutil.copytree(tiny("bert"), tmp_path / "checkpoint"), opset=opset)
    assert outcome.status == "converted", outcome.failure
    (imported,) = onnx.load(Path(outcome.destination) / "model.onnx").opset_import
    assert (imported.domain, imported.version) == ("", opset)


def _run(path: Path, inputs: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> list[object]:
    return list(ort.InferenceSession(path).run(None, inputs))


def test_a_model_of_more_than_2_gb_has_its_weights_beside_it(convert: Callable[..., Outcome], tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    config = transformers.BertConfig(
        vocab_size=1100, hidden_size=512, intermediate_size=64, num_hidden_layers=1, num_attention_heads=8, max_position_embeddings=40
    )
    large = transformers.BertModel(config)
    rows = large.embeddings.word_embeddings.weight.detach().repeat(1000, 1)  # so many random numbers would take seconds
    rows += torch.arange(len(rows))[:, None] * 1e-7
    large.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(rows, padding_idx=0)
    config.vocab_size = len(rows)
    large.save_pretrained(checkpoint)
    del large, rows
    try:
        outcome = convert(checkpoint)
        assert outcome.status == "converted", outcome.failure
        folder = Path(outcome.destination)
        assert (folder / "model.onnx_data").stat().st_size > 2**31 > (folder / "model.onnx").stat().st_size * 1000
        onnx.checker.check_model(folder / "model.onnx")
        inputs = {"input_ids": np.array([[1_099_999, 5, 900_000]]), "attention_mask": np.ones((1, 3), np.int64)}
        inputs["token_type_ids"] = inputs["attention_mask"] - 1
        (states,) = ort.InferenceSession(folder / "model.onnx").run(None, inputs)
        model = transformers.AutoModel.from_pretrained(checkpoint)
        with torch.no_grad():
            expected = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).last_hidden_state
        np.testing.assert_allclose(states, expected.numpy(), rtol=1e-5, atol=1e-5)
    finally:
        shutil.rmtree(checkpoint)
        shutil.rmtree(tmp_path / "artifact", ignore_errors=True)
