"""Rotary positions that depend on earlier calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from converter.core.errors import NotSupportedError

_PARAMETERS = ("rope_parameters", "rope_scaling")


def check_rotary(config: Any) -> None:
    """Raise NotSupportedError for a configuration with dynamic rotary positions (dynamic NTK).

    Their frequencies follow the longest text that the model has read, beyond max_position_embeddings; an artifact keeps nothing from one
    call to the next. The other kinds of transformers 5 (linear, yarn, longrope, llama3) depend on the text alone.

    Args:
        config: a configuration of transformers, with its parts.
    """
    values = config.to_dict()
    for parameters in _found(values):
        kind = str(parameters.get("rope_type", parameters.get("type", "")))
        if "dynamic" not in kind or parameters.get("alpha"):  # with a fixed alpha, as HunYuan's, nothing follows the text
            continue
        positions = values.get("max_position_embeddings")
        same = f"the same for texts of at most {positions} tokens" if positions else "the same for short texts"
        raise NotSupportedError(
            f"the checkpoint has rope_type {kind!r}: its positions depend on the texts that it has read before",
            f'set "rope_type": "default" in its config.json, which is {same}',
        )


def _found(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every set of parameters in a configuration: one, or one for each kind of layer, of the whole or of a part."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            if name in _PARAMETERS:
                yield value
            yield from _found(value)
            yield from (part for part in value.values() if name in _PARAMETERS and isinstance(part, Mapping))
