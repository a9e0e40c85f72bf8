"""Hugging Face checkpoints in, validated ONNX models out."""

__version__ = "0.1.0"
