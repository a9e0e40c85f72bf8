"""`OnnxConfig`, which says how an architecture is exported, and `Architecture`, the one declaration in a family's file.

Nothing here imports torch or transformers: a configuration is data about a model, not the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from converter.architectures.features import FEATURES, Axes, Feature, canonical
from converter.errors import NotSupportedError


class OnnxConfig(ABC):
    """How one architecture is exported for one task; subclass it and declare `inputs` to describe another.

    Args:
        config: the checkpoint's configuration as transformers loads it (any object with its attributes will do).
        task: a feature's name, such as `sequence-classification`.
    """

    attn_implementation: ClassVar[str] = "eager"
    """The attention that is captured: MiniLM has 417 nodes with it, and 517 with a decomposed sdpa."""

    def __init__(self, config: Any, task: str = "default") -> None:
        self._config = config
        self.feature: Feature = FEATURES[canonical(task)]

    @property
    def task(self) -> str:
        return self.feature.name

    @property
    @abstractmethod
    def inputs(self) -> Mapping[str, Axes]:
        """The inputs in order, each with its dynamic axes: `{"input_ids": {0: "batch", 1: "sequence"}}`."""

    @property
    def outputs(self) -> Mapping[str, Axes]:
        """The outputs in order, each with its dynamic axes."""
        return self.feature.outputs

    @property
    def atol_for_validation(self) -> float:
        """Absolute tolerance for float32; 1e-5 is what the documented contract states for most rows."""
        return 1e-5

    @property
    def max_sequence_length(self) -> int:
        """The longest sequence in tokens that the checkpoint has positions for."""
        return int(self._config.max_position_embeddings)

    @property
    def pad_token_id(self) -> int | None:
        """The token that stands at masked positions."""
        token = getattr(self._config, "pad_token_id", None)
        return None if token is None else int(token)

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        """For each input that holds indices, how many values it can take."""
        return {"input_ids": self._config.vocab_size, "token_type_ids": getattr(self._config, "type_vocab_size", 1)}


class TextOnnxConfig(OnnxConfig):
    """Token indices and their mask; `(batch, choice, sequence)` for multiple choice, `(batch, sequence)` for all else."""

    @property
    def inputs(self) -> Mapping[str, Axes]:
        axes: Axes = {0: "batch", 1: "sequence"}
        if self.task == "multiple-choice":
            axes = {0: "batch", 1: "choice", 2: "sequence"}
        return {"input_ids": axes, "attention_mask": axes}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A family of models: its name, transformers' name of its type, its features, and the configuration that exports it."""

    name: str
    model_type: str
    features: tuple[str, ...]
    onnx_config: type[OnnxConfig]

    def check_feature(self, feature: str) -> str:
        """Give the documented name of `feature`, or raise NotSupportedError that says which there are."""
        name = canonical(feature)
        if name not in self.features:
            raise NotSupportedError(
                f"{self.name} (model type {self.model_type}) has no feature {feature!r}",
                f"choose one of: {', '.join(self.features)}",
            )
        return name
