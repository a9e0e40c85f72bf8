"""`transformers.onnx.config`."""

from converter.architectures import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast

__all__ = ["OnnxConfig", "OnnxConfigWithPast", "OnnxSeq2SeqConfigWithPast"]
