"""`OnnxConfig`: how an architecture is exported.

It is the documented class of `transformers.onnx`. Nothing here imports torch or transformers: a configuration is data
about a model, not the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from converter.architectures.features import FEATURES, WITH_PAST, Axes, Feature, canonical
from converter.architectures.model_config import special_tokens, text_config, window_widths
from converter.architectures.size import Size
from converter.core.errors import NotSupportedError

if TYPE_CHECKING:
    import torch

    from converter.core.typing import Array

DEFAULT_OPSET = 20
"""The default opset of torch 2.13's exporter."""


class OnnxConfig(ABC):
    """How one architecture is exported for one task; subclass it and declare `inputs` to describe another.

    Args:
        config: the checkpoint's configuration as transformers loads it (any object with its attributes will do).
        task: a feature's name without its cache, such as `sequence-classification`.
        patching_specs: None, for the documented signature's sake; see `patch`.
    """

    default_fixed_batch: ClassVar[int] = 2
    default_fixed_sequence: ClassVar[int] = 8
    default_fixed_num_choices: ClassVar[int] = 4

    attn_implementation: ClassVar[str] = "eager"
    """The attention that is captured: MiniLM has 417 nodes with it, and 517 with a decomposed sdpa."""

    use_past: bool = False

    def __init__(self, config: Any, task: str = "default", patching_specs: None = None) -> None:
        if patching_specs:
            raise NotSupportedError("patching_specs are not taken", f"override {type(self).__name__}.patch")
        self._config = config
        name = canonical(task)
        if name not in FEATURES:
            raise NotSupportedError(f"unknown task {task!r}", f"there are: {', '.join(FEATURES)}")
        self.task = FEATURES[name].task

    @classmethod
    def from_model_config(cls, config: Any, task: str = "default") -> Self:
        """The configuration of a model for a task, without its cache."""
        return cls(config, task=task)

    # --- the documented properties ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def inputs(self) -> Mapping[str, Axes]:
        """The inputs in order, each with its dynamic axes: `{"input_ids": {0: "batch", 1: "sequence"}}`."""

    @property
    def outputs(self) -> Mapping[str, Axes]:
        """The outputs in order, each with its dynamic axes; the caller's own, to add to."""
        return OrderedDict((name, dict(axes)) for name, axes in self.feature.outputs.items())

    @property
    def values_override(self) -> Mapping[str, Any] | None:
        """Settings of the model's config during export and validation."""
        return {"use_cache": False} if hasattr(self._config, "use_cache") else None

    @property
    def default_onnx_opset(self) -> int:
        return DEFAULT_OPSET

    @property
    def atol_for_validation(self) -> float:
        """Absolute tolerance for float32; the documented contract states 1e-5 for most rows."""
        return 1e-5

    def generate_dummy_inputs(
        self,
        preprocessor: Any = None,  # noqa: ARG002 - for subclasses
        batch_size: int = -1,
        seq_length: int = -1,
        num_choices: int = -1,
        is_pair: bool = False,  # noqa: ARG002 - the documented signature has it
        framework: Any = None,
    ) -> Mapping[str, Any]:
        """Inputs to capture the model with, and to measure it with; override it for inputs that only you know how to make.

        Args:
            preprocessor: the checkpoint's tokenizer, or None; for subclasses that use it.
            batch_size, seq_length, num_choices: -1 is the documented 2, 8 and 4.
            is_pair: taken for the documented signature's sake.
            framework: "pt" for torch tensors; numpy arrays otherwise.

        Returns: int64 indices and masks by name, without a cache.
        """
        size = replace(self._documented_size(batch_size, seq_length, num_choices), past=0, cached_source=0)
        return {name: value for name, value in self._dummies(size, framework).items() if name != "past_key_values"}

    def _documented_size(self, batch_size: int, seq_length: int, num_choices: int) -> Size:
        return self.size(
            self.default_fixed_batch if batch_size == -1 else batch_size,
            self.default_fixed_sequence if seq_length == -1 else seq_length,
            self.default_fixed_num_choices if num_choices == -1 else num_choices,
        )

    def _dummies(self, size: Size, framework: Any) -> dict[str, Any]:
        import numpy as np

        from converter.architectures.documented_inputs import nested
        from converter.architectures.dummies import draw

        return nested(draw(self, size, np.random.default_rng(0)), str(getattr(framework, "value", framework)))

    # --- beyond the documented class --------------------------------------------------------------------------------------

    @property
    def feature(self) -> Feature:
        """The task, with or without its cache."""
        return FEATURES[f"{self.task}{WITH_PAST}" if self.use_past else self.task]

    @property
    def positions(self) -> int | None:
        """The number of positions; None without a limit, as in T5, whose positions are relative."""
        rows: int | None = getattr(self._config, "max_position_embeddings", None)
        return rows or None

    @property
    def max_sequence_length(self) -> int:
        """The longest tried sequence in tokens: the number of positions, or 512 without a limit."""
        return self.positions or 512

    @property
    def windows(self) -> tuple[int, ...]:
        """The widths in tokens of the sliding windows that attention is limited to, by the checkpoint's settings."""
        return window_widths(self._config)

    @property
    def special_tokens(self) -> frozenset[int]:
        """The tokens that the configuration names, without the padding token: each occurs in a case."""
        return special_tokens(self._config) - {self.pad_token_id}

    @property
    def begin(self) -> int | None:
        """The token that texts begin with, if it is one of the special tokens that are tried."""
        token = getattr(text_config(self._config), "bos_token_id", None)
        return token if token in self.special_tokens and token < self.vocab_sizes.get("input_ids", 0) else None

    @property
    def decoder_start(self) -> int | None:
        """The first token of a decoder's text in use; None without such a setting."""
        token = getattr(self._config, "decoder_start_token_id", None)
        return token if isinstance(token, int) and 0 <= token < self.vocab_sizes.get("decoder_input_ids", 0) else None

    @property
    def measured(self) -> frozenset[str]:
        """The inputs that are measured quantities of any size, such as pixels: they are tried larger, smaller and as zeros too."""
        return frozenset()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """The height and width in pixels after the checkpoint's processor; None if unknown."""
        return None

    @property
    def sound_length(self) -> int | None:
        """The `sequence` of a `Size` whose sound is 30 seconds long; None for a model that takes no sound of any length."""
        return None

    @property
    def pad_token_id(self) -> int | None:
        """The token at masked positions; None if there is none, or if the model has no embedding for it."""
        token = getattr(self._config, "pad_token_id", None)
        return int(token) if token is not None and 0 <= token < self.vocab_sizes.get("input_ids", 0) else None

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        """For each input that holds indices, how many values it can take."""
        sizes = {"input_ids": "vocab_size", "token_type_ids": "type_vocab_size"}
        return {name: getattr(self._config, size) for name, size in sizes.items() if getattr(self._config, size, None)}

    @property
    def encoded_length(self) -> int | None:
        """The number of positions from an encoder for an input of one length, such as an image; None if it depends on the tokens."""
        return None

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        """The size of the inputs for this many new tokens; all lengths differ, so that no two are confused."""
        return Size(batch=batch, sequence=sequence, choice=choice)

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        """How long each named axis is. Another name is the batch's at axis 0 and the sequence's elsewhere: `{0: "texts", 1: "tokens"}`."""
        return {
            "batch": size.batch,
            "choice": size.choice,
            "sequence": size.sequence,
            "decoder_sequence": size.sequence,
            "encoder_sequence": size.source,
            "past_sequence": size.past,
            "past_sequence + sequence": size.past + size.sequence,
            "past_decoder_sequence": size.past,
            "past_decoder_sequence + sequence": size.past + size.sequence,
            "past_encoder_sequence": size.cached_source,
            "past_encoder_sequence + sequence": size.source,
        }

    def fixed_dims(self, name: str) -> Mapping[int, int]:  # noqa: ARG002 - for subclasses
        """The lengths of an input's axes that are not dynamic."""
        return {}

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:
        """Values for an input that is neither a mask, nor indices with a range in `vocab_sizes`, nor the cache.

        Raises NotSupportedError: override this, or `generate_dummy_inputs`.
        """
        del shape, rng
        raise NotSupportedError(
            f"the possible values of the input {name!r} are unknown",
            f"give {type(self).__name__} its range in vocab_sizes, or generate_dummy_inputs",
        )

    def settle(self, inputs: MutableMapping[str, Array]) -> None:  # noqa: B027 - most have nothing to do
        """Make drawn inputs fit one another; the default does nothing, because padding is done before."""

    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:  # noqa: ARG002 - for subclasses
        """Changes the model into a form that can be captured and does the same, and back again at the end."""
        return nullcontext()


class TextOnnxConfig(OnnxConfig):
    """Token indices and their mask; `(batch, choice, sequence)` for multiple choice, `(batch, sequence)` for all else."""

    @property
    def inputs(self) -> Mapping[str, Axes]:
        axes: Axes = {0: "batch", 1: "sequence"}
        if self.task == "multiple-choice":
            axes = {0: "batch", 1: "choice", 2: "sequence"}
        return {"input_ids": axes, "attention_mask": axes}
