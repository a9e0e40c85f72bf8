"""`OnnxConfigWithPast`: an architecture that can be exported with its key-value cache."""

from __future__ import annotations

from abc import ABC
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, Self

from converter.architectures.config import OnnxConfig
from converter.architectures.features import FEATURES, WITH_PAST, Axes, canonical
from converter.architectures.size import Size
from converter.core.errors import NotSupportedError


class OnnxConfigWithPast(OnnxConfig, ABC):
    """An architecture that can be exported with its cache of keys and values: past_key_values in, present out."""

    def __init__(self, config: Any, task: str = "default", patching_specs: None = None, use_past: bool = False) -> None:
        super().__init__(config, task, patching_specs)
        self.use_past = use_past or FEATURES[canonical(task)].use_past
        if f"{self.task}{WITH_PAST}" not in FEATURES and self.use_past:
            raise NotSupportedError(f"the task {self.task!r} has no cache", "leave use_past out")

    @classmethod
    def with_past(cls, config: Any, task: str = "default") -> Self:
        """The configuration of a model for a task, with its cache."""
        return cls(config, task=task, use_past=True)

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
        """The number of layers; for an encoder-decoder the encoder's and the decoder's."""
        return int(self._config.num_hidden_layers)

    @property
    def num_attention_heads(self) -> int | tuple[int, int]:
        """The number of heads of a layer's keys and values; for an encoder-decoder the encoder's and the decoder's."""
        return int(self._config.num_attention_heads)

    @property
    def head_dim(self) -> int:
        """The last dimension of keys and values."""
        return int(getattr(self._config, "head_dim", None) or self._config.hidden_size // decoder_part(self.num_attention_heads))

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        """Add the cache's tensors, in order: (batch, heads, past tokens, head size) each.

        The documented classes called the inputs' axis "past_sequence + sequence" too, which is another length.
        """
        name, axis = ("past_key_values", "past_sequence") if direction == "inputs" else ("present", "past_sequence + sequence")
        for layer in range(decoder_part(self.num_layers)):
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
            return {1: decoder_part(self.num_attention_heads), 3: self.head_dim}
        return super().fixed_dims(name)


def decoder_part(count: int | tuple[int, int]) -> int:
    """Return the count of the decoder, whose layers have the cache."""
    return count[1] if isinstance(count, tuple) else count
