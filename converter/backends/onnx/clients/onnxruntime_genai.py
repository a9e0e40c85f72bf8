"""`genai_config.json` of onnxruntime-genai: the decoder's inputs and outputs, and the end of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from converter.core.records import Signature, TensorSpec

FILE = "genai_config.json"

_CONTEXT = 2048  # tokens, for a model without a limit; the format requires one
_TYPE = (
    "llama"  # what onnxruntime-genai calls a decoder of any family whose graph has its own attention (measured: "gpt2" is another layout)
)


def genai_config(signature: Signature, settings: Any, tokens: Any, positions: int | None, file: str) -> bytes | None:
    """The configuration of a decoder with its cache in `file`, below the folder that it lies in; None for any other model.

    `settings` is transformers' configuration of the model, `tokens` what names its special tokens, `positions` how many it has.
    """
    inputs, outputs = ({spec.name: spec for spec in specs} for specs in (signature.inputs, signature.outputs))
    keys = [spec for name, spec in inputs.items() if name.startswith("past_key_values.") and name.endswith(".key")]
    layers = {f"past_key_values.{layer}.key" for layer in range(len(keys))}
    if not keys or {spec.name for spec in keys} != layers or "logits" not in outputs or "attention_mask" not in inputs:
        return None
    shapes = {(spec.shape[1], spec.shape[3]) for spec in keys}
    if len(shapes) > 1 or len(inputs) > 2 * len(keys) + 3:  # it knows one shape of cache, and three other inputs
        return None
    ((heads, head_size),) = shapes
    if not (isinstance(heads, int) and isinstance(head_size, int)):
        return None
    text = settings.get_text_config()
    queries = int(getattr(text, "num_attention_heads", heads))
    names = {name: name for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
    decoder: dict[str, Any] = {
        "session_options": {"provider_options": []},
        "filename": file,
        "head_size": head_size,
        "hidden_size": int(getattr(text, "hidden_size", queries * head_size)),
        "num_attention_heads": queries,
        "num_key_value_heads": heads,
        "num_hidden_layers": len(keys),
        "inputs": {**names, "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"},
        "outputs": {"logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value"},
    }
    length = positions or _CONTEXT
    model: dict[str, Any] = {
        "type": _TYPE,
        "context_length": length,
        "vocab_size": _vocabulary(outputs["logits"]),
        **_tokens(tokens),
        "decoder": decoder,
    }
    search = {"do_sample": False, "max_length": length, "num_beams": 1, "past_present_share_buffer": False}
    return f"{json.dumps({'model': model, 'search': search}, indent=2)}\n".encode()


def _vocabulary(logits: TensorSpec) -> int | str:
    return logits.shape[-1]


def _tokens(named: Any) -> Mapping[str, Any]:
    """The special tokens; without a padding token it is the end token, because the format requires both."""
    end = getattr(named, "eos_token_id", None)
    first = end[0] if isinstance(end, list) and end else end
    tokens = {
        "bos_token_id": getattr(named, "bos_token_id", None),
        "eos_token_id": end,
        "pad_token_id": next((token for token in (getattr(named, "pad_token_id", None), first) if token is not None), 0),
    }
    return {name: token for name, token in tokens.items() if token is not None}
