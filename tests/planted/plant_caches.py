"""Masks, windows, positions and caches: faults between the first call and the next."""

from __future__ import annotations

import math

import numpy as np
import onnx

from tests.planted.conditions import Condition, both, first_row_for_all, length, off_when, ones_when, padded, past, shift_when
from tests.planted.fault import Fault, on_graph
from tests.planted.graph import Graph, Surgery
from tests.planted.plant_configuration import _order
from tests.planted.plant_interface import ignore, swap_outputs
from tests.planted.witness import Call, Witness

EMPTY, FILLED = past("Equal", 0), past("Greater", 0)
CHUNK = both(length("input_ids", 1, "Greater", 1), FILLED)


def swap_inputs(one: str, other: str) -> Surgery:
    """What goes in as one is used as the other."""

    def plant(graph: Graph) -> None:
        graph.rename(one, "one of two")
        graph.rename(other, one)
        graph.rename("one of two", other)

    return plant


def see_all_of_the_past(graph: Graph) -> None:
    """A mask of ones for the cache, followed by the given one for new tokens."""

    def change(graph: Graph, mask: str) -> str:
        end = graph.first("Unsqueeze", graph.length("input_ids", 1), graph.constant([0]))
        start, axis, far = graph.first("Neg", end), graph.constant([1]), graph.constant([2**31])
        newest = graph.first("Slice", mask, start, far, axis)
        before = graph.first("Slice", mask, graph.constant([0]), start, axis)
        ones = graph.first("Add", graph.first("Mul", before, graph.constant(0)), graph.constant(1))
        return graph.first("Concat", ones, newest, axis=1)

    graph.replace_input("attention_mask", change)


def see_all_from(start: int) -> Surgery:
    """A mask of ones from a position on, as a table of fixed length leaves."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, mask: str) -> str:
            ones = graph.first("Add", graph.first("Mul", mask, graph.constant(0)), graph.constant(1))
            late = graph.first("Greater", graph.first("CumSum", ones, graph.constant(1)), graph.constant(start))
            return graph.first("Where", late, ones, mask)

        graph.replace_input("attention_mask", change)

    return plant


def count_by_another_padding(graph: Graph) -> None:
    """RoBERTa's positions start behind the padding: wrong for input that is padded left, alone."""
    (comparison,) = [node for node in graph.nodes("Equal") if "input_ids" in node.input]
    comparison.input[1] = graph.constant(-7)
    _order(graph)


