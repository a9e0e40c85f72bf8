"""`OnnxConfig` and its two kin, which say how an architecture is exported.

These are the documented classes of `transformers.onnx`. Nothing here imports torch or transformers: a configuration is data
about a model, not the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from converter.architectures.features import FEATURES, WITH_PAST, Axes, Feature, canonical
from converter.architectures.size import Size
from converter.core.errors import NotSupportedError

if TYPE_CHECKING:
    import torch

    from converter.core.typing import Array

DEFAULT_OPSET = 20
"""The operator set that torch 2.13's exporter writes where none is asked for."""

_WINDOWS = ("sliding_window", "attention_window", "window_size", "local_attention", "attention_chunk_size", "sliding_window_size")
"""What configurations of transformers call the width of a sliding window."""

_Config = TypeVar("_Config", bound="OnnxConfig")


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
            raise NotSupportedError(f"there is no task {task!r}", f"there are: {', '.join(FEATURES)}")
        self.task = FEATURES[name].task

    @classmethod
    def from_model_config(cls: type[_Config], config: Any, task: str = "default") -> _Config:
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
        """What the model's configuration is set to while it is exported and measured."""
        return {"use_cache": False} if hasattr(self._config, "use_cache") else None

    @property
    def default_onnx_opset(self) -> int:
        return DEFAULT_OPSET

    @property
    def atol_for_validation(self) -> float:
        """Absolute tolerance for float32; 1e-5 is what the documented contract states for most rows."""
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

    # --- what the documented class had no name for ----------------------------------------------------------------------

    @property
    def feature(self) -> Feature:
        """The task, with or without its cache."""
        return FEATURES[f"{self.task}{WITH_PAST}" if self.use_past else self.task]

    @property
    def positions(self) -> int | None:
        """How many tokens the checkpoint has positions for; None where it names no limit, as T5, whose positions are relative."""
        rows: int | None = getattr(self._config, "max_position_embeddings", None)
        return rows or None

    @property
    def max_sequence_length(self) -> int:
        """The longest sequence in tokens that is tried: as many as there are positions, 512 where these have no limit."""
        return self.positions or 512

    @property
    def windows(self) -> tuple[int, ...]:
        """The widths in tokens of the sliding windows that attention is limited to, by the checkpoint's settings."""
        text = text_config(self._config)
        settings = [getattr(text, name, None) for name in _WINDOWS]
        flat = [width for setting in settings for width in (setting if isinstance(setting, list | tuple) else [setting])]
        return tuple(sorted({width for width in flat if isinstance(width, int) and not isinstance(width, bool) and width > 0}))

    @property
    def special_tokens(self) -> frozenset[int]:
        """The tokens that the configuration names, without the padding token: each occurs in a case."""
        names = ("bos_token_id", "eos_token_id", "unk_token_id", "mask_token_id", "sep_token_id", "cls_token_id")
        settings = [getattr(text_config(self._config), name, None) for name in names]
        flat = [token for setting in settings for token in (setting if isinstance(setting, list | tuple) else [setting])]
        return frozenset(token for token in flat if isinstance(token, int) and token >= 0) - {self.pad_token_id}

    @property
    def begin(self) -> int | None:
        """The token that texts begin with, if it is one of the special tokens that are tried."""
        token = getattr(text_config(self._config), "bos_token_id", None)
        return token if token in self.special_tokens and token < self.vocab_sizes.get("input_ids", 0) else None

    @property
    def decoder_start(self) -> int | None:
        """The token that a decoder's text begins with in use; None where no setting says so."""
        token = getattr(self._config, "decoder_start_token_id", None)
        return token if isinstance(token, int) and 0 <= token < self.vocab_sizes.get("decoder_input_ids", 0) else None

    @property
    def measured(self) -> frozenset[str]:
        """The inputs that are measured quantities of any size, such as pixels: they are tried larger, smaller and as zeros too."""
        return frozenset()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """The height and width in pixels of the images that a checkpoint's processor gives; None where nothing says so."""
        return None

    @property
    def sound_length(self) -> int | None:
        """The `sequence` of a `Size` whose sound is 30 seconds long; None for a model that takes no sound of any length."""
        return None

    @property
    def pad_token_id(self) -> int | None:
        """The token that stands at masked positions; None where there is none, or where the model has no embedding for it."""
        token = getattr(self._config, "pad_token_id", None)
        return int(token) if token is not None and 0 <= token < self.vocab_sizes.get("input_ids", 0) else None

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        """For each input that holds indices, how many values it can take."""
        sizes = {"input_ids": "vocab_size", "token_type_ids": "type_vocab_size"}
        return {name: getattr(self._config, size) for name, size in sizes.items() if getattr(self._config, size, None)}

    @property
    def encoded_length(self) -> int | None:
        """How many positions an encoder gives for an input of one length, such as an image; None where it gives one for each token."""
        return None

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        """The size of the inputs for this many new tokens; no two lengths are equal, lest they be taken for one."""
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
            f"nothing says what the input {name!r} may hold",
            f"give {type(self).__name__} its range in vocab_sizes, or generate_dummy_inputs",
        )

    def settle(self, inputs: MutableMapping[str, Array]) -> None:  # noqa: B027 - most have nothing to do
        """Make drawn inputs fit one another; by default there is nothing more to do than the padding that is done already."""

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


