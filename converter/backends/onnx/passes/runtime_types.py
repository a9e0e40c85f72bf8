"""Compute in a wider type every node for which ONNX Runtime has no kernel in its own type: bfloat16 products, choices of bool.

Relied on in onnxruntime: `onnxruntime_pybind11_state.get_all_opkernel_def`, from which its own table of kernels is generated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product

import onnx
import onnx_ir as ir
from onnxruntime.capi import onnxruntime_pybind11_state as native

_PROVIDER = "CPUExecutionProvider"
_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)
_WIDER: Mapping[ir.DataType, Sequence[ir.DataType]] = {
    ir.DataType.BFLOAT16: (ir.DataType.FLOAT,),  # PyTorch computes in float32 too and rounds each result
    ir.DataType.BOOL: (ir.DataType.UINT8, *_INTEGERS),
    ir.DataType.INT8: _INTEGERS,
    ir.DataType.INT16: _INTEGERS,
    ir.DataType.UINT8: _INTEGERS,
    ir.DataType.UINT16: _INTEGERS,
    ir.DataType.UINT32: (ir.DataType.INT64,),
}
"""Types that hold all values of another. float16 is missing, because the runtime widens it itself."""

Types = Mapping[str, ir.DataType]
"""The type of each variable, such as `T`, of an operator's schema."""


class RuntimeTypesPass(ir.passes.InPlacePass):
    """Put casts around nodes whose types the runtime lacks; the results keep their types and values."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the nodes of `model` that the CPU provider cannot run."""
        modified = False
        for node in [*model.graph.all_nodes()]:
            schema = _schema(node, model.opset_imports)
            types = _types(node, schema) if schema else {}
            wider = _runnable(node, schema, types) if schema and types else {}
            if schema and wider != types:
                _widen(node, schema, types, wider)
                modified = True
        return ir.passes.PassResult(model, modified)


def _schema(node: ir.Node, versions: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """The schema of a node of ONNX's own operators; None for others."""
    if node.domain not in ("", "ai.onnx") or node.op_type == "Constant":
        return None
    try:
        return onnx.defs.get_schema(node.op_type, versions[node.domain], "")
    except (onnx.defs.SchemaError, KeyError):
        return None


def _typed(node: ir.Node, schema: onnx.defs.OpSchema) -> Iterator[tuple[ir.Value, str]]:
    """Each value of a node with its type in the schema, a variable or a type."""
    for values, formal in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for place, value in enumerate(values):
            if value is not None and formal:
                yield value, formal[min(place, len(formal) - 1)].type_str  # the last may be variadic


def _types(node: ir.Node, schema: onnx.defs.OpSchema) -> Types:
    """The types of a node's variables, of which one might be widened; empty if none has to be."""
    variables = {constraint.type_param_str for constraint in schema.type_constraints}
    types = {name: value.dtype for value, name in _typed(node, schema) if name in variables and value.dtype is not None}
    return types if _WIDER.keys() & types.values() else {}


def _runnable(node: ir.Node, schema: onnx.defs.OpSchema, types: Types) -> Types:
    """The types closest to `types` for which there is a kernel; `types` itself if there is none."""
    kernels = [
        constraints
        for (first, last), constraints in _kernels().get(node.op_type, ())
        if first <= schema.since_version <= last  # an older kernel would not be chosen
    ]
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    choices = [[(name, kind) for kind in (dtype, *_WIDER.get(dtype, ()))] for name, dtype in types.items()]
    for choice in product(*choices):
        wider = dict(choice)
        if all(_name(kind) in allowed[name] for name, kind in choice) and any(_fits(kernel, wider) for kernel in kernels):
            return wider
    return types


def _fits(kernel: Mapping[str, Sequence[str]], types: Types) -> bool:
    return all(_name(kind) in kernel[name] for name, kind in types.items() if name in kernel)


def _name(dtype: ir.DataType) -> str:
    return f"tensor({dtype.name.lower()})"


@cache
def _kernels() -> Mapping[str, Sequence[tuple[tuple[int, int], Mapping[str, Sequence[str]]]]]:
    """The CPU provider's kernels by operator: the versions that each is for, and the types that it takes."""
    kernels: dict[str, list[tuple[tuple[int, int], Mapping[str, Sequence[str]]]]] = {}
    for kernel in native.get_all_opkernel_def():
        if kernel.provider == _PROVIDER and kernel.domain == "":
            kernels.setdefault(kernel.op_name, []).append((tuple(kernel.version_range), dict(kernel.type_constraints)))
    return kernels


def _widen(node: ir.Node, schema: onnx.defs.OpSchema, types: Types, wider: Types) -> None:
    """Replace a node by one of `wider` types, with casts of its inputs and outputs."""
    assert node.graph is not None
    changed = {name for name in types if types[name] != wider[name]}
    names = dict(_typed(node, schema))
    before: list[ir.Node] = []
    inputs: list[ir.Value | None] = []
    for value in node.inputs:
        if value is not None and names[value] in changed:
            before.append(_cast(value, wider[names[value]]))
            inputs.append(before[-1].outputs[0])
        else:
            inputs.append(value)
    made = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs), name=node.name)
    after: list[ir.Node] = []
    outputs: list[ir.Value] = []
    for old, new in zip(node.outputs, made.outputs, strict=True):
        name = names.get(old, "")
        new.shape = old.shape
        if dtype := wider.get(name) or old.dtype:
            new.dtype = dtype
        if name in changed:
            after.append(_cast(new, types[name]))
        outputs.append(after[-1].outputs[0] if name in changed else new)
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], [*before, made, *after], node.outputs, outputs)


def _cast(value: ir.Value, dtype: ir.DataType) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": dtype})
    node.outputs[0].shape, node.outputs[0].dtype = value.shape, dtype
    return node
