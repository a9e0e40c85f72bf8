"""Settings that clients read beside the ONNX files."""
