"""A right conversion whose logits are too large for the documented tolerance is judged by float64; the user's own tolerance is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
import transformers

from converter.architectures import find_architecture
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.session import OnnxSession
from converter.checkpoints.loading import load_model
from converter.validation.reference import Reference
from converter.validation.validate import validate

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 with an untied head, initialised by transformers: logits of about 50."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=200,
        d_model=64,
        d_kv=24,
        d_ff=96,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    folder = tmp_path_factory.mktemp("t5")
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_it_converts_and_the_documented_log_and_the_record_say_which_rule_decided(checkpoint: Path, command: Run, tmp_path: Path) -> None:
    result = command("onnx", "--model", checkpoint, "--feature=seq2seq-lm", "--profile=documented", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if "float64" in line]
    assert line.startswith("\t\t-[✓] max error ")
    assert " > 1e-05, but as exact as PyTorch float32 (" in line and line.endswith(" x its error against float64)")
    assert result.stdout.splitlines()[-1].startswith("All good")

    verdict = json.loads((tmp_path / "out" / "converter.json").read_bytes())["verdict"]
    exactness = {record["output"]: record for record in verdict["exactness"]}
    logits = exactness["logits"]
    assert logits["rms_error"] <= logits["rms_bound"] and logits["max_error"] <= logits["max_bound"]
    assert 0.3 < logits["rms_error"] / logits["rms_reference_error"] < 2
    compared = [comparison for case in verdict["cases"] for comparison in case["comparisons"] if comparison["output"] == "logits"]
    assert any(comparison["exact"] for comparison in compared)
    assert all(comparison["exact"] != comparison["close"] for comparison in compared)

    # a user's tolerance stays absolute
    result = command("validate", tmp_path / "out", "--reference", checkpoint, "--atol", "1e-5", "--json")
    (judged,) = json.loads(result.stdout)
    assert (result.returncode, judged["passed"], judged["verdict"]["exactness"]) == (1, False, [])
    assert "logits differs by" in result.stderr and "(atol: 1e-05)" in result.stderr
    wide = command("validate", tmp_path / "out", "--reference", checkpoint, "--atol", "1e-3", "--json")
    assert wide.returncode == 0 and json.loads(wide.stdout)[0]["verdict"]["exactness"] == [], wide.stderr

    # a model whose own code refuses float64
    model = load_model(checkpoint, "AutoModelForSeq2SeqLM", "float32")
    forward = type(model.module).forward

    def only_float32(self: Any, *arguments: Any, **others: Any) -> Any:
        if self.lm_head.weight.dtype == torch.float64:
            raise TypeError("float32 alone")
        return forward(self, *arguments, **others)

    model.module.forward = MethodType(only_float32, model.module)
    config = find_architecture("t5").configure(model.config, "seq2seq-lm")
    session = OnnxSession(tmp_path / "out" / "model.onnx")
    float32_verdict = validate(session, Reference(model, tuple(config.outputs)), config, None, OnnxOptions(profile="documented"))
    assert "logits differs by" in float32_verdict.first_problem and not float32_verdict.exactness
    assert "nothing could be held against float64: TypeError: float32 alone" in float32_verdict.notes
