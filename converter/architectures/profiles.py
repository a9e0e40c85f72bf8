"""Profiles: the names of files and inputs for their clients. A profile is data, and changes only names in a configuration.

`documented` is the contract of `transformers.onnx`. `hub` is for transformers.js, optimum and sentence-transformers. Its batch axis is
`batch_size`, which transformers.js needs to make an empty cache. Decoders have `position_ids`, without which GPT-2 is wrong in a batch
padded on the left. An encoder-decoder with cache has two files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from converter.architectures.config import OnnxConfig
from converter.architectures.features import Axes
from converter.architectures.size import Size

if TYPE_CHECKING:
    from converter.core.typing import Array

POSITIONS = "position_ids"

_BATCH = "batch"  # its name in the documented configurations
_TOKENS, _MASK, _DECODER_MASK = "input_ids", "attention_mask", "decoder_attention_mask"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The files for some clients.

    `batch` is the name of the batch axis. `positions`: causal language models have `position_ids`. `apart`: an encoder-decoder with cache
    has two files. `with_past`: a generating model has its cache by default.
    """

    name: str
    batch: str
    positions: bool
    apart: bool
    with_past: bool


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="documented", batch=_BATCH, positions=False, apart=False, with_past=False),
        Profile(name="hub", batch="batch_size", positions=True, apart=True, with_past=True),
    )
}


def in_profile(onnx_config: type[OnnxConfig], profile: Profile, inputs: Collection[str]) -> type[OnnxConfig]:
    """The configuration class whose files are as `profile` has them, for a model whose forward takes `inputs`."""
    if profile is PROFILES["documented"]:
        return onnx_config
    members = {
        "profile": profile,
        "takes_positions": POSITIONS in inputs,
        "__module__": onnx_config.__module__,
        "__doc__": onnx_config.__doc__,
    }
    return type(onnx_config.__name__, (_InProfile, onnx_config), members)


def is_for_clients(config: OnnxConfig) -> bool:
    """Whether a configuration is in another profile than the documented one."""
    return isinstance(config, _InProfile)


def is_apart(config: OnnxConfig) -> bool:
    """Whether an encoder and a decoder are a file each."""
    return isinstance(config, _InProfile) and config.is_apart


class _InProfile(OnnxConfig):
    """The profile's changes to any configuration."""

    profile: ClassVar[Profile]
    takes_positions: ClassVar[bool]

    @property
    def inputs(self) -> Mapping[str, Axes]:
        whole = super().inputs  # type: ignore[safe-super]  # it comes before the configuration that has them
        text = self._named(whole.get(_TOKENS, {}))
        inputs: dict[str, Axes] = {}
        for name, axes in whole.items():
            inputs[name] = self._named(axes)
            if name == _MASK and self._is_told_positions:
                inputs[POSITIONS] = text
        if self.profile.apart and _has_encoder(whole):
            inputs.pop(_DECODER_MASK, None)  # generated tokens are never padding
            if _MASK in inputs and text:
                inputs[_MASK] = text  # T5's row has a separate axis for it
        return inputs

    @property
    def outputs(self) -> Mapping[str, Axes]:
        outputs = {name: self._named(axes) for name, axes in super().outputs.items()}
        if self.is_apart and self.encoded_length is not None:  # known to the decoder's file, which is given all of it
            of_encoder = [name for name in outputs if name.startswith("present.") and ".encoder." in name]
            outputs |= {name: {0: self.profile.batch} for name in of_encoder}
        return outputs

    @property
    def is_apart(self) -> bool:
        """Whether an encoder and a decoder are a file each."""
        return self.profile.apart and _has_encoder(super().inputs)  # type: ignore[safe-super]  # as above

    @property
    def _is_told_positions(self) -> bool:
        from converter.architectures.dummies import makes_its_own

        return self.profile.positions and self.takes_positions and self.task == "causal-lm" and not makes_its_own(self)

    def _named(self, axes: Axes) -> Axes:
        return {axis: self.profile.batch if label == _BATCH else label for axis, label in axes.items()}

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        return {**super().axis_lengths(size), self.profile.batch: size.batch}

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        return {} if name == POSITIONS else super().fixed_dims(name)

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:
        if name != POSITIONS:
            return super().draw(name, shape, rng)
        import numpy as np

        return np.zeros(shape, np.int64)  # `settle` counts them

    def settle(self, inputs: MutableMapping[str, Array]) -> None:
        super().settle(inputs)
        if POSITIONS in inputs:
            inputs[POSITIONS] = positions(inputs[_MASK], inputs[_TOKENS].shape[1])


def positions(mask: Array, new: int) -> Array:
    """The positions (batch, new) int64 of the last `new` tokens under a mask (batch, tokens), as clients count them: padding has none."""
    counted: Array = (mask.cumsum(axis=-1) - 1).clip(0)[:, mask.shape[-1] - new :]
    return counted


def _has_encoder(inputs: Mapping[str, Axes]) -> bool:
    return any(name.startswith("past_key_values.") and ".encoder." in name for name in inputs)