def forget_the_oldest(condition: Condition, mask: str = "attention_mask") -> Surgery:
    """The first token of the cache counts as padding under the condition."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, value: str) -> str:
            position = graph.first(
                "CumSum", graph.first("Add", graph.first("Mul", value, graph.constant(0)), graph.constant(1)), graph.constant(1)
            )
            first = graph.first("Equal", position, graph.constant(1))
            gone = graph.first("And", first, condition(graph))
            return graph.first("Where", gone, graph.constant(0), value)

        graph.replace_input(mask, change)

    return plant


def set_window(change: int, condition: Condition | None = None) -> Surgery:
    """A sliding window is longer by `change`, or exists under the condition."""

    def plant(graph: Graph) -> None:
        for node, name in _windows(graph):
            size = int(graph.constant_value(name))
            by = graph.first("Where", condition(graph), graph.constant(change), graph.constant(0)) if condition else graph.constant(change)
            node.input[:] = [graph.first("Add", graph.constant(size), by) if value == name else value for value in node.input]
        _order(graph)

    return plant


def _windows(graph: Graph) -> list[tuple[onnx.NodeProto, str]]:
    windows = []
    for node in graph.nodes("Sub", "LessOrEqual"):
        for name in graph.constants_of(node):
            value = graph.constant_value(name)
            if value.dtype == np.int64 and value.size == 1 and int(value) > 2:
                windows.append((node, name))
    if not windows:
        raise LookupError("the graph has no window")
    return windows


def window_for_every_layer(graph: Graph) -> None:
    """Full attention by the mask of the sliding window."""
    full, sliding = sorted(graph.nodes("Where"), key=lambda node: node.output[0])[:2]
    users = graph.users(full.output[0])
    graph.redirect(full.output[0], sliding.output[0], users)
    _order(graph)


def no_window_for_any_layer(graph: Graph) -> None:
    full, sliding = sorted(graph.nodes("Where"), key=lambda node: node.output[0])[:2]
    users = graph.users(sliding.output[0])
    graph.redirect(sliding.output[0], full.output[0], users)


def look_back_only(graph: Graph) -> None:
    """A window to the left, of a model that has one to both sides."""
    (absolute,) = graph.nodes("Abs")
    result = absolute.output[0]
    users = graph.users(result)
    big = graph.constant(10**6)
    later = graph.after(result, "Less", absolute.input[0], graph.constant(0))
    graph.redirect(result, graph.after(later, "Where", later, big, result), users)


def see_the_future(condition: Condition) -> Surgery:
    """New tokens see later ones under the condition."""

    def plant(graph: Graph) -> None:
        causal = graph.nodes("LessOrEqual")[0]
        result = causal.output[0]
        users = graph.users(result)
        holds = condition(graph)
        graph.redirect(result, graph.after(result, "Or", result, holds), users)

    return plant


def _lookups(graph: Graph, weight: str) -> list[onnx.NodeProto]:
    """The nodes that look up rows of an embedding of positions."""
    (name, *_) = graph.weight_names(weight)
    return [
        user for node in graph.users(name) for user in (graph.users(node.output[0]) if node.op_type in ("Transpose", "Cast") else [node])
    ]


def clip_rows(weight: str, limit: int) -> Surgery:
    """Positions beyond a limit stay at the limit."""

    def plant(graph: Graph) -> None:
        for node in _lookups(graph, weight):
            node.input[1] = graph.first("Min", node.input[1], graph.constant(limit))
        _order(graph)

    return plant


def shift_rows(weight: str, by: int, condition: Condition) -> Surgery:
    """Positions are off under the condition."""

    def plant(graph: Graph) -> None:
        term = graph.first("Where", condition(graph), graph.constant(by), graph.constant(0))
        for node in _lookups(graph, weight):
            node.input[1] = graph.first("Add", node.input[1], term)
        _order(graph)

    return plant


def ignore_past(name: str) -> Surgery:
    """Zeros for a tensor of the cache."""

    def plant(graph: Graph) -> None:
        graph.replace_input(
            name, lambda graph, value: graph.first("Mul", value, graph.first("CastLike", graph.constant(0.0, "float32"), value))
        )

    return plant


def scale_present(name: str, factor: float) -> Surgery:
    """The returned cache is off; the outputs of this call are not."""
    return lambda graph: graph.replace_output(name, lambda graph, inner: graph.last("Mul", inner, graph.constant(factor, "float32")))


def truncate_present(name: str, tokens: int) -> Surgery:
    """Only the last tokens come out."""
    return lambda graph: graph.replace_output(
        name, lambda graph, inner: graph.last("Slice", inner, graph.constant([-tokens]), graph.constant([2**31]), graph.constant([2]))
    )


def drop_past_from_present(name: str) -> Surgery:
    """The oldest token's entry is replaced by zeros."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, inner: str) -> str:
            axis = graph.constant([2])
            first = graph.last("Slice", inner, graph.constant([0]), graph.constant([1]), axis)
            others = graph.last("Slice", inner, graph.constant([1]), graph.constant([2**31]), axis)
            return graph.last("Concat", graph.last("Mul", first, graph.constant(0.0, "float32")), others, axis=2)

        graph.replace_output(name, change)

    return plant


def present_before_rotation(graph: Graph) -> None:
    """Keys come out before their rotary positions are applied."""
    concat = graph.maker("present.1.key")
    rotated = graph.maker(concat.input[1])
    plain = next(name for name in graph.maker(rotated.input[0]).input if graph.maker(name).op_type == "Transpose")
    graph.replace_output("present.1.key", lambda graph, _: graph.last("Concat", concat.input[0], plain, axis=-2))


def set_bucket_distance(distance: int) -> Surgery:
    """Relative positions by another largest distance."""

    def plant(graph: Graph) -> None:
        log = graph.nodes("Log")[0]
        (divided,) = graph.users(log.output[0])
        buckets = graph.constant_value(graph.maker(log.input[0]).input[1]).item()
        divided.input[1] = graph.constant(math.log(distance / buckets), "float32")

    return plant


def limit_buckets(by: int) -> Surgery:
    """The last bucket of relative positions is never reached."""

    def plant(graph: Graph) -> None:
        node = graph.nodes("Min")[-1]
        result = node.output[0]
        users = graph.users(result)
        limit = graph.after(result, "Sub", node.input[1], graph.constant(by))
        graph.redirect(result, graph.after(limit, "Min", result, limit), users)

    return plant


