"""float16 files evaluated in float16, as a GPU does it and ONNX Runtime's CPU provider does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers

from converter.backends.onnx.precision import wide
from converter.backends.onnx.session import open_files
from tests.coverage.tiny import save_tiny as save_other
from tests.integration.test_precisions import convert, variants
from tests.support.checkpoints import save_tiny, save_tokenizer
from tests.support.half import evaluate

Array = np.ndarray[Any, np.dtype[Any]]
TOKENS = np.random.default_rng(0).integers(5, 119, (2, 7))
MASK = np.array([[1] * 7, [1] * 4 + [0] * 3])


def changed(folder: Path, auto: str, change: Callable[[Any], None]) -> Path:
    """The checkpoint with other weights."""
    model = getattr(transformers, auto).from_pretrained(folder)
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    return folder


def large_products(model: Any) -> None:
    """Have the products of a Llama's MLP be beyond float16."""
    for layer in model.model.layers:
        layer.mlp.up_proj.weight.mul_(3e4)
        layer.mlp.gate_proj.weight.mul_(3e4)
        layer.mlp.down_proj.weight.mul_(1e-4)


def large_outputs(model: Any) -> None:
    """Have a T5's `wo` exceed float16."""
    for block in [*model.encoder.block, *model.decoder.block]:
        block.layer[-1].DenseReluDense.wi.weight.mul_(5e3)
        block.layer[-1].DenseReluDense.wo.weight.mul_(50)


def large_embeddings(model: Any) -> None:
    """Have a BERT's embeddings be beyond float16, up to its first norm."""
    model.bert.embeddings.word_embeddings.weight.mul_(5e6)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tokenizer(save_other(tmp_path_factory.mktemp("llama"), "llama", "AutoModelForCausalLM"), "input_ids", "attention_mask")
    return changed(folder, "AutoModelForCausalLM", large_products)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tokenizer(save_tiny(tmp_path_factory.mktemp("t5"), "t5", "AutoModelForSeq2SeqLM"), "input_ids", "attention_mask")
    return changed(folder, "AutoModelForSeq2SeqLM", large_outputs)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny(tmp_path_factory.mktemp("bert"), "bert", "AutoModelForSequenceClassification")
    save_tokenizer(folder, "input_ids", "attention_mask", "token_type_ids")
    return changed(folder, "AutoModelForSequenceClassification", large_embeddings)


def inputs_of(folder: Path, files: tuple[str, ...]) -> dict[str, Array]:
    """Padded texts without a past."""
    session = open_files(folder, files)
    arrays = {}
    for spec in session.signature.inputs:
        if spec.name.startswith("past_key_values"):
            arrays[spec.name] = np.zeros((2, spec.shape[1], 0, spec.shape[3]), np.float32)
        elif spec.name == "position_ids":
            arrays[spec.name] = np.maximum(MASK.cumsum(1) - 1, 0)
        elif spec.name == "token_type_ids":
            arrays[spec.name] = np.zeros_like(MASK)
        else:
            arrays[spec.name] = MASK if spec.name == "attention_mask" else np.ones_like(MASK) if "mask" in spec.name else TOKENS
    session.close()
    return arrays


def exact_logits(checkpoint: Path, auto: str, arrays: Mapping[str, Array]) -> Array:
    model = getattr(transformers, auto).from_pretrained(checkpoint, dtype=torch.float32)
    with torch.no_grad():
        return np.asarray(model(**{name: torch.tensor(array) for name, array in arrays.items() if not name.startswith("past")}).logits)


def assert_close(array: Array, expected: Array) -> None:
    """Of real tokens: a result at padding means nothing."""
    real = MASK.astype(bool) if array.ndim == 3 else ...
    assert np.isfinite(array).all()
    np.testing.assert_allclose(array[real], expected[real], atol=0.01 * np.abs(expected).max())


