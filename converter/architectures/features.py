"""What a model can be exported for: the documented features, the Hub's names for the same, and the outputs of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Axes = Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A head of a model.

    `auto_class` is the class of transformers that loads it, `outputs` its outputs in order with their named axes.
    Where it `decides`, each output's largest value along its last axis is a decision: a class, a token, a span's end.
    """

    name: str
    auto_class: str
    outputs: Mapping[str, Axes]
    decides: bool
    synonyms: tuple[str, ...] = ()


_BATCH: Axes = {0: "batch"}
_TOKENS: Axes = {0: "batch", 1: "sequence"}

FEATURES: Mapping[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature(
            name="default",
            auto_class="AutoModel",
            outputs={"last_hidden_state": _TOKENS},
            decides=False,
            synonyms=("feature-extraction", "sentence-similarity"),
        ),
        Feature(
            name="masked-lm",
            auto_class="AutoModelForMaskedLM",
            outputs={"logits": _TOKENS},
            decides=True,
            synonyms=("fill-mask",),
        ),
        Feature(
            name="causal-lm",
            auto_class="AutoModelForCausalLM",
            outputs={"logits": _TOKENS},
            decides=True,
            synonyms=("text-generation",),
        ),
        Feature(
            name="sequence-classification",
            auto_class="AutoModelForSequenceClassification",
            outputs={"logits": _BATCH},
            decides=True,
            synonyms=("text-classification", "zero-shot-classification"),
        ),
        Feature(
            name="multiple-choice",
            auto_class="AutoModelForMultipleChoice",
            outputs={"logits": {0: "batch", 1: "choice"}},
            decides=True,
        ),
        Feature(
            name="token-classification",
            auto_class="AutoModelForTokenClassification",
            outputs={"logits": _TOKENS},
            decides=True,
        ),
        Feature(
            name="question-answering",
            auto_class="AutoModelForQuestionAnswering",
            outputs={"start_logits": _TOKENS, "end_logits": _TOKENS},
            decides=True,
        ),
    )
}

_SYNONYMS = {synonym: feature.name for feature in FEATURES.values() for synonym in feature.synonyms}


def canonical(name: str) -> str:
    """The documented name of a feature that may be given by the Hub's name for the task; unknown names stay as they are."""
    return _SYNONYMS.get(name, name)
