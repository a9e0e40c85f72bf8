"""`Graph`: what a capture gives. It names its weights and holds none of them, so it serves every checkpoint of its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass

import onnx
import torch

from converter.checkpoints.loading import LoadedModel, made_up_error

_WEIGHTS = "weights"


@dataclass(frozen=True)
class Graph:
    """A model whose `weights`, by the module's names for them, are inputs of its nodes and given by nothing."""

    model: onnx.ModelProto
    weights: tuple[str, ...]

    def bind(self, model: LoadedModel) -> dict[str, torch.Tensor]:
        """Give each weight its tensor in `model`, uncopied.

        Raises ConversionError where the checkpoint lacks one of them: a head of random numbers is never exported.
        """
        made_up = model.made_up.intersection(self.weights)
        if made_up:
            raise made_up_error(made_up)
        tensors = model.tensors()
        return {name: tensors[name] for name in self.weights}

    def to_bytes(self) -> bytes:
        """The graph as one message, which any tool of ONNX reads."""
        message = onnx.ModelProto()
        message.CopyFrom(self.model)
        message.metadata_props.add(key=_WEIGHTS, value=json.dumps(self.weights))
        return bytes(message.SerializeToString(deterministic=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> Graph:
        """What `to_bytes` gave. Raises ValueError for what it did not give."""
        message = onnx.ModelProto()
        try:
            message.ParseFromString(data)
        except Exception as error:  # protobuf's own DecodeError is a plain Exception
            raise ValueError(str(error)) from error
        found = {entry.key: entry.value for entry in message.metadata_props}
        if _WEIGHTS not in found or not message.graph.node:
            raise ValueError("it is no captured graph")
        message.ClearField("metadata_props")
        try:
            weights = json.loads(found[_WEIGHTS])
        except RecursionError as error:
            raise ValueError("it is no captured graph") from error
        if not isinstance(weights, list) or not all(isinstance(name, str) for name in weights):
            raise ValueError("it is no captured graph")
        return cls(message, tuple(weights))