class OnnxConfigWithPast(OnnxConfig, ABC):
    """An architecture that can be exported with its cache of keys and values: past_key_values in, present out."""

    def __init__(self, config: Any, task: str = "default", patching_specs: None = None, use_past: bool = False) -> None:
        super().__init__(config, task, patching_specs)
        self.use_past = use_past or FEATURES[canonical(task)].use_past
        if f"{self.task}{WITH_PAST}" not in FEATURES and self.use_past:
            raise NotSupportedError(f"the task {self.task!r} has no cache", "leave use_past out")

    @classmethod
    def with_past(cls: type[_Config], config: Any, task: str = "default") -> _Config:
        """The configuration of a model for a task, with its cache."""
        return cls(config, task=task, use_past=True)  # type: ignore[call-arg]  # a subclass may have a signature of its own

    @property
    def outputs(self) -> Mapping[str, Axes]:
        outputs = OrderedDict(super().outputs)
        if self.use_past:
            self.fill_with_past_key_values_(outputs, direction="outputs")
        return outputs

    @property
    def values_override(self) -> Mapping[str, Any] | None:
        return {"use_cache": self.use_past} if hasattr(self._config, "use_cache") else None

    @property
    def num_layers(self) -> int | tuple[int, int]:
        """How many layers there are; the encoder's and the decoder's where there are two stacks."""
        return int(self._config.num_hidden_layers)

    @property
    def num_attention_heads(self) -> int | tuple[int, int]:
        """How many heads the keys and values of a layer have; the encoder's and the decoder's where there are two stacks."""
        return int(self._config.num_attention_heads)

    @property
    def head_dim(self) -> int:
        """The last dimension of keys and values."""
        return int(getattr(self._config, "head_dim", None) or self._config.hidden_size // _of_decoder(self.num_attention_heads))

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        """Add the cache's tensors, in order: (batch, heads, past tokens, head size) each.

        The documented classes called the inputs' axis "past_sequence + sequence" too, which is another length.
        """
        name, axis = ("past_key_values", "past_sequence") if direction == "inputs" else ("present", "past_sequence + sequence")
        for layer in range(_of_decoder(self.num_layers)):
            for part in ("key", "value"):
                inputs_or_outputs[f"{name}.{layer}.{part}"] = {0: "batch", 2: axis}

    def generate_dummy_inputs(
        self,
        preprocessor: Any = None,
        batch_size: int = -1,
        seq_length: int = -1,
        num_choices: int = -1,
        is_pair: bool = False,
        framework: Any = None,
    ) -> Mapping[str, Any]:
        """The same with the cache, of which `seq_length` new tokens are no part: float32 and under `past_key_values`, a tuple
        (key, value) or (decoder key, decoder value, encoder key, encoder value) for each layer."""
        if not self.use_past:
            return super().generate_dummy_inputs(preprocessor, batch_size, seq_length, num_choices, is_pair, framework)
        return self._dummies(self._documented_size(batch_size, seq_length, num_choices), framework)

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        past = sequence + 2 if self.use_past else 0  # as documented
        return Size(batch=batch, sequence=sequence, choice=choice, past=past)

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        if name.startswith("past_key_values."):
            return {1: _of_decoder(self.num_attention_heads), 3: self.head_dim}
        return super().fixed_dims(name)


class OnnxSeq2SeqConfigWithPast(OnnxConfigWithPast, ABC):
    """An encoder and a decoder, whose cache holds the decoder's own keys and values and those of the encoder's output.

    An exported model with a cache runs the encoder over what the cache does not hold yet: at the first call, where the cache is
    empty, over all of `input_ids`, and later over nothing.
    """

    @property
    def outputs(self) -> Mapping[str, Axes]:
        return {name: axes if name.startswith("present.") else self._of_new_tokens(axes) for name, axes in super().outputs.items()}

    def _of_new_tokens(self, axes: Axes) -> Axes:
        """The axes of an output, which has something for each of the decoder's tokens."""
        named = {axis: "decoder_sequence" if "sequence" in label else label for axis, label in axes.items()}
        return {axis: label for axis, label in named.items() if not (self._one_token and label == "decoder_sequence")}

    @property
    def _one_token(self) -> bool:
        """Whether the decoder takes one token at a time, as the documented classes had it with a cache."""
        return self.use_past and 1 not in self.inputs.get("decoder_input_ids", {1: ""})

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        return super().axis_lengths(replace(size, sequence=1) if self._one_token else size)

    @property
    def num_layers(self) -> tuple[int, int]:
        """How many layers the encoder and the decoder have."""
        encoder = getattr(self._config, "encoder_layers", None) or self._config.num_hidden_layers
        decoder = getattr(self._config, "decoder_layers", None) or getattr(self._config, "num_decoder_layers", None) or encoder
        return encoder, decoder

    @property
    def num_attention_heads(self) -> tuple[int, int]:
        """How many heads the encoder and the decoder have."""
        heads = self._config.num_attention_heads
        return getattr(self._config, "encoder_attention_heads", heads), getattr(self._config, "decoder_attention_heads", heads)

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        sizes = super().vocab_sizes
        return {**sizes, "decoder_input_ids": getattr(self._config, "decoder_vocab_size", None) or self._config.vocab_size}

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        """Add the cache's tensors, in order: (batch, heads, tokens, head size) each, for each layer of the decoder.

        The documented classes called the outputs' encoder axis "past_encoder_sequence" too, which is empty at the first call.
        """
        name, decoder, encoder = "past_key_values", "past_decoder_sequence", "past_encoder_sequence"
        if direction == "outputs":
            name, decoder, encoder = "present", "past_decoder_sequence + sequence", "encoder_sequence"
        for layer in range(_of_decoder(self.num_layers)):
            for stack, axis in (("decoder", decoder), ("encoder", encoder)):
                for part in ("key", "value"):
                    inputs_or_outputs[f"{name}.{layer}.{stack}.{part}"] = {0: "batch", 2: axis}

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        size = Size(batch=batch, sequence=sequence, choice=choice, source=sequence + 2)
        # the cache holds a part of the source, which it never does in use: so nothing is captured that is true of all or of nothing
        return replace(size, past=sequence + 3, cached_source=max(1, sequence // 2)) if self.use_past else size

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        return {1: 1} if name == "decoder_input_ids" and self._one_token else super().fixed_dims(name)


def _of_decoder(count: int | tuple[int, int]) -> int:
    """The stack of layers that has the cache."""
    return count[1] if isinstance(count, tuple) else count


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
