"""A file's declared interface: names, axes, dtypes, shapes, and repeatability."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from tests.planted.fault import Fault, on_graph
from tests.planted.graph import Graph, Surgery
from tests.planted.witness import Call, Interface, Witness


def rename_input(name: str, other: str) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.rename(name, other)
        next(value for value in graph.proto.input if value.name == name).name = other

    return plant


def rename_output(name: str, other: str) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.rename(name, other)
        next(value for value in graph.proto.output if value.name == name).name = other

    return plant


def reverse(field: str) -> Surgery:
    def plant(graph: Graph) -> None:
        values = getattr(graph.proto, field)
        backwards = [*values][::-1]
        del values[:]
        values.extend(backwards)

    return plant


def drop_output(name: str) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.proto.output.remove(next(value for value in graph.proto.output if value.name == name))

    return plant


def _dims(graph: Graph, name: str) -> onnx.TensorShapeProto:
    shape: onnx.TensorShapeProto = _value(graph, name).type.tensor_type.shape
    return shape


def _value(graph: Graph, name: str) -> onnx.ValueInfoProto:
    value: onnx.ValueInfoProto
    (value,) = [candidate for candidate in (*graph.proto.input, *graph.proto.output) if candidate.name == name]
    return value


def declare_length(name: str, axis: int, length: int) -> Surgery:
    def plant(graph: Graph) -> None:
        _dims(graph, name).dim[axis].dim_value = length

    return plant


def call_axis(name: str, axis: int, label: str) -> Surgery:
    def plant(graph: Graph) -> None:
        _dims(graph, name).dim[axis].dim_param = label

    return plant


def declare_rank(name: str) -> Surgery:
    def plant(graph: Graph) -> None:
        _dims(graph, name).dim.add(dim_value=7)

    return plant


def give_double(name: str) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.replace_output(name, lambda graph, inner: graph.last("Cast", inner, to=TensorProto.DOUBLE))
        next(value for value in graph.proto.output if value.name == name).type.tensor_type.elem_type = TensorProto.DOUBLE

    return plant


def take_int32(name: str) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.replace_input(name, lambda graph, value: graph.first("Cast", value, to=TensorProto.INT64))
        next(value for value in graph.proto.input if value.name == name).type.tensor_type.elem_type = TensorProto.INT32

    return plant


def swap_outputs(one: str, other: str) -> Surgery:
    """Two outputs are exchanged."""

    def plant(graph: Graph) -> None:
        inner = {name: graph.inner(name) for name in (one, other)}
        graph.last("Identity", inner[other], output=one)
        graph.last("Identity", inner[one], output=other)

    return plant


def ignore(name: str, kind: str = "Mul") -> Surgery:
    """Zeros (Mul) or ones (Div by itself) for an input."""

    def plant(graph: Graph) -> None:
        def constant(graph: Graph, value: str) -> str:
            zeros = graph.first("Mul", value, graph.constant(0))
            return zeros if kind == "Mul" else graph.first("Add", zeros, graph.constant(1))

        graph.replace_input(name, constant)

    return plant


def drop_tail_of(output: str, axis: int) -> Surgery:
    """The last token's row is not given."""

    def plant(graph: Graph) -> None:
        def cut(graph: Graph, inner: str) -> str:
            start, end, along = (graph.constant([value]) for value in (0, -1, axis))
            return graph.last("Slice", inner, start, end, along)

        graph.replace_output(output, cut)

    return plant


def add_input(graph: Graph) -> None:
    """An input that nobody knows of, as an exporter that lifts a constant."""
    graph.proto.input.append(onnx.helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]))
    graph.last("Identity", "use_cache_branch")


def _fault(name: str, base: str, surgery: Surgery, witness: Witness | None = None, file: str = "model.onnx") -> Fault:
    return Fault(name=name, kind="interface", base=base, plant=on_graph(surgery, file=file), witness=witness or Interface())


_BY_TOKENS = Call(batch=3, sequence=9)

FAULTS = (
    _fault("an input by another name", "bert", rename_input("attention_mask", "input_mask")),
    _fault("an output by another name", "gpt2", rename_output("present.1.value", "present_key_values.1.value")),
    _fault("outputs in another order", "bert-qa", reverse("output")),
    _fault("outputs that bear each other's names", "bert-qa", swap_outputs("start_logits", "end_logits"), _BY_TOKENS),
    _fault("a missing output", "llama", drop_output("present.1.key")),
    _fault("an input too many", "bert", add_input),
    _fault("a fixed batch", "bert", declare_length("input_ids", 0, 2)),
    _fault("a fixed length of an output", "bert", declare_length("logits", 1, 8)),
    _fault("a width that is declared and not so", "roberta", declare_length("logits", 2, 7)),
    _fault("a rank that is declared and not so", "albert", declare_rank("last_hidden_state")),
    _fault("axes that bear each other's names", "bert", call_axis("logits", 1, "batch")),
    _fault("the past's axis by the name of the present's", "gpt2", call_axis("past_key_values.0.key", 2, "past_sequence + sequence")),
    _fault("the batch by another name than clients ask for", "llama", call_axis("past_key_values.0.key", 0, "batch")),
    _fault("float64 for float32", "electra", give_double("last_hidden_state")),
    _fault("int32 for int64", "bert", take_int32("input_ids")),
    _fault("the last token's row is not given", "modernbert", drop_tail_of("logits", 1), _BY_TOKENS),
    _fault("token types that are ignored", "bert", ignore("token_type_ids"), _BY_TOKENS),
    _fault("boxes that are ignored", "layoutlm", ignore("bbox"), _BY_TOKENS),
    _fault("a mask that is ignored", "roberta", ignore("attention_mask", "Div"), Call(sequence=12, padding="right", batch=4)),
    _fault("positions that are ignored", "opt", ignore("position_ids"), _BY_TOKENS),
)
