"""Classes of checkpoints that are trained to embed and that no auto class has: halves of two-tower models, and ColBERT.

config.json names the class in `architectures`. Their feature is `default`, and their outputs are the embeddings.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from converter.architectures.config import OnnxConfig
from converter.architectures.features import Axes, Feature

COLBERT = "HF_ColBERT"
COLBERT_WEIGHT = "linear.weight"
"""The projection of a ColBERT checkpoint, (embedding, hidden); only its shape says how wide an embedding is."""
_COLBERT_WIDTH = 128
"""The width of a model without a checkpoint, whose width decides nothing."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A class that config.json may name: the model type it is of, None for any, and its outputs with their named axes.

    The generic configuration finds the axes itself. `is_encoder`: its family has a decoder too, and a file that describes both.
    """

    name: str
    model_type: str | None
    outputs: Mapping[str, Axes]
    is_encoder: bool = False


def _half(name: str, model_type: str, *outputs: str) -> Embedder:
    return Embedder(name=name, model_type=model_type, outputs={output: {0: "batch"} for output in outputs})


def _encoder(name: str, model_type: str) -> Embedder:
    return Embedder(name=name, model_type=model_type, outputs={"last_hidden_state": {0: "batch", 1: "sequence"}}, is_encoder=True)


EMBEDDERS: Mapping[str, Embedder] = {
    embedder.name: embedder
    for embedder in (
        _half("CLIPTextModelWithProjection", "clip_text_model", "text_embeds", "last_hidden_state"),
        _half("CLIPVisionModelWithProjection", "clip_vision_model", "image_embeds", "last_hidden_state"),
        _half("MetaClip2TextModelWithProjection", "metaclip_2_text_model", "text_embeds", "last_hidden_state"),
        _half("MetaClip2VisionModelWithProjection", "metaclip_2_vision_model", "image_embeds", "last_hidden_state"),
        _half("ClapTextModelWithProjection", "clap_text_model", "text_embeds", "last_hidden_state"),
        _half("ClapAudioModelWithProjection", "clap_audio_model", "audio_embeds", "last_hidden_state"),
        _half("Blip2TextModelWithProjection", "blip-2", "text_embeds", "last_hidden_state"),
        _half("Blip2VisionModelWithProjection", "blip-2", "image_embeds", "last_hidden_state"),
        # their projection is a part of the ordinary class
        _half("SiglipTextModel", "siglip_text_model", "pooler_output", "last_hidden_state"),
        _half("Siglip2TextModel", "siglip2_text_model", "pooler_output", "last_hidden_state"),
        _encoder("T5EncoderModel", "t5"),
        _encoder("MT5EncoderModel", "mt5"),
        _encoder("UMT5EncoderModel", "umt5"),
        Embedder(name=COLBERT, model_type=None, outputs={"token_embeddings": {0: "batch", 1: "sequence"}}),
    )
}
"""All of them by class. A test holds it against the classes of transformers that end in WithProjection."""


def find_embedder(model_type: str, classes: Sequence[str]) -> Embedder | None:
    """The embedder that a checkpoint of `model_type` is by the `classes` of its config.json; None for any other checkpoint."""
    embedder = EMBEDDERS.get(classes[0]) if classes else None
    return embedder if embedder and embedder.model_type in (None, model_type) else None


def encoder_class(model_type: str) -> str | None:
    """The class that is the encoder alone of a family that has a decoder too; None for any other family."""
    return next((embedder.name for embedder in EMBEDDERS.values() if embedder.is_encoder and embedder.model_type == model_type), None)


def as_embedder(onnx_config: type[OnnxConfig], embedder: Embedder) -> type[OnnxConfig]:
    """The configuration class that exports an embedder, from the configuration class of its model type."""
    fields = {"embedder": embedder, "__module__": onnx_config.__module__, "__doc__": onnx_config.__doc__}
    return type(onnx_config.__name__, (_AsEmbedder, onnx_config), fields)


class _AsEmbedder(OnnxConfig):
    """Changes any configuration into the one of an embedder."""

    embedder: ClassVar[Embedder]

    @property
    def feature(self) -> Feature:
        return replace(super().feature, auto_classes=(self.embedder.name,), outputs=self.embedder.outputs)


def model_class(name: str, config: Any, width: int = _COLBERT_WIDTH) -> Any:
    """The class that `name` stands for: one of transformers, or ColBERT's for a model with this `config` and embeddings of `width`."""
    import transformers

    return _colbert_class(config, width) if name == COLBERT else getattr(transformers, name)


def make_model(name: str, config: Any, **options: Any) -> Any:
    """A model of the class `name` without a checkpoint's weights; `options` go to from_config."""
    kind = model_class(name, config)
    if name not in EMBEDDERS:
        return kind.from_config(config, **options)
    options.pop("trust_remote_code", None)
    return kind._from_config(config, **options)  # what from_config of an auto class calls


def _colbert_class(config: Any, width: int) -> Any:
    """HF_ColBERT as ColBERT's own code makes it: the base model under its usual prefix, and a linear layer without bias.

    Its code normalises the embeddings and drops padding and punctuation, in Python, after the model.
    """
    import torch
    import transformers

    base: Any = transformers.MODEL_MAPPING[type(config)]
    parent = next(ancestor for ancestor in base.__mro__ if ancestor.__name__.endswith("PreTrainedModel"))

    def init(self: Any, config: Any) -> None:
        parent.__init__(self, config)
        setattr(self, self.base_model_prefix, base(config))
        self.linear = torch.nn.Linear(config.hidden_size, width, bias=False)
        self.post_init()

    def forward(self: Any, *tensors: Any, **arguments: Any) -> Mapping[str, Any]:
        states = getattr(self, self.base_model_prefix)(*tensors, **arguments)[0]
        return {"token_embeddings": self.linear(states), "last_hidden_state": states}

    forward.__signature__ = inspect.signature(base.forward)  # type: ignore[attr-defined]  # the model's inputs are read off it
    return type(COLBERT, (parent,), {"__init__": init, "forward": forward, "__module__": __name__})
