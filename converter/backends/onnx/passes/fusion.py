"""Fuse a captured graph for its target: `--optimize`. The weights stay unbound.

For a CPU only the fusions that measured faster there are used (`make bench PARTS=fused`). ONNX Runtime's contrib operators measured
slower: SkipLayerNormalization and BiasGelu than the two operators that each replaces, Attention and MultiHeadAttention than their
products, and one product for query, key and value loses its gain to the split after it.

Relied on in onnxscript: `rewriter.RewritePass`, `rewriter.ort_fusions.fused_matmul_rule_sets` and
`rewriter.rules.common.transpose_transpose_rule`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript import rewriter
from onnxscript.rewriter.ort_fusions.fused_matmul_rule_sets import fused_matmul_rule_sets
from onnxscript.rewriter.rules.common import transpose_transpose_rule

from converter.backends.onnx.intermediates import Intermediates
from converter.backends.onnx.options import Optimize
from converter.backends.onnx.passes.flatten_attention import FlattenAttentionPass
from converter.backends.onnx.passes.flatten_tokens import FlattenTokensPass
from converter.backends.onnx.passes.manager import PassManager
from converter.backends.onnx.passes.onnxruntime_fusions import OnnxRuntimeFusionsPass
from converter.backends.onnx.passes.pack_weights import PackWeightsPass, untied_names
from converter.backends.onnx.passes.shapes_from_inputs import ShapesFromInputsPass
from converter.backends.onnx.passes.simplify import ClearMetadataPass

NOTHING = "nothing was fused, as no fusion applies to this graph"

_CONTRIB = "com.microsoft"


def fuse(model: ir.Model, optimize: Optimize, weights: Mapping[str, torch.Tensor], intermediates: Intermediates | None = None) -> str:
    """Fuse a captured graph in place.

    Args:
        model: the graph; its weights have the names of `weights` and no value.
        optimize: the target, `none`, `cpu` or `cuda`.
        weights: the module's tensors by name.
        intermediates: receives the graph after each pass.

    Returns:
        A note for the user: the fusions and how many of each; empty for `none`.

    Raises:
        ConversionError: a pass failed.
    """
    if optimize == "none":
        return ""
    flatten_tokens = FlattenTokensPass()
    cleanup = [common.CommonSubexpressionEliminationPass(), common.RemoveUnusedNodesPass()]
    passes: Mapping[Optimize, list[ir.passes.PassBase]] = {
        "cpu": [
            *(ShapesFromInputsPass(), *cleanup),
            *(flatten_tokens, common.RemoveUnusedNodesPass()),
            *_rewrites([transpose_transpose_rule]),
            *_rewrites(fused_matmul_rule_sets()),
        ],
        "cuda": [OnnxRuntimeFusionsPass(weights), FlattenAttentionPass(), PackWeightsPass(untied_names(weights))],
    }
    PassManager([*passes[optimize], *cleanup, ClearMetadataPass()], intermediates)(model)
    counts = {"linear layers of the same rows": flatten_tokens.linear_layers, **_contrib_operators(model)}
    clauses = [f"{count} {name}" for name, count in counts.items() if count]
    return f"fused for {optimize}: {', '.join(clauses)}" if clauses else NOTHING


def _rewrites(rules: list[rewriter.RewriteRule] | rewriter.pattern.RewriteRuleSet) -> list[ir.passes.PassBase]:
    """The passes of `rewriter.rewrite`, as passes of our manager."""
    clean = (common.RemoveUnusedNodesPass(), common.RemoveUnusedFunctionsPass(), common.RemoveUnusedOpsetsPass())  # type: ignore[no-untyped-call]
    return [rewriter.RewritePass(rules), *clean]


def _contrib_operators(model: ir.Model) -> Mapping[str, int]:
    """The number of ONNX Runtime's contrib operators, by type."""
    return Counter(node.op_type for node in model.graph.all_nodes() if node.domain == _CONTRIB)
