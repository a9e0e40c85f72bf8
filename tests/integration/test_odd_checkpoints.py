"""Checkpoints that other tools refuse or get wrong: ALiBi in bfloat16, weights in 8 and 4 bits, settings for a GPU in config.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from converter.architectures.families.falcon import FalconOnnxConfig
from converter.checkpoints.loading import load_model
from converter.core.errors import CheckpointError
from converter.core.records import Outcome

Convert = Callable[..., Outcome]

SHAPES = ((2, 8), (1, 60))
BLOCK = 16
"""Rows and columns of a block with one scale."""
FP4 = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""The values of 4 bits, by the specification of microscaling formats (OCP MX 1.0): E2M1."""


def save(folder: Path, config: transformers.PretrainedConfig) -> Path:
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def with_settings(folder: Path, **settings: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


def llama(folder: Path) -> Path:
    return save(
        folder,
        transformers.LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            pad_token_id=0,
            initializer_range=0.2,
        ),
    )


@pytest.fixture
def falcon(tmp_path: Path) -> Path:
    """A Falcon with ALiBi, as falcon-rw has it."""
    return save(
        tmp_path / "falcon",
        transformers.FalconConfig(
            vocab_size=64,
            hidden_size=48,
            num_hidden_layers=1,
            num_attention_heads=6,  # no power of 2: it has slopes of two kinds
            multi_query=True,
            alibi=True,
            initializer_range=0.2,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ),
    )


def logits(artifact: str, tokens: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(Path(artifact, "model.onnx"))
    feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            feed[value.name] = np.zeros((len(tokens), value.shape[1], 0, value.shape[3]), np.float32)
        elif value.name == "position_ids":
            feed[value.name] = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    return np.asarray(session.run(["logits"], feed)[0])


def test_a_falcon_with_alibi_has_the_logits_of_pytorch(falcon: Path, convert: Convert) -> None:
    outcome = convert(falcon, feature="causal-lm-with-past")
    assert outcome.artifact, outcome.failure
    model = transformers.AutoModelForCausalLM.from_pretrained(falcon).eval()
    for shape in SHAPES:
        tokens = np.random.default_rng(0).integers(5, 64, shape)
        with torch.no_grad():
            expected = model(torch.from_numpy(tokens), attention_mask=torch.ones(shape, dtype=torch.int64)).logits.numpy()
        np.testing.assert_allclose(logits(outcome.destination, tokens), expected, atol=1e-5)


def test_the_proof_notices_an_attention_that_is_not_the_one_users_get(
    falcon: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FalconOnnxConfig, "attn_implementation", "eager")  # in which transformers adds ALiBi twice
    outcome = convert(falcon, feature="causal-lm")
    assert outcome.failure and "the artifact does not match the checkpoint: logits differs" in outcome.failure.message


def save_fp8(folder: Path) -> dict[str, torch.Tensor]:
    """Save a Llama in 8-bit floats with a scale for each block, as DeepSeek's and Qwen's are; return the weights that these stand for."""
    weights, expected = load_file(llama(folder) / "model.safetensors"), {}
    for name in [name for name in weights if "_proj" in name]:
        rows, columns = weights[name].shape
        blocks = weights.pop(name).reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        scales = blocks.abs().amax((1, 3)) / 448  # the largest of E4M3
        weights[name] = (blocks / scales[:, None, :, None]).reshape(rows, columns).to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = scales
        expected[name] = (weights[name].float().reshape(blocks.shape) * scales[:, None, :, None]).reshape(rows, columns)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK], "fmt": "e4m3"}
    with_settings(folder, quantization_config=settings, dtype="bfloat16")
    return expected


