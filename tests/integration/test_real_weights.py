"""The main job on real weights: a manifest line becomes a model that onnxruntime alone runs to the checkpoint's embeddings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converter.backends import BACKENDS
from converter.core.records import Job, Outcome, Source
from converter.pipeline import run_job

Converter = Callable[..., "subprocess.CompletedProcess[str]"]

SENTENCES = [
    "A man is eating food.",
    "The new movie is awesome, and its music is even better than that of the first one!",
    "Das Wetter ist heute schön.",
]

# Nothing but onnxruntime, the tokenizer and numpy, as a service that deploys the artifact has it.
_CLIENT = """
import json, sys
import numpy as np, onnxruntime, tokenizers
folder, sentences = sys.argv[1], json.loads(sys.argv[2])
tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.enable_padding()
tokenizer.enable_truncation(256)
encoded = tokenizer.encode_batch(sentences)
inputs = {
    "input_ids": np.array([each.ids for each in encoded]),
    "attention_mask": np.array([each.attention_mask for each in encoded]),
    "token_type_ids": np.array([each.type_ids for each in encoded]),
}
(hidden,) = onnxruntime.InferenceSession(f"{folder}/onnx/model.onnx").run(["last_hidden_state"], inputs)
mask = inputs["attention_mask"][..., None]
pooled = (hidden * mask).sum(1) / mask.sum(1)
assert not {"torch", "transformers", "converter"} & set(sys.modules)
print(json.dumps((pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).tolist()))
"""


@pytest.fixture(scope="module")
def batch(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `converter --manifest models.txt` has run once."""
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "all-MiniLM-L6-v2").symlink_to(minilm)
    (workspace / "models.txt").write_text("# one line\n./all-MiniLM-L6-v2  to=onnx feature=feature-extraction\n")
    return workspace


def _run(converter: Converter, workspace: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return converter("--manifest", "models.txt", *more, cwd=workspace)


def test_a_manifest_line_becomes_embeddings_in_onnxruntime_alone(batch: Path, converter: Converter, minilm: Path) -> None:
    result = _run(converter, batch)
    assert result.returncode == 0, result.stderr
    assert "1 converted, 0 unchanged, 0 failed" in result.stdout

    folder = batch / "out" / "all-MiniLM-L6-v2"
    command = [sys.executable, "-c", _CLIENT, str(folder), json.dumps(SENTENCES)]
    embeddings = np.array(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    np.testing.assert_allclose(embeddings, _embeddings(minilm), atol=1e-6)

    for name in ("config.json", "tokenizer.json", "1_Pooling/config.json"):
        assert (folder / name).read_bytes() == (minilm / name).read_bytes()


def test_the_record_and_the_reports_say_what_was_measured(batch: Path, converter: Converter) -> None:
    _run(converter, batch)
    folder = batch / "out" / "all-MiniLM-L6-v2" / "onnx"
    record = json.loads((folder / "converter.json").read_text())
    assert record["source"]["identity"].startswith("sha256:")
    assert record["options"]["feature"] == "default"
    assert {"converter", "torch", "transformers", "onnx", "onnxruntime"} <= set(record["versions"])
    (file,) = record["files"]
    assert file["path"] == "model.onnx" and file["size"] == (folder / "model.onnx").stat().st_size
    assert (
        subprocess.run(["sha256sum", folder / "model.onnx"], capture_output=True, text=True, check=True).stdout.split()[0] == file["sha256"]
    )
    assert [stage["name"] for stage in record["stages"]] == ["resolve", "fetch", "convert", "validate"]
    assert all(stage["peak_anonymous_bytes"] > 0 for stage in record["stages"])
    assert [file["path"] for file in record["sidecars"] if "/" in file["path"]] == ["1_Pooling/config.json"]
    cases = {case["name"]: case for case in record["verdict"]["cases"]}
    assert cases["longest"]["axes"] == {"batch_size": 1, "sequence": 512}
    assert cases["sentences"]["comparisons"][0]["max_abs_error"] < 1e-5
    assert file["size"] <= record["source"]["weight_bytes"] + 1_000_000

    report = json.loads((batch / "out" / "report.json").read_text())
    outcome = report["outcomes"][0]
    assert {**outcome["artifact"], "verdict": outcome["verdict"], "stages": record["stages"]} == record  # each is said once
    assert "all-MiniLM-L6-v2" in (batch / "out" / "report.md").read_text()


def test_a_second_run_does_nothing_and_a_changed_artifact_is_made_again(batch: Path, converter: Converter) -> None:
    _run(converter, batch)
    artifact = batch / "out" / "all-MiniLM-L6-v2" / "onnx" / "model.onnx"
    before = artifact.stat().st_mtime_ns
    again = _run(converter, batch, "--json")
    assert json.loads(again.stdout)["outcomes"][0]["status"] == "skipped"
    assert artifact.stat().st_mtime_ns == before

    with open(artifact, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    (batch / "out" / "all-MiniLM-L6-v2" / "vocab.txt").unlink()
    repaired = _run(converter, batch, "--quiet")
    assert (repaired.returncode, repaired.stdout) == (0, "")
    assert json.loads((batch / "out" / "report.json").read_text())["outcomes"][0]["status"] == "converted"
    assert (batch / "out" / "all-MiniLM-L6-v2" / "vocab.txt").is_file()


def test_the_documented_line_prints_the_documented_log(
    minilm: Path, command: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local-pt-checkpoint").symlink_to(minilm)
    monkeypatch.chdir(tmp_path)
    result = command("onnx", "--model=local-pt-checkpoint", "onnx/")
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[:4] == [
        "Validating ONNX model...",
        "\t-[✓] ONNX model output names match reference model ({'last_hidden_state'})",
        '\t- Validating ONNX Model output "last_hidden_state":',
        "\t\t-[✓] (2, 8, 384) matches (2, 8, 384)",
    ]
    assert lines[-2:] == ["\t\t-[✓] all values close (atol: 1e-05)", "All good, model saved at: onnx/model.onnx"]
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == ["converter.json", "model.onnx"]


@pytest.fixture(scope="module")
def language_model(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """SmolLM2, converted once with no option but its feature."""
    return run_job(
        Job(
            source=Source(name="SmolLM2-135M-Instruct", folder=smollm2),
            backend="onnx",
            options=BACKENDS["onnx"].options(feature="causal-lm", profile="documented"),
            destination=tmp_path_factory.mktemp("converted") / "onnx",
        )
    )


def test_a_trained_language_model_converts_as_exact_as_float32(language_model: Outcome) -> None:
    """Its logits are up to 40: float32 itself is off by more than the tolerance of 1e-4."""
    assert language_model.status == "converted", language_model.failure
    verdict = language_model.verdict
    assert verdict and verdict.passed, verdict and verdict.first_problem
    assert list(verdict.decided_by_float64) == ["logits"]
    assert "but as exact as PyTorch float32" in verdict.decided_by_float64["logits"]
    (exactness,) = verdict.exactness
    assert 0.2 < exactness.ratio < 2
    assert verdict.max_abs_error and verdict.max_abs_error > verdict.atol == 1e-4


def _embeddings(checkpoint: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    encoded = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded).last_hidden_state
    mask = encoded["attention_mask"][..., None]
    result: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return result
