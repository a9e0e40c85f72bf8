"""`GenericOnnxConfig`: the configuration of a model that nobody has described, which describes itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from converter.architectures.auto import auto_models
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.features import Axes
from converter.architectures.generic import inputs as known
from converter.architectures.generic.gradients import values_alone
from converter.architectures.generic.inputs import Layout
from converter.architectures.generic.signature import ModelSignature, SignatureProbe, probe_signature
from converter.architectures.model_config import overridden, text_config
from converter.architectures.size import Size

if TYPE_CHECKING:
    import torch

    from converter.core.typing import Array

_LONGEST = 512
"""Tokens of the longest text that is tried: as for models without a limit; of 131,072 positions the logits alone would have gigabytes."""


class GenericOnnxConfig(OnnxConfigWithPast):
    """What any model of transformers takes and gives, by its forward's parameters, its settings, and a run without weights.

    Derive a family's own from it to say what differs, such as inputs that are left out (`without`).
    """

    without: ClassVar[frozenset[str]] = frozenset()
    """Inputs that the model's forward has and its artifact has not."""

    any_image_size: ClassVar[bool] = False
    """Whether the model takes images of other sizes than the one that its configuration names, and so does its artifact."""

    @cached_property
    def model_signature(self) -> ModelSignature:
        """The model's inputs and outputs. Raises NotSupportedError if they cannot be inferred."""
        longest = min(self._rows or _LONGEST, _LONGEST) - 2  # two rows of a table may be no token's
        # no length equals another's, or a convolution's output for an image
        sizes = (
            Size(batch=5, choice=11, sequence=min(17, longest - 1), source=min(19, longest - 1)),
            Size(batch=7, choice=13, sequence=min(24, longest), source=min(29, longest)),
        )
        probe = SignatureProbe(
            config=self._config,
            auto_class=self.auto_class,
            feature=self.feature,
            text=self._text,
            lengths=tuple(self.axis_lengths(size) for size in sizes),
            without=self.without,
            any_image_size=self.any_image_size,
        )
        text = text_config(self._config)
        # transformers classifies no batch without a padding token, and no shape depends on which it is
        padding = {"pad_token_id": 0} if self.task == "sequence-classification" and getattr(text, "pad_token_id", 0) is None else {}
        with overridden(self._config, self.values_override), overridden(text, padding):
            return probe_signature(probe)

    @property
    def auto_class(self) -> str:
        """The class of transformers that loads the model for the task."""
        classes = self.feature.auto_classes
        return next((auto_class for auto_class in classes if self._config.model_type in auto_models().get(auto_class, {})), classes[0])

    @property
    def encoded_length(self) -> int | None:
        return self.model_signature.encoded

    @property
    def inputs(self) -> Mapping[str, Axes]:
        inputs: dict[str, Axes] = {name: layout.axes for name, layout in self.model_signature.inputs.items()}
        if self.use_past:
            self.fill_with_past_key_values_(inputs, direction="inputs")
        return inputs

    @property
    def outputs(self) -> Mapping[str, Axes]:
        outputs: OrderedDict[str, Axes] = OrderedDict((name, dict(axes)) for name, axes in self.model_signature.outputs.items())
        if self.use_past:
            self.fill_with_past_key_values_(outputs, direction="outputs")
        return outputs

    @property
    def _text(self) -> Mapping[str, Layout]:
        """The layouts of all that goes with a text, by the axes of the documented configurations."""
        if self.task == "multiple-choice":
            axes: Axes = {0: "batch", 1: "choice", 2: "sequence"}
            return self._with_types({"input_ids": axes, "attention_mask": axes}, axes)
        if self._has_encoder:
            mask = "past_decoder_sequence + sequence" if self.use_past else "decoder_sequence"
            axes = {0: "batch", 1: "encoder_sequence"}
            named = {
                "input_ids": axes,
                "attention_mask": axes,
                "decoder_input_ids": {0: "batch", 1: "decoder_sequence"},
                "decoder_attention_mask": {0: "batch", 1: mask},
            }
            return self._with_types(named, axes)
        axes = {0: "batch", 1: "sequence"}
        mask_axes: Axes = {0: "batch", 1: "past_sequence + sequence"} if self.use_past else axes
        return self._with_types({"input_ids": axes, "inputs": axes, "attention_mask": mask_axes}, axes)

    def _with_types(self, named: Mapping[str, Axes], axes: Axes) -> Mapping[str, Layout]:
        layouts = {name: Layout(labels) for name, labels in named.items()}
        layouts["bbox"] = Layout(axes, {max(axes) + 1: 4})
        if (self._setting("type_vocab_size") or 0) > 1:  # one kind of token needs no telling
            layouts["token_type_ids"] = Layout(axes)
        return layouts

    @property
    def _has_encoder(self) -> bool:
        """Whether there is a decoder beside an encoder, for this task."""
        return bool(getattr(self._config, "is_encoder_decoder", False)) and self.task != "causal-lm"

    def _setting(self, *names: str) -> Any:
        """A setting of the text's part of the model."""
        return known.setting(text_config(self._config), *names)

    @property
    def positions(self) -> int | None:
        return self._rows and self._rows - self.model_signature.rows_unused

    @property
    def _rows(self) -> int | None:
        rows = self._setting("max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len")
        return int(rows) if isinstance(rows, int) and rows > 0 else None

    @property
    def max_sequence_length(self) -> int:
        return min(self.positions or _LONGEST, _LONGEST)

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        size = int(self._setting("vocab_size") or 0)
        decoder = int(getattr(self._config, "decoder_vocab_size", None) or self._decoder_vocabulary or size)
        sizes = {
            "input_ids": size,
            "inputs": size,
            "decoder_input_ids": decoder,
            "token_type_ids": int(self._setting("type_vocab_size") or 0),
        }
        return {name: count for name, count in sizes.items() if count}

    @property
    def _decoder_vocabulary(self) -> int | None:
        return getattr(getattr(self._config, "decoder", None), "vocab_size", None)

    @property
    def special_tokens(self) -> frozenset[int]:
        """Of a model with images or sounds the one that ends a text alone: others stand for a part of those."""
        if not known.has_other_parts(self._config):
            return super().special_tokens
        end = self._setting("eos_token_id")
        return frozenset({end}) if isinstance(end, int) else frozenset()

    @property
    def measured(self) -> frozenset[str]:
        return frozenset(self.model_signature.inputs) & known.MEASURED

    @property
    def image_size(self) -> tuple[int, int] | None:
        return known.usual_size(self._config)

    @property
    def sound_length(self) -> int | None:
        labels = {label for layout in self.model_signature.inputs.values() for label in layout.axes.values()}
        return known.half_a_minute(self._config, labels)

    @property
    def pad_token_id(self) -> int | None:
        token = self._setting("pad_token_id")
        return int(token) if isinstance(token, int) and 0 <= token < self.vocab_sizes.get("input_ids", 0) else None

    @property
    def atol_for_validation(self) -> float:
        """1e-4, the documented contract's for Marian; of these models it has no row."""
        return 1e-4

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        lengths = {**super().axis_lengths(size), **known.lengths(size.sequence, self._config), "image_batch": size.choice}
        if size.pixels:
            lengths["height"], lengths["width"] = size.pixels
        if "model_signature" in vars(self) and self.encoded_length and size.cached_source >= size.source:
            lengths["past_encoder_sequence"] = self.encoded_length  # of an image all is held, or nothing
        if self._has_encoder and self.task == "sequence-classification":
            lengths["decoder_sequence"] = size.source  # the label is read at the end of the encoder's input, in the decoder's output
        return lengths

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        size = super().size(batch, sequence, choice)
        if not self._has_encoder:
            return size
        # as OnnxSeq2SeqConfigWithPast has it: the cache holds a part of the source, so that nothing is true of all or of nothing
        source = Size(batch=batch, sequence=sequence, choice=choice, source=sequence + 2)
        return (
            source
            if not self.use_past
            else Size(
                batch=batch, sequence=sequence, choice=choice, source=sequence + 2, past=sequence + 3, cached_source=max(1, sequence // 2)
            )
        )

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        for name, axis, _ in self._cached(direction):
            inputs_or_outputs[name] = {0: "batch", 2: axis}

    def _cached(self, direction: Literal["inputs", "outputs"]) -> Iterable[tuple[str, str, tuple[int, int]]]:
        """Each tensor of the cache: its name, its axis of tokens, its heads and features."""
        name = "past_key_values" if direction == "inputs" else "present"
        new = "" if direction == "inputs" else " + sequence"
        for index, layer in enumerate(self.model_signature.cache):
            if not (layer.encoder_key and layer.encoder_value):
                yield f"{name}.{index}.key", f"past_sequence{new}", layer.key
                yield f"{name}.{index}.value", f"past_sequence{new}", layer.value
                continue
            source = "past_encoder_sequence" if direction == "inputs" else "encoder_sequence"
            yield f"{name}.{index}.decoder.key", f"past_decoder_sequence{new}", layer.key
            yield f"{name}.{index}.decoder.value", f"past_decoder_sequence{new}", layer.value
            yield f"{name}.{index}.encoder.key", source, layer.encoder_key
            yield f"{name}.{index}.encoder.value", source, layer.encoder_value

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        if name.startswith("past_key_values."):
            return next({1: heads, 3: features} for label, _, (heads, features) in self._cached("inputs") if label == name)
        return self.model_signature.inputs[name].fixed

    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        return values_alone(model)

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:
        return known.draw(name, shape, rng, self._config)

    def settle(self, inputs: MutableMapping[str, Array]) -> None:
        """No token means anything but text, unless it is padding; an encoder's text ends in the end-of-sequence token."""
        special = {token for token in _special_tokens(self._config) if token != self.pad_token_id}
        for name in ("input_ids", "decoder_input_ids"):
            if name in inputs and special:
                plain = next((token for token in range(len(special) + 2) if token not in special and token != self.pad_token_id), 0)
                tokens = inputs[name]
                tokens[_among(tokens, special)] = plain
        end = self._setting("eos_token_id")
        if "input_ids" in inputs and "attention_mask" in inputs and isinstance(end, int) and not self.use_past:
            tokens, mask = inputs["input_ids"], inputs["attention_mask"]
            if tokens.shape == mask.shape and 0 <= end < self.vocab_sizes.get("input_ids", 0):
                for row, kept in zip(tokens.reshape(-1, tokens.shape[-1]), mask.reshape(-1, mask.shape[-1]), strict=True):
                    row[kept.nonzero()[0][-1:]] = end


def _special_tokens(config: Any) -> set[int]:
    """The tokens that a configuration, or a part of it, names: the end of a text, an image's place."""
    tokens: set[int] = set()
    for name, value in vars(config).items():
        if name.endswith(("_token_id", "_token_index")):
            tokens |= {token for token in (value if isinstance(value, list | tuple) else [value]) if isinstance(token, int)}
        elif hasattr(value, "to_dict") and hasattr(value, "model_type"):
            tokens |= _special_tokens(value)
    return tokens


def _among(tokens: Array, special: set[int]) -> Array:
    import numpy as np

    return np.isin(tokens, list(special))
