"""What of each model type is tried: its main features, on ONNX and TorchScript."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from converter.architectures import find_architecture
from converter.architectures.auto import known_types
from converter.architectures.features import WITH_PAST
from converter.backends import BACKENDS
from converter.core.errors import NotSupportedError
from converter.core.records import Options

GENERATED = ("seq2seq-lm", "automatic-speech-recognition", "causal-lm", "image-to-text")
"""Features that generate token by token; for an encoder-decoder, by its encoder first."""
HEADS = (
    *("masked-lm", "zero-shot-image-classification", "object-detection", "image-classification", "semantic-segmentation"),
    *("automatic-speech-recognition", "audio-classification", "sequence-classification", "question-answering", "default"),
)
"""All other heads, those that say most of a model first."""
_MOST = 2  # heads of a model that generates nothing


@dataclass(frozen=True, order=True)
class Row:
    """One line of the table: a model type, converted for a feature by a backend."""

    model_type: str
    feature: str
    backend: str

    @property
    def with_past(self) -> Row:
        """The row of the same with its cache, if there is one."""
        return replace(self, feature=f"{self.feature}{WITH_PAST}")

    def options(self, **others: Any) -> Options:
        """The options of its conversion, in the documented profile, except `others`."""
        profile = {"profile": "documented"} if self.backend == "onnx" else {}
        return BACKENDS[self.backend].options(feature=self.feature, **profile | others)

    @property
    def place(self) -> float:
        """Its place in a sample: a number from 0 to 1, from its name."""
        return zlib.crc32(repr(self).encode()) / 2**32


@cache
def all_types() -> tuple[str, ...]:
    """The available model types, in alphabetical order."""
    return tuple(sorted(filter(_has_features, known_types())))


def _has_features(model_type: str) -> bool:
    try:
        return bool(find_architecture(model_type).features)
    except NotSupportedError:
        return False


def rows_of(model_types: Iterable[str]) -> Iterator[Row]:
    """The rows of some model types, in their order."""
    for model_type in model_types:
        features = find_architecture(model_type).features
        generated = next((head for head in GENERATED if f"{head}{WITH_PAST}" in features), None)
        is_encoder = "masked-lm" in features and "seq2seq-lm" not in features
        if generated and not is_encoder:
            heads = [f"{generated}{WITH_PAST}", generated]
        else:
            heads = [head for head in HEADS if head in features][:_MOST]
        yield from (Row(model_type, head, "onnx") for head in heads)
        yield Row(model_type, next(head for head in heads if not head.endswith(WITH_PAST)), "torchscript")
