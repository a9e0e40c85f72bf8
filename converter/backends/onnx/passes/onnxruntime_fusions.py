"""Fuse for ONNX Runtime's CUDA kernels by transformers' choice of onnxscript's rules.

Relied on in transformers.exporters, which calls itself experimental: `onnxruntime_fusions.fuse_for_onnxruntime`.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir


class OnnxRuntimeFusionsPass(ir.passes.InPlacePass):
    """Replace attention, norms and activations by ONNX Runtime's contrib operators. All of these have CPU kernels too.

    Args:
        weights: the names of the weights, which have no value in the graph.
    """

    def __init__(self, weights: Collection[str]) -> None:
        self.weights = weights

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fuse `model`."""
        from transformers.exporters.onnxruntime_fusions import fuse_for_onnxruntime  # slow to import, and used for CUDA only

        graph = model.graph
        read = (value for node in graph.all_nodes() for value in node.inputs)
        unbound = dict.fromkeys(value for value in read if value is not None and value.name in self.weights)
        graph.inputs.extend(unbound)  # the fusions infer shapes, which fails for a value without a source
        fuse_for_onnxruntime(model, "cuda")
        del graph.inputs[len(graph.inputs) - len(unbound) :]
        return ir.passes.PassResult(model, modified=True)
