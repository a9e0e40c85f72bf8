"""Decompose only if needed: a decomposition traces a program twice more, which is 60% of a capture.

`torch.onnx.export` decomposes every program to remove operators without a translation. Models of transformers have few of these, and
each equals another operator with a translation. After a renaming nothing is left to decompose, and the graph has the same operators. A
program with any other operator is decomposed as usual.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_aten = torch.ops.aten

_SAME_AS: Mapping[Any, Any] = {
    _aten.__and__.Tensor: _aten.bitwise_and.Tensor,
    _aten.__or__.Tensor: _aten.bitwise_or.Tensor,
    _aten.__xor__.Tensor: _aten.bitwise_xor.Tensor,
    _aten.min.other: _aten.minimum.default,
    _aten.max.other: _aten.maximum.default,
    _aten.detach_.default: _aten.detach.default,
}
_IN_PLACE: Mapping[Any, Any] = {
    _aten.add_.Tensor: _aten.add.Tensor,
    _aten.sub_.Tensor: _aten.sub.Tensor,
    _aten.mul_.Tensor: _aten.mul.Tensor,
    _aten.div_.Tensor: _aten.div.Tensor,
    _aten.masked_fill_.Scalar: _aten.masked_fill.Scalar,
}
"""What writes into its first argument, and the operator that gives the same as a new tensor."""
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_RESHAPES = (_aten.reshape.default, _aten.view.default)
_CONVERSIONS = (_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout, _aten.to.other)


@contextmanager
def decomposition_where_needed(never_empty: Collection[tuple[int, int]] = ()) -> Iterator[None]:
    """Let `torch.onnx.export` decompose a program only if an operator needs it.

    `never_empty` are axes of the inputs, each as the input's position and the axis, that are never 0 long.
    """
    decompose = torch.export.ExportedProgram.run_decompositions

    def where_needed(program: torch.export.ExportedProgram, table: Mapping[Any, Any], **options: Any) -> torch.export.ExportedProgram:
        positive = _lengths(program, never_empty)
        _rename(program, positive)
        return decompose(program, table, **options) if _is_left(program, table, positive) else program

    torch.export.ExportedProgram.run_decompositions = where_needed  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.export.ExportedProgram.run_decompositions = decompose  # type: ignore[method-assign]


def _lengths(program: torch.export.ExportedProgram, axes: Collection[tuple[int, int]]) -> frozenset[str]:
    """What torch calls the lengths of some axes of a program's inputs."""
    shapes = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and "val" in node.meta}
    names = program.graph_signature.user_inputs
    return frozenset(str(shapes[name][axis]) for place, axis in axes if isinstance(name := names[place], str))


def _rename(program: torch.export.ExportedProgram, positive: Collection[str]) -> None:
    """Replace operators without a translation by equal operators with one. No node is removed or renamed."""
    for node in program.graph.nodes:
        if node.target in _SAME_AS:
            node.target = _SAME_AS[node.target]
        elif node.target in _CONVERSIONS:
            _rename_conversion(node)
        elif node.target in _RESHAPES:
            _settle_inferred(node, positive)
        elif node.target == _aten.rsub.Scalar and len(node.args) == 2 and not node.kwargs:
            _turn_round(node)
        elif node.target in _IN_PLACE and _is_owned(node):
            node.args[0].replace_all_uses_with(node, delete_user_cb=lambda user, node=node: user > node)  # it is the earlier ones' still
            node.target = _IN_PLACE[node.target]
    program.graph_module.recompile()


def _rename_conversion(node: torch.fx.Node) -> None:
    """On one device a conversion is one of the dtype, or nothing."""
    source, dtype = node.args[0], node.meta["val"].dtype
    assert isinstance(source, torch.fx.Node)
    same = source.meta["val"].dtype == dtype
    node.target, node.args, node.kwargs = (
        (_aten.alias.default if same else _aten._to_copy.default),
        (source,),
        {} if same else {"dtype": dtype},
    )


def _turn_round(node: torch.fx.Node) -> None:
    """c - x is -x + c, to the last bit."""
    source, number = node.args
    assert isinstance(source, torch.fx.Node)
    with node.graph.inserting_before(node):
        negated = node.graph.call_function(_aten.neg.default, (source,))
    negated.meta.update(node.meta, val=source.meta["val"])
    node.target, node.args = _aten.add.Tensor, (negated, number)


def _settle_inferred(node: torch.fx.Node, positive: Collection[str]) -> None:
    """Write the length that a reshape infers, if it is a number or a length of its input: for an empty tensor it cannot be inferred."""
    source, sizes = node.args
    assert isinstance(source, torch.fx.Node)
    assert isinstance(sizes, list | tuple)
    if -1 not in sizes:
        return
    place = sizes.index(-1)
    length, lengths = node.meta["val"].shape[place], source.meta["val"].shape
    size: Any = length
    if isinstance(length, torch.SymInt):
        axis = next((axis for axis, other in enumerate(lengths) if str(other) == str(length)), None)
        if axis is None or not _is_ambiguous(node, positive):
            return
        with node.graph.inserting_before(node):
            size = node.graph.call_function(_aten.sym_size.int, (source, axis))
        size.meta["val"] = length
    node.args = (source, [*sizes[:place], size, *sizes[place + 1 :]])


def _is_ambiguous(node: torch.fx.Node, positive: Collection[str]) -> bool:
    """Whether a reshape leaves a length to be inferred beside another that may be 0, which those in `positive` are not."""
    if node.target not in _RESHAPES:
        return False
    sizes = node.args[1]
    assert isinstance(sizes, list | tuple)
    return -1 in sizes and any(isinstance(size, torch.fx.Node) and str(size.meta["val"]) not in positive for size in sizes)


def _is_owned(node: torch.fx.Node) -> bool:
    """Whether only who uses its first argument later can see that `node` writes into it: that is new, of its final dtype and shape,
    no view of anything, and nobody has a view of it."""
    written = node.args[0]
    if not isinstance(written, torch.fx.Node) or written.op != "call_function" or not _is_functional(written):
        return False
    kept = all(getattr(written.meta["val"], name) == getattr(node.meta["val"], name) for name in ("dtype", "shape"))
    return kept and all(user is node or _is_functional(user) for user in written.users)


def _is_functional(node: torch.fx.Node) -> bool:
    """Whether an operator's results share no memory with its arguments, and it writes into none."""
    schema = getattr(node.target, "_schema", None)
    returned = schema is not None and not any(argument.alias_info for argument in (*schema.arguments, *schema.returns))
    return returned and not _is_composite(node.target)  # its decomposition may return a view


def _is_mutable(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _is_composite(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target.has_kernel_for_dispatch_key(_COMPOSITE)


def _is_left(program: torch.export.ExportedProgram, table: Mapping[Any, Any], positive: Collection[str]) -> bool:
    """Whether an operator has to be decomposed: one of the `table`, one that writes into its arguments or is ambiguous, or any of a
    nested graph."""
    nested = any(name for name, _ in program.graph_module.named_modules())
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    return nested or any(node.target in table or _is_mutable(node.target) or _is_ambiguous(node, positive) for node in calls)