def relative_positions_one_way(graph: Graph) -> None:
    """An encoder that uses later tokens for earlier ones."""
    node = graph.nodes("Greater")[0]
    node.input[0], node.input[1] = node.input[1], node.input[0]


def alibi_to_40(graph: Graph) -> None:
    """ALiBi's distances end at 40 tokens."""
    (node,) = graph.nodes("CumSum")
    result = node.output[0]
    users = graph.users(result)
    graph.redirect(result, graph.after(result, "Min", result, graph.constant(40)), users)


def _fault(name: str, base: str, surgery: Surgery, witness: Witness, file: str = "model.onnx", impossible: str = "") -> Fault:
    return Fault(
        name=name, kind="masks, positions and caches", base=base, plant=on_graph(surgery, file=file), witness=witness, impossible=impossible
    )


_ENCODER, _DECODER = "encoder_model.onnx", "decoder_model_merged.onnx"
_NEXT = Call(batch=3, sequence=1, past=9)
_CHUNK = Call(batch=2, sequence=5, past=9)
_FIRST = Call(batch=3, sequence=12)
_LEFT = Call(batch=4, sequence=12, padding="left")
_LEFT_NEXT = Call(batch=4, sequence=1, past=14, padding="left")

FAULTS = (
    # masks
    _fault("a mask that is ignored with an empty past", "gpt2", ones_when(EMPTY, "attention_mask"), _LEFT),
    _fault("a mask that is ignored with an empty past, Llama", "llama", ones_when(EMPTY, "attention_mask"), _LEFT),
    _fault(
        "a mask that is ignored with an empty past of more than 20 tokens",
        "qwen2",
        ones_when(both(EMPTY, length("input_ids", 1, "Greater", 20)), "attention_mask"),
        Call(batch=4, sequence=30, padding="left"),
    ),
    _fault("a mask that is ignored behind a past", "opt", ones_when(FILLED, "attention_mask"), _LEFT_NEXT),
    _fault("a mask of the past that is ignored", "gpt2", see_all_of_the_past, _LEFT_NEXT),
    _fault(
        "a mask that is ignored behind a past of more than 32 tokens",
        "gpt2-hub",
        ones_when(past("Greater", 32), "attention_mask"),
        Call(batch=4, sequence=1, past=40, padding="left"),
    ),
    _fault(
        "a mask of one batch only",
        "gpt_neox",
        ones_when(length("input_ids", 0, "Greater", 5), "attention_mask"),
        Call(batch=7, sequence=10, padding="left"),
    ),
    _fault(
        "the oldest token forgotten behind a long past", "llama", forget_the_oldest(past("Greater", 30)), Call(batch=2, sequence=1, past=44)
    ),
    _fault(
        "the oldest token forgotten at the last position", "gpt2", forget_the_oldest(past("Equal", 79)), Call(batch=1, sequence=1, past=79)
    ),
    _fault(
        "the oldest token forgotten at the longest first text",
        "bloom",
        forget_the_oldest(length("input_ids", 1, "Greater", 500)),
        Call(batch=1, sequence=510),
    ),
    _fault("new tokens see the future at the first call", "opt", see_the_future(EMPTY), _FIRST),
    _fault("a chunk behind a past sees its own future", "llama", see_the_future(CHUNK), _CHUNK),
    _fault("a chunk behind a past sees its own future, GPT-2", "gpt2", see_the_future(CHUNK), _CHUNK),
    _fault(
        "a chunk of two behind a past sees its own future",
        "qwen3",
        see_the_future(both(length("input_ids", 1, "Equal", 2), FILLED)),
        Call(batch=2, sequence=2, past=9),
    ),
    _fault("a mask of ones for an encoder's padding on the left", "mpnet", ones_when(padded(), "attention_mask"), _LEFT),
    _fault(
        "a mask of ones for long padded texts",
        "distilbert",
        ones_when(length("attention_mask", 1, "Greater", 40), "attention_mask"),
        Call(batch=3, sequence=60, padding="right"),
    ),
    _fault("a mask that is ignored from position 33 on", "bert", see_all_from(33), Call(batch=4, sequence=50, padding="right")),
    _fault("positions counted by another padding token", "roberta", count_by_another_padding, Call(batch=4, sequence=12, padding="left")),
    # windows
    _fault("a window that is longer by one", "mistral", set_window(1), Call(batch=2, sequence=20)),
    _fault("a window that is shorter by two", "mistral", set_window(-2), Call(batch=2, sequence=20)),
    _fault("a window that is longer by one behind a past", "mistral", set_window(1, FILLED), Call(batch=2, sequence=1, past=16)),
    _fault(
        "a window that is shorter by two behind a past of window + 8",
        "mistral",
        set_window(-2, past("Greater", 15)),
        Call(batch=2, sequence=1, past=16),
    ),
    _fault("no window", "mistral", set_window(10**6), Call(batch=2, sequence=30)),
    _fault("no window behind a past", "mistral", set_window(10**6, FILLED), Call(batch=2, sequence=1, past=30)),
    _fault("no window, of 600", "mistral-wide", set_window(10**6), Call(batch=1, sequence=700)),
    _fault("no window behind a past, of 600", "mistral-wide", set_window(10**6, FILLED), Call(batch=1, sequence=1, past=700)),
    _fault("a window of 512 for 600", "mistral-wide", set_window(-88), Call(batch=1, sequence=640)),
    _fault("a window of 599 for 600", "mistral-wide", set_window(-1), Call(batch=1, sequence=640)),
    _fault("a window for every layer", "gemma2", window_for_every_layer, Call(batch=2, sequence=24)),
    _fault("no window for any layer", "gemma3", no_window_for_any_layer, Call(batch=2, sequence=24)),
    _fault("a window that is longer by one of every second layer", "gemma2", set_window(1), Call(batch=2, sequence=24)),
    _fault("a window to one side", "modernbert", look_back_only, Call(batch=2, sequence=24)),
    _fault("a window to both sides that is longer by one", "modernbert", set_window(1), Call(batch=2, sequence=24)),
    # positions
    _fault("positions off by one behind a past", "llama", shift_when(FILLED, "position_ids", 1), _NEXT),
    _fault("positions off by one behind a past, GPT-2", "gpt2", shift_rows("wpe.weight", 1, FILLED), _NEXT),
    _fault(
        "positions off by one behind a long past",
        "gpt_neo",
        shift_rows("wpe.weight", 1, past("Greater", 40)),
        Call(batch=2, sequence=1, past=50),
    ),
    _fault("positions off by one behind a past, OPT", "opt", shift_rows("embed_positions.weight", 1, FILLED), _NEXT),
    _fault("positions off by one behind a past, BART", "bart", shift_rows("decoder.embed_positions.weight", 1, FILLED), _NEXT),
    _fault(
        "positions off by one behind a past, Marian", "marian", shift_rows("decoder.embed_positions.weight", 1, FILLED), _NEXT, _DECODER
    ),
    _fault(
        "positions off by one behind a past, Whisper",
        "whisper",
        shift_rows("decoder.embed_positions.weight", 1, past("Greater", 4)),
        _NEXT,
        _DECODER,
    ),
    _fault("positions that are ignored at the first call", "opt", lambda graph: _by_index(graph), _LEFT),
    _fault("positions clipped near the end", "gpt2-hub", clip_rows("wpe.weight", 77), Call(batch=1, sequence=80)),
    _fault("positions clipped near the end, BERT", "bert", clip_rows("position_embeddings.weight", 94), Call(batch=2, sequence=96)),
    _fault("rotary positions clipped near the end", "llama", lambda graph: _clip_positions(graph, 60), Call(batch=1, sequence=64)),
    _fault(
        "rotary positions clipped near the end, behind a past",
        "gpt_neox",
        lambda graph: _clip_positions(graph, 60),
        Call(batch=1, sequence=1, past=63),
    ),
    _fault("positions clipped at 512", "mistral-wide", lambda graph: _clip_positions(graph, 520), Call(batch=1, sequence=600)),
    _fault(
        "positions in the last quarter off by one",
        "roberta",
        lambda graph: _last_quarter(graph, "position_embeddings.weight", 53),
        Call(batch=1, sequence=68),
    ),
    _fault("relative positions by another largest distance", "mpnet", set_bucket_distance(64), Call(batch=1, sequence=90)),
    _fault(
        "relative positions of an encoder by another largest distance", "t5", set_bucket_distance(64), Call(batch=1, source=90), _ENCODER
    ),
    _fault(
        "relative positions of a decoder by another largest distance",
        "t5",
        set_bucket_distance(64),
        Call(batch=1, sequence=1, past=90),
        _DECODER,
    ),
    _fault("the last bucket of relative positions", "t5", limit_buckets(1), Call(batch=1, sequence=1, past=140), _DECODER),
    _fault("the last bucket of relative positions of an encoder", "t5", limit_buckets(1), Call(batch=1, source=140), _ENCODER),
    _fault("relative positions that are turned round", "t5", relative_positions_one_way, Call(batch=2, source=12), _ENCODER),
    _fault("ALiBi to 40 tokens", "bloom", alibi_to_40, Call(batch=2, sequence=1, past=60)),
    # inputs
    _fault("keys of two layers exchanged", "gpt2", swap_inputs("past_key_values.0.key", "past_key_values.1.key"), _NEXT),
    _fault("key and value of a past exchanged", "gpt2", swap_inputs("past_key_values.0.key", "past_key_values.0.value"), _NEXT),
    _fault("a past of the layers exchanged", "qwen2", swap_inputs("past_key_values.0.key", "past_key_values.1.key"), _NEXT),
    _fault(
        "a past of the encoder's layers exchanged",
        "bart",
        swap_inputs("past_key_values.0.encoder.value", "past_key_values.1.encoder.value"),
        _NEXT,
    ),
    _fault("a past that is ignored by one layer", "llama", ignore_past("past_key_values.1.value"), _NEXT),
    _fault("a cache of the encoder that is ignored", "t5", ignore_past("past_key_values.1.encoder.value"), _NEXT, _DECODER),
    _fault("a cache of the encoder that is ignored, Whisper", "whisper", ignore_past("past_key_values.0.encoder.key"), _NEXT, _DECODER),
    # outputs
    _fault("key and value that come out exchanged", "gpt2", swap_outputs("present.1.key", "present.1.value"), _NEXT),
    _fault("values of the layers that come out exchanged", "gpt2", swap_outputs("present.0.value", "present.1.value"), _NEXT),
    _fault("the last layer's cache comes out off", "mistral", scale_present("present.1.value", 1.01), _NEXT),
    _fault("the encoder's cache comes out off", "marian", scale_present("present.1.encoder.key", 1.01), _FIRST, _DECODER),
    _fault("keys come out without their positions", "qwen3", present_before_rotation, _FIRST),
    _fault("a cache cut to its last 32 tokens", "gpt2-hub", truncate_present("present.0.key", 32), Call(batch=2, sequence=1, past=40)),
    _fault("the oldest token is lost from the cache", "gpt_neo", drop_past_from_present("present.0.value"), _NEXT),
    _fault(
        "the cache is off behind a long past", "opt", off_when(past("Greater", 40), "present.1.key"), Call(batch=2, sequence=1, past=50)
    ),
    _fault(
        "the cache is off at the first call of a long text",
        "llama",
        off_when(both(EMPTY, length("input_ids", 1, "Greater", 36)), "present.1.key"),
        Call(batch=2, sequence=50),
    ),
    # the encoder
    _fault(
        "a mask of the source that is ignored by the encoder",
        "t5",
        ignore("attention_mask", "Div"),
        Call(batch=4, source=14, padding="right"),
        _ENCODER,
    ),
    _fault(
        "a mask of the source that is ignored by the decoder",
        "marian",
        ignore("encoder_attention_mask", "Div"),
        Call(batch=4, source=14, padding="right"),
        _DECODER,
    ),
    _fault(
        "a mask of the source that is ignored by the decoder behind a past",
        "t5",
        ones_when(FILLED, "encoder_attention_mask"),
        Call(batch=4, source=14, sequence=1, past=5, padding="right"),
        _DECODER,
    ),
    _fault(
        "a mask of the source that is ignored if padded left",
        "bart",
        ones_when(padded(), "attention_mask"),
        Call(batch=4, source=14, padding="left"),
    ),
    _fault("an encoder that is off for long sources", "t5", lambda graph: _off_encoder(graph, 40), Call(batch=2, source=60), _ENCODER),
    _fault(
        "an encoder that is off for the longest sources",
        "marian",
        lambda graph: _off_encoder(graph, 37),
        Call(batch=1, source=40),
        _ENCODER,
    ),
    _fault("an encoder that reads 16 tokens", "t5-whole", lambda graph: _read_only(graph, 16), Call(batch=2, source=30)),
    _fault("an encoder that reads 30 tokens", "bart", lambda graph: _read_only(graph, 30), Call(batch=2, source=40)),
    _fault("an encoder that ignores its last frame", "whisper", lambda graph: _drop_last_frame(graph), Call(batch=2), _ENCODER),
    # chunks and rows behind a past
    _fault("positions of a chunk off by one behind a past", "llama", shift_when(CHUNK, "position_ids", 1), _CHUNK),
    _fault("a window that is longer by one for a chunk behind a past", "mistral", set_window(1, CHUNK), Call(batch=2, sequence=6, past=9)),
    _fault("the oldest token forgotten by a chunk", "qwen2", forget_the_oldest(CHUNK), _CHUNK),
    _fault("keys of a chunk come out off behind a past", "opt", off_when(CHUNK, "present.0.key"), _CHUNK),
    _fault("the first row's past for all", "gpt_neox", first_row_for_all("past_key_values.1.value"), _NEXT),
    _fault("the first row's past for all, T5", "t5", first_row_for_all("past_key_values.0.decoder.key"), _NEXT, _DECODER),
    _fault("the first row's cache of the encoder for all", "marian", first_row_for_all("past_key_values.0.encoder.key"), _NEXT, _DECODER),
    _fault(
        "a decoder's mask that is ignored behind a past",
        "bart",
        ones_when(FILLED, "decoder_attention_mask"),
        Call(batch=4, sequence=1, past=12, padding="left"),
    ),
    _fault(
        "a cache of the encoder that comes out off behind a past of more than 20",
        "whisper",
        off_when(past("Greater", 20), "present.1.encoder.key"),
        Call(batch=2, sequence=1, past=30),
        _DECODER,
    ),
    _fault(
        "logits of a decoder with an encoder off behind a past of more than 20",
        "t5",
        off_when(past("Greater", 20), "logits"),
        Call(batch=2, sequence=1, past=30),
        _DECODER,
    ),
    # fused
    _fault("positions off by one behind a past, fused", "gpt2-cpu", shift_rows("wpe.weight", 1, FILLED), _NEXT),
)


