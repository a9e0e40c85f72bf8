"""Classifiers that read a text's last token, of checkpoints whose config.json names no padding token.

Such a model takes one unpadded text at a time in transformers. Its artifact finds the last token by the attention mask, so that a
padded batch gives each text the result that it has alone, whichever token pads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from converter.architectures.model_config import overridden, text_config
from converter.core.errors import ConversionError

_HEAD = "ForSequenceClassification"
"""The end of the class names of classifiers in transformers, and in code that a checkpoint brings."""
_TOKENS, _MASK = "input_ids", "attention_mask"


def lacks_padding_token(model: torch.nn.Module) -> bool:
    """Return whether `model` classifies texts and its configuration has a setting for a padding token that is None."""
    return type(model).__name__.endswith(_HEAD) and getattr(text_config(model.config), "pad_token_id", 0) is None


def padding_token(model: torch.nn.Module) -> int | None:
    """Return the padding token that config.json names, in the vocabulary or not; None if it names none."""
    token: int | None = getattr(text_config(model.config), "pad_token_id", None)
    return token


def check_mask(model: torch.nn.Module, inputs: Sequence[str]) -> None:
    """Raise ConversionError if nothing tells a text from its padding: neither a padding token nor a mask among the `inputs`."""
    if lacks_padding_token(model) and _TOKENS in inputs and _MASK not in inputs:
        raise ConversionError(
            "config.json has no pad_token_id, and without attention_mask the end of a text is unknown",
            "set pad_token_id in config.json to the token that the tokenizer pads with",
        )


@contextmanager
def pooled_by_mask(model: torch.nn.Module, arguments: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, a model without a padding token takes for padding what `arguments["attention_mask"]` masks."""
    if not lacks_padding_token(model) or _MASK not in arguments:
        yield
        return
    with overridden(text_config(model.config), {"pad_token_id": _Masked.by(arguments[_MASK])}):
        yield


@contextmanager
def padded_as_users_do(model: torch.nn.Module, arguments: MutableMapping[str, Any]) -> Iterator[None]:
    """While it lasts, a model without a padding token has one if `arguments` are a batch or padded, and padding consists of it.

    transformers refuses such a batch otherwise. The token is the first that no text ends in.
    """
    tokens, mask = arguments.get(_TOKENS), arguments.get(_MASK)
    if not lacks_padding_token(model) or tokens is None or mask is None or (len(tokens) == 1 and bool(mask.all())):
        yield
        return
    last = (torch.arange(mask.shape[-1]) * mask).argmax(-1, keepdim=True)
    ends = {*tokens.gather(-1, last).flatten().tolist()}
    token = next(number for number in range(len(ends) + 1) if number not in ends)
    arguments[_TOKENS] = tokens.where(mask.bool(), token)
    with overridden(text_config(model.config), {"pad_token_id": token}):
        yield


class _Masked(int):
    """A padding token that equals the tokens with mask 0, by torch's documented `__torch_function__`.

    It is an int, as configurations require, and outside any vocabulary.
    """

    mask: torch.Tensor

    @classmethod
    def by(cls, mask: torch.Tensor) -> _Masked:
        made = cls(-1)
        made.mask = mask
        return made

    @classmethod
    def __torch_function__(cls, function: Any, _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        masked = next((argument for argument in args if isinstance(argument, cls)), None)
        if masked is None or kwargs:
            return NotImplemented
        if function in (torch.ne, torch.Tensor.ne, torch.Tensor.__ne__):
            return masked.mask != 0
        if function in (torch.eq, torch.Tensor.eq, torch.Tensor.__eq__):
            return masked.mask == 0
        return NotImplemented