CASES = pytest.mark.parametrize(
    ("name", "auto", "role", "chosen"),
    [
        ("llama", "AutoModelForCausalLM", "model.layers.*.mlp.down_proj.weight", {}),
        (
            "t5",
            "AutoModelForSeq2SeqLM",
            "decoder.block.*.layer.*.DenseReluDense.wo.weight",
            {"feature": "seq2seq-lm", "profile": "documented"},
        ),
        ("bert", "AutoModelForSequenceClassification", "bert.embeddings.word_embeddings.weight", {}),
    ],
)


@CASES
def test_what_is_beyond_float16_is_computed_in_float32_and_told(
    name: str, auto: str, role: str, chosen: Mapping[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    checkpoint: Path = request.getfixturevalue(name)
    outcome = convert(checkpoint, tmp_path, dtype="fp16", tier="near-lossless", **chosen)
    (variant,) = variants(outcome).values()
    assert outcome.status == "converted", outcome.failure
    assert variant.share is not None
    assert variant.share < 0.9
    assert variant.runtime.endswith("CPUExecutionProvider, float16 values rounded")
    assert variant.float32[role] > wide.LIMIT / 4
    assert f"; {role} in float32, largest value " in variant.summary
    arrays = inputs_of(tmp_path / "onnx", variant.files)
    expected = exact_logits(checkpoint, auto, arrays)
    assert_close(evaluate(tmp_path / "onnx" / variant.files[0], arrays)["logits"], expected)
    assert_close(open_files(tmp_path / "onnx", variant.files, rounded=True).run(arrays)["logits"], expected)


@CASES
def test_without_measured_ranges_it_gives_no_numbers_and_fails(
    name: str,
    auto: str,
    role: str,
    chosen: Mapping[str, Any],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wide, "LIMIT", float("inf"))
    monkeypatch.setattr("converter.validation.accuracy.evaluator.AccuracyEvaluator.float32_weights", lambda *_: frozenset())
    outcome = convert(request.getfixturevalue(name), tmp_path, dtype="fp16", tier="any", **chosen)
    assert outcome.failure, f"{auto} passes without {role} in float32"
    assert "its outputs have NaN or infinity" in outcome.failure.message


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("llama", {"optimize": "cpu", "dtype": "fp16"}),
        ("llama", {"optimize": "cuda", "dtype": "fp16"}),
        ("bert", {"optimize": "cuda", "dtype": "fp16"}),
        ("llama", {"quantize": "q4f16", "tier": "any"}),
        ("t5", {"feature": "seq2seq-lm-with-past", "dtype": "fp16"}),
    ],
    ids=str,
)
def test_so_it_is_in_fused_graphs_with_blocks_of_4_bits_and_in_an_encoder_and_a_decoder(
    name: str, chosen: Mapping[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    outcome = convert(request.getfixturevalue(name), tmp_path, **chosen)
    (variant,) = variants(outcome).values()
    assert outcome.status == "converted", outcome.failure
    assert max(variant.float32.values()) > wide.LIMIT / 4
    if "quantize" not in chosen:
        assert variant.tier == "near-lossless"


@pytest.mark.parametrize(
    ("model_type", "auto", "names"),
    [
        ("bert", "AutoModelForSequenceClassification", ("input_ids", "attention_mask", "token_type_ids")),
        ("llama", "AutoModelForCausalLM", ("input_ids", "attention_mask")),
    ],
)
def test_a_model_with_room_is_float16_from_one_end_to_the_other(model_type: str, auto: str, names: tuple[str, ...], tmp_path: Path) -> None:
    save = save_tiny if model_type == "bert" else save_other
    checkpoint = save_tokenizer(save(tmp_path / model_type, model_type, auto), *names)
    outcome = convert(checkpoint, tmp_path / "out", dtype="fp16", tier="near-lossless")
    (variant,) = variants(outcome).values()
    assert variant.float32 == {}
    folder = tmp_path / "out/onnx"
    arrays = inputs_of(folder, variant.files)
    assert_close(evaluate(folder / variant.files[0], arrays)["logits"], exact_logits(checkpoint, auto, arrays))
    stored = onnx.load(folder / variant.files[0]).graph.initializer
    assert not [
        tensor.name for tensor in stored if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims and "inv_freq" not in tensor.name
    ]
