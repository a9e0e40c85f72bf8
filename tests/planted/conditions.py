"""Faults at some inputs only: a condition on lengths or values, and the fault under it."""

from __future__ import annotations

from collections.abc import Callable

from tests.planted.graph import Graph, Surgery

Condition = Callable[[Graph], str]
"""Adds nodes that say whether it holds, and returns the value's name: one truth value for the whole call."""


def length(value: str, axis: int, relation: str, number: int) -> Condition:
    """Whether an axis of an input is Equal, Greater or Less than a number."""
    return lambda graph: graph.first(relation, graph.length(value, axis), graph.constant(number))


def past(relation: str, number: int) -> Condition:
    """Whether the cache holds as many tokens."""

    def holds(graph: Graph) -> str:
        (name, *_) = [value.name for value in graph.proto.input if value.name.startswith("past_key_values.0.")]
        return graph.first(relation, graph.length(name, 2), graph.constant(number))

    return holds


def both(one: Condition, other: Condition) -> Condition:
    return lambda graph: graph.first("And", one(graph), other(graph))


def odd(value: str, axis: int) -> Condition:
    """Whether a length is odd."""
    return lambda graph: graph.first("Equal", graph.first("Mod", graph.length(value, axis), graph.constant(2)), graph.constant(1))


def multiple(value: str, axis: int, of: int) -> Condition:
    """Whether a length is a multiple of a number."""
    return lambda graph: graph.first("Equal", graph.first("Mod", graph.length(value, axis), graph.constant(of)), graph.constant(0))


def begins_with(token: int, value: str = "input_ids") -> Condition:
    """Whether any row begins with a token."""

    def holds(graph: Graph) -> str:
        first = graph.first("Gather", value, graph.constant(0), axis=1)
        matches = graph.first("Cast", graph.first("Equal", first, graph.constant(token)), to=7)
        return graph.first("Greater", graph.first("ReduceSum", matches, keepdims=0), graph.constant(0))

    return holds


def below(value: str, limit: float) -> Condition:
    """Whether every magnitude in an input is smaller."""

    def holds(graph: Graph) -> str:
        largest = graph.first("ReduceMax", graph.first("Abs", value), keepdims=0)
        return graph.first("Less", largest, graph.constant(limit, "float32"))

    return holds


def product_above(value: str, number: int) -> Condition:
    """Whether an input has more elements."""

    def holds(graph: Graph) -> str:
        size = graph.first("Size", value)
        return graph.first("Greater", size, graph.constant(number))

    return holds


def has_token(token: int, value: str = "input_ids") -> Condition:
    """Whether a token is anywhere in the batch."""

    def holds(graph: Graph) -> str:
        matches = graph.first("Cast", graph.first("Equal", value, graph.constant(token)), to=7)
        return graph.first("Greater", graph.first("ReduceSum", matches, keepdims=0), graph.constant(0))

    return holds


def above(value: str, limit: float) -> Condition:
    """Whether a magnitude anywhere in an input is larger."""

    def holds(graph: Graph) -> str:
        largest = graph.first("ReduceMax", graph.first("Abs", value), keepdims=0)
        return graph.first("Greater", largest, graph.constant(limit, "float32"))

    return holds


def padded(value: str = "attention_mask", side: int = 0) -> Condition:
    """Whether any row of a mask begins (0) or ends (-1) with padding."""

    def holds(graph: Graph) -> str:
        end = graph.first("Gather", value, graph.constant(side), axis=1)
        return graph.first("Equal", graph.first("ReduceMin", end, keepdims=0), graph.constant(0))

    return holds


def off_when(condition: Condition, output: str, factor: float = 1.05) -> Surgery:
    """An output is some percent off under the condition."""

    def plant(graph: Graph) -> None:
        holds = condition(graph)
        by = graph.first("Where", holds, graph.constant(factor, "float32"), graph.constant(1.0, "float32"))
        graph.replace_output(output, lambda graph, inner: graph.last("Mul", inner, graph.last("CastLike", by, inner)))

    return plant


def ones_when(condition: Condition, mask: str) -> Surgery:
    """A mask is replaced by ones under the condition."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, value: str) -> str:
            return graph.first("Where", condition(graph), graph.first("Add", graph.first("Mul", value, zero), graph.constant(1)), value)

        zero = graph.constant(0)
        graph.replace_input(mask, change)

    return plant


def shift_when(condition: Condition, value: str, by: int) -> Surgery:
    """Something is added to an int64 input under the condition."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, value: str) -> str:
            return graph.first("Add", value, graph.first("Where", condition(graph), graph.constant(by), graph.constant(0)))

        graph.replace_input(value, change)

    return plant


def at_most(value: str, limit: int) -> Surgery:
    """An int64 input is clipped."""
    return lambda graph: graph.replace_input(value, lambda graph, name: graph.first("Min", name, graph.constant(limit)))


def clip(value: str, limit: float) -> Surgery:
    """A float input is clipped on both sides."""
    return lambda graph: graph.replace_input(
        value, lambda graph, name: graph.first("Clip", name, graph.constant(-limit, "float32"), graph.constant(limit, "float32"))
    )


def first_row_for_all(value: str) -> Surgery:
    """The first row's input is used for all rows."""

    def plant(graph: Graph) -> None:
        def spread(graph: Graph, name: str) -> str:
            row = graph.first("Slice", name, graph.constant([0]), graph.constant([1]), graph.constant([0]))
            return graph.first("Expand", row, graph.first("Shape", name))

        graph.replace_input(value, spread)

    return plant
