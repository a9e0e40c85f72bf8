"""ONNX files: graphs, weights, external data, and the cache of captured graphs."""