def save_mxfp4(folder: Path) -> dict[str, torch.Tensor]:
    """Save a GPT-OSS whose experts are in 4 bits with a power of 2 for 32 weights; return the weights that these stand for."""
    config = transformers.GptOssConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        num_local_experts=4,
        num_experts_per_tok=2,
        layer_types=["full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 150000.0},
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
        initializer_range=0.2,
    )
    weights, expected = load_file(save(folder, config) / "model.safetensors"), {}
    for name in [name for name in weights if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, rows, columns = weights.pop(name).shape
        blocks = torch.randint(0, 256, (experts, columns, rows // 32, 16), dtype=torch.uint8)
        scales = torch.randint(120, 125, (experts, columns, rows // 32), dtype=torch.uint8)
        weights[f"{name}_blocks"], weights[f"{name}_scales"] = blocks, scales
        pairs = torch.stack([FP4[(blocks & 15).long()], FP4[(blocks >> 4).long()]], -1).reshape(experts, columns, rows // 32, 32)
        expected[name] = (pairs * 2.0 ** (scales[..., None].float() - 127)).reshape(experts, columns, rows).transpose(1, 2)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with_settings(folder, quantization_config={"quant_method": "mxfp4"}, dtype="bfloat16")
    return expected


@pytest.mark.parametrize("save_quantized", [save_fp8, save_mxfp4])
def test_weights_in_8_and_4_bits_convert_to_the_floats_that_they_stand_for(
    save_quantized: Callable[[Path], dict[str, torch.Tensor]], tmp_path: Path, convert: Convert
) -> None:
    folder = tmp_path / "checkpoint"
    expected = save_quantized(folder)
    model = load_model(folder, "AutoModelForCausalLM", "float32")
    for name, weight in expected.items():
        assert torch.equal(model.module.get_parameter(name), weight), name
    outcome = convert(folder, feature="causal-lm")
    assert outcome.artifact, outcome.failure
    tokens = np.random.default_rng(0).integers(5, 64, (2, 12))
    with torch.no_grad():
        np.testing.assert_allclose(logits(outcome.destination, tokens), model.module(torch.from_numpy(tokens)).logits.numpy(), atol=1e-4)


def test_a_checkpoint_in_fp8_that_lacks_a_scale_is_refused(tmp_path: Path, convert: Convert) -> None:
    save_fp8(tmp_path / "checkpoint")
    weights = load_file(tmp_path / "checkpoint" / "model.safetensors")
    del weights["model.layers.0.mlp.down_proj.weight_scale_inv"]
    save_file(weights, tmp_path / "checkpoint" / "model.safetensors", metadata={"format": "pt"})
    outcome = convert(tmp_path / "checkpoint")
    assert outcome.failure and "lack the scale of model.layers.0.mlp.down_proj.weight" in outcome.failure.message


def test_a_checkpoint_in_fp8_in_a_pickle_is_refused(tmp_path: Path, convert: Convert) -> None:
    save_fp8(tmp_path / "checkpoint")
    weights = load_file(tmp_path / "checkpoint" / "model.safetensors")
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "checkpoint" / "pytorch_model.bin")
    outcome = convert(tmp_path / "checkpoint", allow_pickle=True)
    assert outcome.failure and "has quantized weights in a pickle" in outcome.failure.message


def test_a_checkpoint_in_mxfp4_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    save_mxfp4(tmp_path / "checkpoint")
    weights = load_file(tmp_path / "checkpoint" / "model.safetensors")
    del weights["model.layers.0.mlp.experts.down_proj_blocks"]
    save_file(weights, tmp_path / "checkpoint" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="a tensor is missing or has another shape") as caught:
        load_model(tmp_path / "checkpoint", "AutoModelForCausalLM", "float32")
    assert caught.value.hint.startswith("check that the weights are of this config.json")


def test_gptq_is_refused_by_name_before_its_weights_are_looked_at(tmp_path: Path, convert: Convert) -> None:
    folder = with_settings(llama(tmp_path / "checkpoint"), quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 32})
    (folder / "model.safetensors").write_bytes(b"")
    outcome = convert(folder)
    assert outcome.failure and outcome.failure.stage == "resolve"
    assert "is quantized by GPTQ in 4 bits, which cannot be read yet" in outcome.failure.message


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "flash_attention_3"},
        {"attn_implementation": "kernels-community/flash-attn"},
        {"attn_implementation": "flex_attention"},
    ],
)
def test_an_attention_for_gpus_in_config_json_is_ignored(settings: dict[str, str], tmp_path: Path) -> None:
    model = load_model(with_settings(llama(tmp_path / "checkpoint"), **settings), "AutoModelForCausalLM", "float32")
    assert model.config._attn_implementation == "sdpa"


def test_an_attention_that_runs_anywhere_is_used(tmp_path: Path) -> None:
    model = load_model(with_settings(llama(tmp_path / "checkpoint"), attn_implementation="eager"), "AutoModelForCausalLM", "float32")
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("setting", ["output_hidden_states", "output_attentions"])
def test_a_request_for_other_outputs_in_config_json_is_noted(setting: str, tmp_path: Path, convert: Convert) -> None:
    outcome = convert(with_settings(llama(tmp_path / "checkpoint"), **{setting: True}), feature="causal-lm")
    assert outcome.artifact, outcome.failure
    assert f"config.json sets {setting}, which the artifact does not output" in outcome.notes


def test_what_led_has_that_a_graph_cannot_hold_is_said(tmp_path: Path, convert: Convert) -> None:
    config = transformers.LEDConfig(
        vocab_size=64,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        attention_window=[4],
        max_encoder_position_embeddings=64,
        max_decoder_position_embeddings=64,
    )
    transformers.LEDForConditionalGeneration(config).save_pretrained(tmp_path / "led")
    outcome = convert(tmp_path / "led", feature=None)
    assert outcome.failure
    assert outcome.failure.message.startswith("led cannot be captured: its encoder makes tensors as long as the number of tokens")
    assert outcome.notes == ()  # without a cache it is no other
