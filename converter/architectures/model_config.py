"""Settings of a model's own configuration, as transformers loads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_WINDOWS = ("sliding_window", "attention_window", "window_size", "local_attention", "attention_chunk_size", "sliding_window_size")
"""What configurations of transformers call the width of a sliding window."""
_SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "unk_token_id", "mask_token_id", "sep_token_id", "cls_token_id")


@contextmanager
def overridden(config: Any, values: Mapping[str, Any] | None) -> Iterator[None]:
    """Set attributes of a model's configuration, and set them back at the end."""
    before = {name: getattr(config, name) for name in values or {} if hasattr(config, name)}
    for name, value in (values or {}).items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name in values or {}:
            if name in before:
                setattr(config, name, before[name])
            else:
                delattr(config, name)


def text_config(config: Any) -> Any:
    """Return the part of a model's configuration that is about text, or all of it; of several parts, the decoder's."""
    try:
        part = config.get_text_config() if hasattr(config, "get_text_config") else config
    except ValueError:  # there are several
        part = getattr(config, "decoder", config)
    return part if part is not None else config


def window_widths(config: Any) -> tuple[int, ...]:
    """Return the widths in tokens of the sliding windows of attention, in ascending order."""
    values = _text_settings(config, _WINDOWS)
    return tuple(sorted({width for width in values if isinstance(width, int) and not isinstance(width, bool) and width > 0}))


def special_tokens(config: Any) -> frozenset[int]:
    """Return the special tokens that a configuration names. One of them may serve as padding."""
    return frozenset(token for token in _text_settings(config, _SPECIAL_TOKENS) if isinstance(token, int) and token >= 0)


def _text_settings(config: Any, names: Sequence[str]) -> list[Any]:
    """Return the values of some settings of the text part; a list counts as several."""
    settings = [getattr(text_config(config), name, None) for name in names]
    return [value for setting in settings for value in (setting if isinstance(setting, list | tuple) else [setting])]
