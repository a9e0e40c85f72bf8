from __future__ import annotations

from typing import Any

import pytest

from converter.checkpoints.quantization import check_quantization, check_scales
from converter.core.errors import CheckpointError


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "GPTQ in 4 bits"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "AWQ in 4 bits"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"load_in_8bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"text_config": {"quantization_config": {"quant_method": "compressed-tensors"}}}, "compressed-tensors"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX in 4 bits"),
        ({"quantization_config": {"group_size": 64, "bits": 4, "mode": "affine"}}, "MLX in 4 bits"),
        ({"quantization_config": {}}, "an unknown method"),
    ],
)
def test_quantized_weights_that_transformers_does_not_dequantize_are_refused_by_their_method(config: dict[str, Any], method: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_quantization("org/a", config)
    assert caught.value.message == f"org/a is quantized by {method}, which cannot be read yet"
    assert caught.value.hint.startswith("convert the checkpoint that it was quantized from")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"quantization_config": None},
        {"quantization_config": {"quant_method": "fp8"}},
        {"quantization_config": {"quant_method": "mxfp4"}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}},
        {"quantization": {"enabled": False}},
    ],
)
def test_others_are_read(config: dict[str, Any]) -> None:
    check_quantization("org/a", config)


@pytest.mark.parametrize("settings", ["gptq", ["gptq"], 4])
def test_settings_that_are_no_object_are_refused(settings: object) -> None:
    with pytest.raises(CheckpointError, match=r"quantization_config in config\.json of org/a is not an object"):
        check_quantization("org/a", {"quantization_config": settings})


FP8 = {"quantization_config": {"quant_method": "fp8"}}


def test_a_weight_in_fp8_without_its_scale_is_named() -> None:
    tensors = {"a.weight": "F8_E4M3", "a.weight_scale_inv": "F32", "b.weight": "F8_E4M3", "c.weight": "BF16"}
    with pytest.raises(CheckpointError, match=r"^the weights of org/a lack the scale of b\.weight$"):
        check_scales("org/a", FP8, tensors)
    for name in ("b.weight_scale_inv", "b.weight_scale", "b.scale"):
        check_scales("org/a", FP8, {**tensors, name: "F32"})
    check_scales("org/a", {}, tensors)
