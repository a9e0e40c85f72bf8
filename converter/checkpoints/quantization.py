"""Checkpoints whose weights are stored in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from converter.core.errors import CheckpointError
from converter.core.text import brief

_DEQUANTIZED = frozenset({"fp8", "mxfp8", "mxfp4"})
"""The methods whose weights transformers gives back in floating point on any machine."""
_SCALED = frozenset({"fp8", "mxfp8"})
"""The methods with scales for each weight in fp8."""
_NAMES = {"gptq": "GPTQ", "awq": "AWQ", "aqlm": "AQLM", "hqq": "HQQ", "auto-round": "AutoRound", "vptq": "VPTQ", "spqr": "SpQR"}
_SETTINGS = "quantization_config"


def check_quantization(name: str, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for weights that transformers does not give back in floating point.

    Args:
        name: the checkpoint, for the message.
        config: its config.json.
    """
    if config.get(_SETTINGS) is not None and not isinstance(config[_SETTINGS], Mapping):
        raise CheckpointError(f"{_SETTINGS} in config.json of {name} is not an object", "correct config.json")
    for settings in _settings(config):
        method = _method(settings)
        if method == "bitsandbytes" and settings.get("load_in_4bit") is settings.get("load_in_8bit") is False:  # nothing is quantized
            continue
        if method not in _DEQUANTIZED:
            bits = settings.get("bits")
            width = f" in {bits} bits" if isinstance(bits, int) else ""
            raise CheckpointError(
                f"{name} is quantized by {brief(_NAMES.get(method, method or 'an unknown method'))}{width}, which cannot be read yet",
                "convert the checkpoint that it was quantized from, which its model card names as base_model",
            )


def check_scales(name: str, config: Mapping[str, Any], tensors: Mapping[str, str]) -> None:
    """Raise CheckpointError for weights in fp8 without their scales, which transformers would load unscaled.

    Args:
        name: the checkpoint, for the message.
        config: its config.json.
        tensors: the dtype of each stored tensor, as safetensors names it.
    """
    if quantization_method(config) not in _SCALED:
        return
    scaled = {tensor.rpartition("scale")[0].rstrip("._") for tensor in tensors}  # `weight_scale_inv`, `weight_scale` or `scale`
    stored = (tensor for tensor, dtype in tensors.items() if dtype.startswith("F8_E4M3"))
    lacking = sorted(tensor for tensor in stored if scaled.isdisjoint((tensor, tensor.removesuffix(".weight"))))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise CheckpointError(f"the weights of {name} lack the scale of {brief(lacking[0])}{more}", "download the checkpoint again")


def quantization_method(config: Mapping[str, Any]) -> str:
    """The method in a config.json, such as `fp8`; empty for weights that are not quantized."""
    return next(map(_method, _settings(config)), "")


def dequantize(config: Any) -> None:
    """Let transformers load quantized weights in floating point, also on a machine that could compute with them as stored.

    Args:
        config: a configuration of transformers, which is changed.
    """
    for part in (config, config.get_text_config(decoder=True)):
        settings = getattr(part, _SETTINGS, None)
        if isinstance(settings, dict):
            settings["dequantize"] = True


def _settings(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a config.json, or a part of it, says of its quantization; MLX calls it `quantization`."""
    for part in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        if isinstance(settings := part.get(_SETTINGS), Mapping):
            yield settings
    if isinstance(settings := config.get("quantization"), Mapping) and "group_size" in settings and _SETTINGS not in config:
        yield {"quant_method": "MLX", **settings}


def _method(settings: Mapping[str, Any]) -> str:
    method = settings.get("quant_method")
    if isinstance(method, str):
        return method
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):  # bitsandbytes' own files of older versions
        return "bitsandbytes"
    return "MLX" if "group_size" in settings and "mode" in settings else ""
