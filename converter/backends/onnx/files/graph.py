"""`Graph`: the result of a capture. It has names of weights only, so it serves every checkpoint of its configuration.

Each name is a recipe (`packed_weights.py`): of one weight, or, in a fused graph, of several.
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
    """A model whose nodes read `weights`, by the module's names, that nothing provides.

    `fused` is a note on its fusions, empty if none was requested.
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
        """Give each weight its tensor in `model`: not copied if unchanged, otherwise computed at each access.

        Raises ConversionError if the checkpoint lacks one: a head of random numbers is never exported.
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
        """The graph from `to_bytes`. Raises ValueError for anything else."""
        message = onnx.ModelProto()
        try:
            message.ParseFromString(data)
        except Exception as error:  # protobuf's own DecodeError is a plain Exception
            raise ValueError(str(error)) from error
        metadata = {entry.key: entry.value for entry in message.metadata_props}
        if _WEIGHTS not in metadata or not message.graph.node:
            raise ValueError("it is not a captured graph")
        message.ClearField("metadata_props")
        try:
            weights = json.loads(metadata[_WEIGHTS])
        except RecursionError as error:
            raise ValueError("it is not a captured graph") from error
        if not isinstance(weights, list) or not all(isinstance(name, str) for name in weights):
            raise ValueError("it is not a captured graph")
        for name in weights:
            PackedWeight.named(name)
        fused = metadata.get(_FUSED, "")
        if not _CLAUSE.fullmatch(fused):
            raise ValueError("it is not a captured graph")
        return cls(message, tuple(weights), fused)
