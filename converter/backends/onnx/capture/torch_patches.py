"""torch's exporter without repeated work: half of a capture, with the same graph but for names of nodes.

This relies on two private interfaces and two settings of torch. After a rename a capture would be slower and as right; tests notice.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.onnx._internal.exporter import _registration

from converter.backends.onnx.capture.shape_rules import shapes_by_definition

_PROMOTION = "_TypePromotionInterpreter"


@contextmanager
def lean_exporter() -> Iterator[None]:
    """Silence `torch.onnx.export`, and remove its repeated work."""
    with (
        quiet_exporter(),
        _one_registry(),
        _promotion_where_needed(),
        _no_dropout(),
        shapes_by_definition(),
        _no_stack_traces(),
        _no_shape_cache(),
    ):
        yield


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence log records of the exporter that no user can act on."""
    loggers = [logging.getLogger(f"torch.onnx._internal.exporter.{name}") for name in ("_registration", "_schemas", "_core")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"# The axis name: .* will not be used", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated", category=FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _one_registry() -> Iterator[None]:
    """The table of translations is the same for every export to an operator set, and takes 0.25 CPU s to make."""
    make = _registration.ONNXRegistry.from_torchlib
    _registration.ONNXRegistry.from_torchlib = staticmethod(_registry)  # type: ignore[method-assign]
    try:
        yield
    finally:
        _registration.ONNXRegistry.from_torchlib = make  # type: ignore[method-assign]


_make_registry = _registration.ONNXRegistry.from_torchlib


@functools.cache
def _registry(**options: Any) -> _registration.ONNXRegistry:
    return _make_registry(**options)


@contextmanager
def _promotion_where_needed() -> Iterator[None]:
    """Promote types without another run of the program: results are known, except for the operators that it changes."""
    run_node = torch.fx.Interpreter.run_node
    runs: dict[torch.fx.Interpreter, _Promotion] = {}

    def where_needed(interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> Any:
        if type(interpreter).__name__ != _PROMOTION:
            return run_node(interpreter, node)
        if interpreter not in runs:
            runs[interpreter] = _Promotion(interpreter)
        run = runs[interpreter]
        if run.is_known(node):
            return node.meta["val"]
        result = run_node(interpreter, node)
        run.compare(node, result)
        return result

    torch.fx.Interpreter.run_node = where_needed  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.fx.Interpreter.run_node = run_node  # type: ignore[method-assign]


class _Promotion:
    """One promotion of a program's types, with the operators whose results stay the same."""

    def __init__(self, interpreter: torch.fx.Interpreter) -> None:
        nodes = interpreter.graph.nodes
        self._before = {node: (node.target, node.args, node.kwargs) for node in nodes if node.op == "call_function"}
        self._dtypes = {node: getattr(node.meta.get("val"), "dtype", None) for node in nodes}
        self._changed: set[torch.fx.Node] = set()

    def is_known(self, node: torch.fx.Node) -> bool:
        """Whether neither the operator nor anything it takes is another than it was."""
        unchanged = self._before.get(node) == (node.target, node.args, node.kwargs)
        return unchanged and "val" in node.meta and self._changed.isdisjoint(node.all_input_nodes)

    def compare(self, node: torch.fx.Node, result: Any) -> None:
        """Note a node whose result is of another type now; a shape never is, of promotion."""
        if node in self._before and getattr(result, "dtype", None) != self._dtypes[node]:
            self._changed.add(node)


@contextmanager
def _no_dropout() -> Iterator[None]:
    """A model that is not trained drops nothing, and need not say so at every layer."""
    dropout = torch.nn.functional.dropout

    def unless_trained(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:  # noqa: A002 - torch's own
        return dropout(input, p, training, inplace) if training else input

    torch.nn.functional.dropout = unless_trained
    try:
        yield
    finally:
        torch.nn.functional.dropout = dropout


@contextmanager
def _no_stack_traces() -> Iterator[None]:
    """Keep no stack trace for each node: no file has them."""
    before = torch.fx.config.do_not_emit_stack_traces
    torch.fx.config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        torch.fx.config.do_not_emit_stack_traces = before


@contextmanager
def _no_shape_cache() -> Iterator[None]:
    """Compute shapes instead of looking them up: conversions of tiny models take 0.73 for 0.84 CPU s (BERT), 0.91 for 1.27 (GPT-2)."""
    import torch._dynamo.config

    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        yield
