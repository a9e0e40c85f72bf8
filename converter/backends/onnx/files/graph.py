"""`Graph`: what a capture gives. It names its weights and holds none of them, so it serves every checkpoint of its configuration.

Each name is a recipe (`recipes.py`): of one weight, or, in a fused graph, of several.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import onnx

from converter.backends.onnx.files.packed_weights import PackedWeight, Weights
from converter.checkpoints.loading import LoadedModel, made_up_error

_WEIGHTS, _FUSED = "weights", "fused"
_CLAUSE = re.compile(r"(fused for [a-z]+: [\w, ]{1,1000}|nothing was fused, [a-z ]{1,100})?", re.ASCII)
"""What `fused` may be: it is shown to users, and a kept graph may be from anywhere."""


@dataclass(frozen=True)
class Graph:
    """A model whose `weights`, by the module's names for them, are inputs of its nodes and given by nothing.

    `fused` says in a clause what was fused in it; empty where nothing was asked for.
    """

    model: onnx.ModelProto
    weights: tuple[str, ...]
    fused: str = ""

    @property
    def sources(self) -> frozenset[str]:
        """The module's names of all that its weights are made of."""
        return frozenset(source for name in self.weights for source in PackedWeight.named(name).of)

    def fits(self, model: LoadedModel) -> bool:
        """Whether `model` has all that its weights are made of, in shapes that go together."""
        tensors = {name: tensor.to("meta") for name, tensor in model.tensors().items() if name in self.sources}
        try:
            return tensors.keys() >= self.sources and all(PackedWeight.named(name).made(tensors) is not None for name in self.weights)
        except RuntimeError:  # torch's, of shapes
            return False

    def bind(self, model: LoadedModel) -> Weights:
        """Give each weight its tensor in `model`, uncopied where it is one as it is, and made at each call where it is not.

        Raises ConversionError where the checkpoint lacks one of them: a head of random numbers is never exported.
        """
        made_up = model.made_up.intersection(self.sources)
        if made_up:
            raise made_up_error(made_up, model.has_head)
        return Weights(model.tensors(), self.weights)

    def to_bytes(self) -> bytes:
        """The graph as one message, which any tool of ONNX reads."""
        message = onnx.ModelProto()
        message.CopyFrom(self.model)
        message.metadata_props.add(key=_WEIGHTS, value=json.dumps(self.weights))
        if self.fused:
            message.metadata_props.add(key=_FUSED, value=self.fused)
        return bytes(message.SerializeToString(deterministic=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> Graph:
        """What `to_bytes` gave. Raises ValueError for what it did not give."""
        message = onnx.ModelProto()
        try:
            message.ParseFromString(data)
        except Exception as error:  # protobuf's own DecodeError is a plain Exception
            raise ValueError(str(error)) from error
        metadata = {entry.key: entry.value for entry in message.metadata_props}
        if _WEIGHTS not in metadata or not message.graph.node:
            raise ValueError("it is no captured graph")
        message.ClearField("metadata_props")
        try:
            weights = json.loads(metadata[_WEIGHTS])
        except RecursionError as error:
            raise ValueError("it is no captured graph") from error
        if not isinstance(weights, list) or not all(isinstance(name, str) for name in weights):
            raise ValueError("it is no captured graph")
        for name in weights:
            PackedWeight.named(name)
        fused = metadata.get(_FUSED, "")
        if not _CLAUSE.fullmatch(fused):
            raise ValueError("it is no captured graph")
        return cls(message, tuple(weights), fused)
