"""The documented names of `transformers.onnx`, and nothing else."""

from converter.architectures.config import OnnxConfig

__all__ = ["OnnxConfig"]
