"""Fused graphs: `--optimize`. The weights stay unbound; what is made of several is named by its recipe.

For a CPU the fusions are those that were measured to be faster there (`make bench PARTS=fused`). ONNX Runtime's contrib operators are
not: SkipLayerNormalization and BiasGelu take longer than the two that each replaces, Attention and MultiHeadAttention longer than the
products that they are made of, and one product for query, key and value what it takes to part them again. For CUDA it is transformers'
choice, by onnxscript's rules, of operators that ONNX Runtime has kernels of its own for.

Relied on in transformers.exporters, which calls itself experimental: `onnxruntime_fusions.fuse_for_onnxruntime`. In onnxscript:
`rewriter.ort_fusions.fused_matmul_rule_sets` and `rewriter.rules.common.transpose_transpose_rule`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import rewriter
from onnxscript.rewriter.ort_fusions.fused_matmul_rule_sets import fused_matmul_rule_sets
from onnxscript.rewriter.rules.common import transpose_transpose_rule

from converter.backends.onnx.files.packed_weights import PackedWeight
from converter.backends.onnx.options import Optimize
from converter.backends.onnx.passes.flatten_tokens import flatten_tokens
from converter.backends.onnx.passes.symbolic_shapes import Lengths, shapes_from_inputs

NOTHING = "nothing was fused, as no fusion applies to this graph"

_CONTRIB = "com.microsoft"
_ATTENTIONS = frozenset({"Attention", "GroupQueryAttention", "MultiHeadAttention"})


def fuse(model: ir.Model, optimize: Optimize, weights: Mapping[str, torch.Tensor]) -> str:
    """Fuse a graph whose weights bear the names of `weights` and have no value; what was fused, in a clause."""
    if optimize == "none":
        return ""
    clauses = fuse_for_cpu(model) if optimize == "cpu" else fuse_for_cuda(model, _once(weights), weights)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    return f"fused for {optimize}: {', '.join(clauses)}" if clauses else NOTHING


def _once(weights: Mapping[str, torch.Tensor]) -> frozenset[str]:
    """The names of those that share their memory with no other: a recipe has no part in tied ones, as they would be stored twice."""
    sharing = Counter(tensor.data_ptr() for tensor in weights.values())
    return frozenset(name for name, tensor in weights.items() if sharing[tensor.data_ptr()] == 1)


def fuse_for_cpu(model: ir.Model) -> list[str]:
    """Fuse what ONNX Runtime's kernels for a CPU are faster with; what was fused."""
    shapes_from_inputs(model)
    linear = flatten_tokens(model)
    rewriter.rewrite(model, [transpose_transpose_rule])
    rewriter.rewrite(model, fused_matmul_rule_sets())
    counts = {"linear layers of the same rows": linear, **_contrib(model)}
    return [f"{count} {what}" for what, count in counts.items() if count]


def fuse_for_cuda(model: ir.Model, free: Collection[str], weights: Collection[str]) -> list[str]:
    """Fuse what ONNX Runtime has kernels of its own for on a GPU; what was fused. All of it has kernels for a CPU too."""
    from transformers.exporters.onnxruntime_fusions import fuse_for_onnxruntime  # its import is for those who ask for it

    graph = model.graph
    named = dict.fromkeys(value for node in graph.all_nodes() for value in node.inputs if value is not None and value.name in weights)
    graph.inputs.extend(named)  # a value that nothing gives has no place in the shape inference that the fusions ask for
    fuse_for_onnxruntime(model, "cuda")
    del graph.inputs[len(graph.inputs) - len(named) :]
    _make_matrices(graph)
    _cut_packed_weights(graph, free)
    return [f"{count} {what}" for what, count in _contrib(model).items()]


def _contrib(model: ir.Model) -> Mapping[str, int]:
    """How many there are of each operator of ONNX Runtime's own."""
    return Counter(node.op_type for node in model.graph.all_nodes() if node.domain == _CONTRIB)


def _make_matrices(graph: ir.Graph) -> None:
    """Give each Gemm behind an attention a matrix: onnxscript takes what made one for a part of the attention, which gives three axes."""
    lengths = Lengths(graph)
    for node in list(graph):
        rows = node.inputs[0] if node.op_type == "Gemm" else None
        producer = rows.producer() if rows is not None else None
        weight = node.inputs[1] if rows is not None else None
        if producer is None or producer.op_type not in _ATTENTIONS or weight is None or weight.shape is None:
            continue
        width = weight.shape[1 if node.attributes.get_int("transB", 0) else 0]
        assert isinstance(width, int)
        made = ir.node("Reshape", [rows, lengths.value((-1, width))])
        graph.insert_before(node, made)
        node.replace_input_with(0, made.outputs[0])


def _cut_packed_weights(graph: ir.Graph, free: Collection[str]) -> None:
    """Put a weight of its own in the place of what is computed of weights alone."""
    for node in reversed(list(graph)):
        packed_weight = _packed_weight(node, free)
        if packed_weight is not None:
            made = ir.Value(name=packed_weight.name, shape=node.outputs[0].shape, type=node.outputs[0].type)
            ir.convenience.replace_all_uses_with(node.outputs[0], made)


def _packed_weight(node: ir.Node, free: Collection[str]) -> PackedWeight | None:
    """What a node makes of weights that nothing else takes."""
    if node.op_type not in ("Transpose", "Concat"):
        return None  # before its inputs are looked at: behind a Split of each layer there are three ways up through every one before
    parts = [_part(value, free) for value in node.inputs]
    if node.op_type == "Transpose" and list(node.attributes.get_ints("perm", [1, 0])) == [1, 0]:
        part = parts[0]
        return PackedWeight(part.of, transposed=not part.transposed) if part is not None else None
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    transposed = {part.transposed for part in known}
    if transposed != {bool(node.attributes.get_int("axis"))}:
        return None
    return PackedWeight(tuple(name for part in known for name in part.of), transposed.pop())


def _part(value: ir.Value | None, free: Collection[str]) -> PackedWeight | None:
    if value is None or len(value.uses()) != 1:
        return None
    producer = value.producer()
    if producer is not None:
        return _packed_weight(producer, free)
    return PackedWeight((value.name,)) if value.name in free and value.name else None
