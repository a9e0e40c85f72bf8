"""ONNX files and what is stored in them: graphs, weights, their external data, and the cache of captured graphs."""
