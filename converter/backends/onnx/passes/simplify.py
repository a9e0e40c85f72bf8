"""Simplify a captured graph, and leave the weights as the checkpoint has them, so that they can be bound by name.

Relied on in onnxscript: `optimizer.fold_constants`.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer


class FoldConstantsPass(ir.passes.InPlacePass):
    """Compute every node whose inputs are constants, except nodes that read a weight.

    Args:
        weights: the names of the weights in the graph.
    """

    def __init__(self, weights: Collection[str]) -> None:
        self.weights = weights

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold the constants of `model`."""
        result = optimizer.fold_constants(model, should_fold=lambda node: False if self._reads_weight(node) else None)
        return ir.passes.PassResult(model, bool(result.modified))

    def _reads_weight(self, node: ir.Node) -> bool:
        return any(value is not None and value.name in self.weights for value in node.inputs)


class ClearMetadataPass(ir.passes.InPlacePass):
    """Remove the exporter's notes from the model, its graph and its nodes: they hold paths of the machine that captured it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Clear all metadata of `model`."""
        result = common.ClearMetadataAndDocStringPass()(model)
        modified = result.modified or bool(model.metadata_props or model.graph.metadata_props)
        model.metadata_props.clear()
        model.graph.metadata_props.clear()
        return ir.passes.PassResult(model, modified)


def simplify_passes(weights: Collection[str]) -> list[ir.passes.PassBase]:
    """The passes that every captured graph goes through.

    Args:
        weights: the names of the weights in the graph.
    """
    return [
        common.InlinePass(),
        common.CommonSubexpressionEliminationPass(),
        FoldConstantsPass(weights),
        common.RemoveUnusedNodesPass(),
        ClearMetadataPass(),
    ]