def _clip_positions(graph: Graph, limit: int) -> None:
    graph.replace_input("position_ids", lambda graph, name: graph.first("Min", name, graph.constant(limit)))


def _by_index(graph: Graph) -> None:
    """Positions counted from the first column on, whatever the mask says, with nothing cached."""

    def count(graph: Graph, name: str) -> str:
        ones = graph.first("Add", graph.first("Mul", name, graph.constant(0)), graph.constant(1))
        counted = graph.first("Sub", graph.first("CumSum", ones, graph.constant(1)), graph.constant(1))
        return graph.first("Where", EMPTY(graph), counted, name)

    graph.replace_input("position_ids", count)


def _last_quarter(graph: Graph, weight: str, first: int) -> None:
    """Rows from `first` on are those before them."""
    for node in graph.users(graph.weight_names(weight)[0]):
        index = node.input[1]
        late = graph.after(index, "GreaterOrEqual", index, graph.constant(first))
        node.input[1] = graph.after(late, "Sub", index, graph.after(late, "Cast", late, to=7))
    _order(graph)


def _off_encoder(graph: Graph, longest: int) -> None:
    off_when(length("input_ids", 1, "Greater", longest), "last_hidden_state")(graph)


def _read_only(graph: Graph, tokens: int) -> None:
    """Tokens behind the first ones are taken for token 5."""

    def change(graph: Graph, name: str) -> str:
        ones = graph.first("Add", graph.first("Mul", name, graph.constant(0)), graph.constant(1))
        place = graph.first("CumSum", ones, graph.constant(1))
        return graph.first("Where", graph.first("Greater", place, graph.constant(tokens)), graph.constant(5), name)

    graph.replace_input("input_ids", change)


def _drop_last_frame(graph: Graph) -> None:
    def change(graph: Graph, inner: str) -> str:
        axis = graph.constant([1])
        first = graph.last("Slice", inner, graph.constant([0]), graph.constant([-1]), axis)
        before = graph.last("Slice", inner, graph.constant([-2]), graph.constant([-1]), axis)
        return graph.last("Concat", first, before, axis=1)

    graph.replace_output("last_hidden_state", change)
