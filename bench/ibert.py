"""The distance of a quantised I-BERT from itself: `python -m bench.ibert` measures the figures in docs/reference/onnx.md.

Two processes compute the same model on the same inputs in PyTorch, one with MKL's other order of sums. Small random models are captured
once and validated with the weights of each seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

from converter.architectures import find_architecture
from converter.backends.onnx.capture import capture
from converter.backends.onnx.files import model_file
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.session import OnnxSession
from converter.checkpoints.loading import load_model
from converter.validation.reference import Reference
from converter.validation.validate import validate
from tests.integration.test_quantised_ibert import save_calibrated

REAL = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
SEEDS = 40

_RUN = """
import sys, torch, transformers
torch.set_num_threads(1)
model = transformers.AutoModel.from_pretrained(sys.argv[1]).eval()
torch.manual_seed(5)
tokens = torch.randint(2, 119, (2, 16))
with torch.no_grad():
    torch.save(model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state, sys.argv[2])
"""


def against_itself(folder: Path) -> None:
    """Print how far PyTorch is from PyTorch."""
    checkpoint = save_calibrated(folder / "real", "AutoModel", **REAL)
    results = []
    for name, setting in (("plain", {}), ("compatible", {"MKL_CBWR": "COMPATIBLE"})):
        path = folder / name
        subprocess.run(
            [sys.executable, "-c", _RUN, str(checkpoint), str(path)], check=True, capture_output=True, env={**os.environ, **setting}
        )
        results.append(torch.load(path))
    one, other = results
    error = (one - other).abs()
    share, largest, scale = (error > 1e-5 + 1e-5 * one.abs()).float().mean(), error.max(), one.abs().max()
    print(f"12 layers of 768, with MKL_CBWR=COMPATIBLE: {share:.0%} of the elements differ, by up to {largest:.2f} of {scale:.1f}")


def small_ones(folder: Path) -> None:
    """Print how many small models are refused."""
    graph, refused = None, 0
    for seed in range(SEEDS):
        checkpoint = save_calibrated(folder / str(seed), "AutoModel", seed=100 + seed)
        model = load_model(checkpoint, "AutoModel", "float32", "eager")
        config = find_architecture("ibert").configure(model.config, "default")
        graph = graph or capture.capture(model, config, None)  # of the configuration alone: it serves every seed
        model_file.write(graph, graph.bind(model), checkpoint / "model.onnx")
        reference = Reference(load_model(checkpoint, "AutoModel", "float32"), tuple(config.outputs))
        refused += not validate(OnnxSession(checkpoint / "model.onnx"), reference, config, None, OnnxOptions(profile="documented")).passed
    print(f"2 layers of 32: {refused} of {SEEDS} random ones refused")


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        against_itself(Path(name))
        small_ones(Path(name))
