"""Hugging Face checkpoints in, validated ONNX, TorchScript and AWS Neuron artifacts out."""

__version__ = "0.1.0"
