"""The features of models: the documented ones, the Hub's names for them, and their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

Axes = Mapping[int, str]

WITH_PAST = "-with-past"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A head of a model, with or without its cache.

    `auto_classes` are the classes of transformers that load it, the documented one first; a model type has one of them. `outputs` are its
    outputs in order with their named axes, for a model of text. If it `decides`, the argmax of each output along its last axis is a
    decision: a class, a token, a span's end. `heads` are the endings of its class names in config.json.
    """

    name: str
    auto_classes: tuple[str, ...]
    outputs: Mapping[str, Axes]
    decides: bool
    heads: tuple[str, ...]
    synonyms: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The name without the cache: `causal-lm` of `causal-lm-with-past`."""
        return self.name.removesuffix(WITH_PAST)

    @property
    def generates(self) -> bool:
        """Whether its tokens follow one another, so that it has a cache or could have one."""
        return self.task in CACHED and self.task != "default"

    @property
    def use_past(self) -> bool:
        """Whether the cache goes in as `past_key_values.…` and comes out as `present.…`."""
        return self.name.endswith(WITH_PAST)


_BATCH: Axes = {0: "batch"}
_TOKENS: Axes = {0: "batch", 1: "sequence"}
_IMAGES: Axes = {0: "image_batch"}
_PAIRS: Axes = {0: "image_batch", 1: "batch"}
_TURNED: Axes = {0: "batch", 1: "image_batch"}

TASKS: Mapping[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature(
            name="default",
            auto_classes=("AutoModel",),
            outputs={"last_hidden_state": _TOKENS},
            decides=False,
            heads=("Model",),
            synonyms=("feature-extraction", "sentence-similarity", "image-feature-extraction"),
        ),
        Feature(
            name="masked-lm",
            auto_classes=("AutoModelForMaskedLM",),
            outputs={"logits": _TOKENS},
            decides=True,
            heads=("ForMaskedLM", "ForPreTraining"),
            synonyms=("fill-mask",),
        ),
        Feature(
            name="causal-lm",
            auto_classes=("AutoModelForCausalLM",),
            outputs={"logits": _TOKENS},
            decides=True,
            heads=("ForCausalLM", "LMHeadModel"),
            synonyms=("text-generation",),
        ),
        Feature(
            name="seq2seq-lm",
            auto_classes=("AutoModelForSeq2SeqLM",),
            outputs={"logits": {0: "batch", 1: "decoder_sequence"}},
            decides=True,
            heads=("ForConditionalGeneration", "MTModel"),
            synonyms=("text2text-generation", "translation", "summarization"),
        ),
        Feature(
            name="sequence-classification",
            auto_classes=("AutoModelForSequenceClassification",),
            outputs={"logits": _BATCH},
            decides=True,
            heads=("ForSequenceClassification",),
            synonyms=("text-classification", "zero-shot-classification"),
        ),
        Feature(
            name="multiple-choice",
            auto_classes=("AutoModelForMultipleChoice",),
            outputs={"logits": {0: "batch", 1: "choice"}},
            decides=True,
            heads=("ForMultipleChoice",),
        ),
        Feature(
            name="token-classification",
            auto_classes=("AutoModelForTokenClassification",),
            outputs={"logits": _TOKENS},
            decides=True,
            heads=("ForTokenClassification",),
        ),
        Feature(
            name="question-answering",
            auto_classes=("AutoModelForQuestionAnswering",),
            outputs={"start_logits": _TOKENS, "end_logits": _TOKENS},
            decides=True,
            heads=("ForQuestionAnswering",),
        ),
        Feature(
            name="image-classification",
            auto_classes=("AutoModelForImageClassification",),
            outputs={"logits": _BATCH},
            decides=True,
            heads=("ForImageClassification", "ForImageClassificationWithTeacher"),
        ),
        Feature(
            name="object-detection",
            auto_classes=("AutoModelForObjectDetection",),
            outputs={"logits": _BATCH, "pred_boxes": _BATCH},
            decides=False,
            heads=("ForObjectDetection",),
        ),
        Feature(
            name="semantic-segmentation",
            auto_classes=("AutoModelForSemanticSegmentation",),
            outputs={"logits": _BATCH},
            decides=False,
            heads=("ForSemanticSegmentation",),
            synonyms=("image-segmentation",),
        ),
        Feature(
            name="zero-shot-image-classification",
            auto_classes=("AutoModelForZeroShotImageClassification",),
            outputs={"logits_per_image": _PAIRS, "logits_per_text": _TURNED, "text_embeds": _BATCH, "image_embeds": _IMAGES},
            decides=False,
            heads=(),
        ),
        Feature(
            name="audio-classification",
            auto_classes=("AutoModelForAudioClassification",),
            outputs={"logits": _BATCH},
            decides=True,
            heads=("ForAudioClassification",),
        ),
        Feature(
            name="automatic-speech-recognition",
            auto_classes=("AutoModelForCTC", "AutoModelForSpeechSeq2Seq"),
            outputs={"logits": _BATCH},
            decides=True,
            heads=("ForCTC",),
            synonyms=("speech2seq-lm",),
        ),
        Feature(
            name="image-to-text",
            auto_classes=("AutoModelForImageTextToText",),
            outputs={"logits": _BATCH},
            decides=True,
            heads=("VisionEncoderDecoderModel",),
            synonyms=("vision2seq-lm", "image-text-to-text"),
        ),
    )
}
"""The features without a cache, by name."""

CACHED = ("default", "causal-lm", "seq2seq-lm", "automatic-speech-recognition", "image-to-text")
"""The features that have a cache too."""

FEATURES: Mapping[str, Feature] = {
    **TASKS,
    **{f"{name}{WITH_PAST}": replace(TASKS[name], name=f"{name}{WITH_PAST}", heads=(), synonyms=()) for name in CACHED},
}
"""All features by name, those with a cache (`…-with-past`) last."""

_SYNONYMS = {synonym: feature.name for feature in FEATURES.values() for synonym in feature.synonyms}


def canonical(name: str) -> str:
    """The documented name of a feature, which may be the Hub's name of a task; unknown names stay unchanged."""
    return _SYNONYMS.get(name, name)


def feature_of_class(class_name: str) -> str | None:
    """The feature of a model class: `BertForMaskedLM` is `masked-lm`; None for other classes."""
    endings = {head: feature.name for feature in FEATURES.values() for head in feature.heads}
    longest = max((head for head in endings if class_name.endswith(head)), key=len, default=None)
    return endings[longest] if longest else None
