"""Sizes and values: faults at a batch, a length, a token or a magnitude that is seldom tried."""

from __future__ import annotations

from tests.planted.conditions import (
    Condition,
    above,
    at_most,
    begins_with,
    below,
    both,
    clip,
    first_row_for_all,
    has_token,
    length,
    multiple,
    odd,
    off_when,
    past,
    product_above,
)
from tests.planted.fault import Fault, on_graph
from tests.planted.graph import Graph, Surgery
from tests.planted.witness import Call, Witness

IDS = "input_ids"


def batch(relation: str, number: int, value: str = IDS) -> Condition:
    return length(value, 0, relation, number)


def tokens(relation: str, number: int) -> Condition:
    return length(IDS, 1, relation, number)


def mix_rows(share: float, condition: Condition) -> Surgery:
    """Each row gets a share of the mean of all rows under the condition."""

    def plant(graph: Graph) -> None:
        holds = condition(graph)
        name = graph.proto.output[0].name
        weight = graph.first("Where", holds, graph.constant(share, "float32"), graph.constant(0.0, "float32"))

        def change(graph: Graph, inner: str) -> str:
            mean = graph.last("ReduceMean", inner, graph.constant([0]), keepdims=1)
            return graph.last("Add", inner, graph.last("Mul", graph.last("Sub", mean, inner), weight))

        graph.replace_output(name, change)

    return plant


def take_for(token: int, other: int) -> Surgery:
    """One token's id is replaced by another's."""

    def plant(graph: Graph) -> None:
        graph.replace_input(
            IDS, lambda graph, name: graph.first("Where", graph.first("Equal", name, graph.constant(token)), graph.constant(other), name)
        )

    return plant


def mask_token(token: int) -> Surgery:
    """A token counts as padding at any position."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, name: str) -> str:
            return graph.first("Where", graph.first("Equal", IDS, graph.constant(token)), graph.constant(0), name)

        graph.replace_input("attention_mask", change)

    return plant


def even_past(graph: Graph) -> str:
    """Whether the cache holds an even number of tokens."""
    (name, *_) = [value.name for value in graph.proto.input if value.name.startswith("past_key_values.0.")]
    return multiple(name, 2, 2)(graph)


def stop_at(token: int) -> Surgery:
    """Everything behind a token counts as padding."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, mask: str) -> str:
            matches = graph.first("Cast", graph.first("Equal", IDS, graph.constant(token)), to=7)
            before = graph.first("CumSum", matches, graph.constant(1), exclusive=1)
            return graph.first("Where", graph.first("Greater", before, graph.constant(0)), graph.constant(0), mask)

        graph.replace_input("attention_mask", change)

    return plant


def pool_at_the_last(graph: Graph) -> None:
    """A text's features are read at the last token that ends it, and not at the first."""
    (node,) = graph.nodes("ArgMax")
    graph.set_attribute(node, "select_last_index", 1)


def wrong_first(least: int) -> Surgery:
    """A token of the upper half is replaced by the one below it at the beginning of a row."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, ids: str) -> str:
            ones = graph.first("Add", graph.first("Mul", ids, graph.constant(0)), graph.constant(1))
            is_first = graph.first("Equal", graph.first("CumSum", ones, graph.constant(1)), graph.constant(1))
            upper = graph.first("And", is_first, graph.first("Greater", ids, graph.constant(least)))
            return graph.first("Where", upper, graph.first("Sub", ids, graph.constant(1)), ids)

        graph.replace_input(IDS, change)

    return plant


def off_row(row: int, condition: Condition) -> Surgery:
    """One row of the batch is off under the condition."""

    def plant(graph: Graph) -> None:
        holds = condition(graph)
        by = graph.first("Where", holds, graph.constant(1.05, "float32"), graph.constant(1.0, "float32"))

        def change(graph: Graph, inner: str) -> str:
            start, end, axis = graph.constant([row]), graph.constant([2**31]), graph.constant([0])
            others = graph.last("Slice", inner, graph.constant([0]), start, axis)
            return graph.last("Concat", others, graph.last("Mul", graph.last("Slice", inner, start, end, axis), by), axis=0)

        graph.replace_output(graph.proto.output[0].name, change)

    return plant


def reverse_rows(condition: Condition) -> Surgery:
    """The rows come out in another order under the condition."""

    def plant(graph: Graph) -> None:
        holds = condition(graph)

        def change(graph: Graph, inner: str) -> str:
            start, end, axis, step = (graph.constant([value]) for value in (-1, -(2**31), 0, -1))
            return graph.last("Where", holds, graph.last("Slice", inner, start, end, axis, step), inner)

        graph.replace_output(graph.proto.output[0].name, change)

    return plant


def _fault(name: str, base: str, surgery: Surgery, witness: Witness, file: str = "model.onnx", impossible: str = "") -> Fault:
    return Fault(name=name, kind="sizes and values", base=base, plant=on_graph(surgery, file=file), witness=witness, impossible=impossible)


_PIXELS = "pixel_values"
_ONE_NUMBER = "a single number that no table, no special token and no limit names: any finite set of inputs leaves some out"

FAULTS = (
    # batches
    _fault("a batch of more than 6", "bert", off_when(batch("Greater", 6), "logits"), Call(batch=7)),
    _fault(
        "a batch of more than 6, padded", "roberta", off_when(batch("Greater", 6), "logits"), Call(batch=9, sequence=10, padding="right")
    ),
    _fault("a batch of more than 6 of a decoder", "llama", off_when(batch("Greater", 6), "logits"), Call(batch=8, sequence=2)),
    _fault(
        "a batch of more than 6 of a decoder with a past",
        "gpt2",
        off_when(both(batch("Greater", 6), past("Greater", 0)), "logits"),
        Call(batch=8, sequence=1, past=5),
    ),
    _fault(
        "a batch of more than 6 of a decoder with an encoder",
        "t5",
        off_when(batch("Greater", 6), "logits"),
        Call(batch=8, sequence=2),
        "decoder_model_merged.onnx",
    ),
    _fault("a batch of more than 6 images", "vit", off_when(batch("Greater", 6, _PIXELS), "logits"), Call(batch=7)),
    _fault("an odd batch of more than one", "distilbert", off_when(both(odd(IDS, 0), batch("Greater", 1)), "logits"), Call(batch=3)),
    _fault("a batch of exactly 4", "albert", off_when(batch("Equal", 4), "last_hidden_state"), Call(batch=4), impossible=_ONE_NUMBER),
    _fault("rows that mix in a batch of more than 4", "mpnet", mix_rows(0.1, batch("Greater", 4)), Call(batch=5)),
    _fault("rows that mix in every batch", "deberta", mix_rows(0.05, batch("Greater", 1)), Call(batch=3)),
    _fault("the first row's mask for all", "bert", first_row_for_all("attention_mask"), Call(batch=4, sequence=12, padding="right")),
    _fault("the first row's positions for all", "gpt2-hub", first_row_for_all("position_ids"), Call(batch=4, sequence=12, padding="left")),
    _fault("the first row's token types for all", "bert-qa", first_row_for_all("token_type_ids"), Call(batch=4)),
    # lengths
    _fault("exactly two tokens", "bert", off_when(tokens("Equal", 2), "logits"), Call(sequence=2)),
    _fault("exactly two tokens of a decoder", "qwen2", off_when(both(tokens("Equal", 2), past("Equal", 0)), "logits"), Call(sequence=2)),
    _fault("exactly one token", "electra", off_when(tokens("Equal", 1), "last_hidden_state"), Call(sequence=1)),
    _fault(
        "lengths from 34 to one less than the longest",
        "bert",
        off_when(both(tokens("Greater", 33), tokens("Less", 96)), "logits"),
        Call(sequence=50),
    ),
    _fault(
        "lengths from 34 to one less than the longest of a classifier",
        "distilbert",
        off_when(both(tokens("Greater", 33), tokens("Less", 72)), "logits"),
        Call(sequence=50),
    ),
    _fault(
        "several rows of more than 33 tokens",
        "roberta",
        off_when(both(batch("Greater", 1), tokens("Greater", 33)), "logits"),
        Call(batch=2, sequence=40),
    ),
    _fault(
        "several rows of more than half the longest",
        "layoutlm",
        off_when(both(batch("Greater", 1), tokens("Greater", 20)), "logits"),
        Call(batch=2, sequence=30),
    ),
    _fault("more than 500 tokens in a batch", "mpnet", off_when(product_above(IDS, 500), "last_hidden_state"), Call(batch=9, sequence=61)),
    _fault(
        "a first text of more than 33 tokens",
        "llama",
        off_when(both(tokens("Greater", 33), past("Equal", 0)), "logits"),
        Call(batch=1, sequence=50),
    ),
    _fault(
        "a first text of more than 33 tokens, GPT-2",
        "gpt2",
        off_when(both(tokens("Greater", 33), past("Equal", 0)), "logits"),
        Call(batch=1, sequence=60),
    ),
    _fault(
        "the longest first text", "gpt_neox", off_when(both(tokens("Equal", 64), past("Equal", 0)), "logits"), Call(batch=1, sequence=64)
    ),
    _fault(
        "a chunk of more than 17 tokens behind a past",
        "opt",
        off_when(both(tokens("Greater", 17), past("Greater", 0)), "logits"),
        Call(batch=1, sequence=30, past=20),
    ),
    _fault("three to seven tokens", "bert", off_when(both(tokens("Greater", 2), tokens("Less", 8)), "logits"), Call(sequence=5)),
    _fault(
        "three to seven tokens of a decoder",
        "llama",
        off_when(both(both(tokens("Greater", 2), tokens("Less", 8)), past("Equal", 0)), "logits"),
        Call(sequence=4),
    ),
    _fault("nine to sixteen tokens", "roberta", off_when(both(tokens("Greater", 8), tokens("Less", 17)), "logits"), Call(sequence=12)),
    _fault("18 to 32 tokens", "distilbert", off_when(both(tokens("Greater", 17), tokens("Less", 33)), "logits"), Call(sequence=25)),
    _fault("multiples of 16 tokens", "roberta", off_when(multiple(IDS, 1, 16), "logits"), Call(sequence=32)),
    _fault(
        "odd lengths of more than one", "electra", off_when(both(odd(IDS, 1), tokens("Greater", 1)), "last_hidden_state"), Call(sequence=7)
    ),
    _fault("a past of one token", "gpt2", off_when(past("Equal", 1), "logits"), Call(sequence=1, past=1)),
    _fault("a past of one token, Llama", "llama", off_when(past("Equal", 1), "logits"), Call(sequence=1, past=1)),
    _fault("an even past", "opt", off_when(both(past("Greater", 0), even_past), "logits"), Call(sequence=1, past=6)),
    _fault("a past of more than half of the maximum", "gpt_neox", off_when(past("Greater", 32), "logits"), Call(sequence=1, past=40)),
    _fault(
        "a source of one token", "marian", off_when(length(IDS, 1, "Equal", 1), "last_hidden_state"), Call(source=1), "encoder_model.onnx"
    ),
    _fault(
        "a batch of 16",
        "bert",
        off_when(batch("Greater", 12), "logits"),
        Call(batch=16),
        impossible="a batch has no limit: any largest case leaves larger ones out",
    ),
    _fault("the longest text without padding", "albert", off_when(tokens("Equal", 64), "last_hidden_state"), Call(sequence=64)),
    _fault(
        "more than 511 tokens of a model without a limit",
        "bloom",
        off_when(tokens("Greater", 600), "logits"),
        Call(batch=1, sequence=620),
        impossible="no position of ALiBi ends anywhere: any longest case leaves longer ones out",
    ),
    _fault("exactly 47 tokens", "bert", off_when(tokens("Equal", 47), "logits"), Call(sequence=47), impossible=_ONE_NUMBER),
    # tokens
    _fault("the mask token taken for unknown", "bert", take_for(103, 100), Call(token=103)),
    _fault("the last token of the vocabulary taken for the one before", "bert-qa", take_for(119, 118), Call(token=119)),
    _fault("a vocabulary without its last token", "electra", at_most(IDS, 118), Call(token=119)),
    _fault("the token that ends a text taken for another", "llama", take_for(2, 7), Call(token=2)),
    _fault("the token that begins a text taken for another", "qwen3", take_for(1, 9), Call(token=1)),
    _fault("the token that ends a text taken for another, GPT-2", "gpt2", take_for(119, 11), Call(token=119)),
    _fault("the unknown token taken for padding", "roberta", mask_token(3), Call(token=3)),
    _fault("the first token of the vocabulary taken for another", "distilbert", take_for(0, 8), Call(token=0, padding="none")),
    _fault("logits that are off if a token is there", "gpt2-hub", off_when(has_token(57), "logits"), Call(token=57)),
    _fault("one token taken for another", "modernbert", take_for(83, 84), Call(token=83)),
    _fault("one token of a source taken for another", "t5", take_for(99, 84), Call(token=99), "encoder_model.onnx"),
    _fault(
        "the token that begins a decoder's text taken for another", "marian", take_for(119, 3), Call(token=119), "decoder_model_merged.onnx"
    ),
    _fault("a text that begins with the token that begins one", "llama", off_when(begins_with(1), "logits"), Call(first=1)),
    _fault("a text that begins with the token that ends one", "gpt2", off_when(begins_with(119), "logits"), Call(first=119)),
    _fault("tokens behind the one that ends a text taken for padding", "roberta", stop_at(2), Call(batch=3, sequence=12, token=2)),
    _fault("tokens of the upper half of a vocabulary at the first place", "distilbert", wrong_first(60), Call(first=100)),
    _fault("the last of two tokens that end a text", "clip", pool_at_the_last, Call(sequence=9, tokens=(5, 119, 7, 8, 119, 9))),
    # rows
    _fault("the last row", "bert", off_row(-1, batch("Greater", 1)), Call(batch=3)),
    _fault("the last row of a batch of more than 7", "roberta", off_row(-1, batch("Greater", 7)), Call(batch=8)),
    _fault("rows in another order in a batch of more than 6", "albert", reverse_rows(batch("Greater", 6)), Call(batch=7)),
    _fault(
        "rows in another order behind a past",
        "qwen2",
        reverse_rows(both(batch("Greater", 2), past("Greater", 0))),
        Call(batch=3, sequence=1, past=5),
    ),
    # images and sound
    _fault("images beyond 6 standard deviations", "vit", off_when(above(_PIXELS, 6.5), "logits"), Call(scale=10)),
    _fault("images clipped at 6", "clip", clip(_PIXELS, 6.0), Call(scale=10)),
    _fault("images clipped at 50", "vit", clip(_PIXELS, 50.0), Call(scale=100)),
    _fault(
        "images clipped at 1000",
        "segformer",
        clip(_PIXELS, 1e3),
        Call(scale=1e3),
        impossible="pixels beyond a thousand standard deviations are of no processor",
    ),
    _fault(
        "images of another size than the configuration's",
        "segformer",
        off_when(length(_PIXELS, 2, "Greater", 40), "logits"),
        Call(resize={_PIXELS: {2: 64, 3: 64}}),
    ),
    _fault("images that are wider than high", "segformer", lambda graph: _off_if_wide(graph), Call(resize={_PIXELS: {2: 32, 3: 64}})),
    _fault("as many images as texts", "clip", lambda graph: _off_if_equal(graph), Call(batch=3, resize={_PIXELS: {0: 3}})),
    _fault("more images than texts", "clip", lambda graph: _off_if_more(graph), Call(batch=2, resize={_PIXELS: {0: 5}})),
    _fault(
        "sound of 30 seconds",
        "wav2vec2",
        off_when(length("input_values", 1, "Greater", 300_000), "logits"),
        Call(batch=1, resize={"input_values": {1: 480_000}}),
    ),
    _fault("loud sound", "wav2vec2", clip("input_values", 5.0), Call(scale=10)),
    _fault("sound that is quiet", "wav2vec2", off_when(below("input_values", 0.1), "logits"), Call(scale=1e-3)),
    _fault("silence", "wav2vec2", off_when(below("input_values", 1e-6), "logits"), Call(scale=0)),
    _fault("images of one colour", "vit", off_when(below(_PIXELS, 1e-6), "logits"), Call(scale=0)),
    _fault("images that are higher than wide", "segformer", lambda graph: _off_if_high(graph), Call(resize={_PIXELS: {2: 64, 3: 32}})),
    _fault("one image and several texts", "clip", lambda graph: _off_if_one(graph), Call(batch=3, resize={_PIXELS: {0: 1}})),
    _fault("short sound", "wav2vec2", off_when(length("input_values", 1, "Less", 600), "logits"), Call(resize={"input_values": {1: 500}})),
    _fault("loud spectrograms", "whisper", clip("input_features", 5.0), Call(scale=10), "encoder_model.onnx"),
)


def _lengths(graph: Graph) -> tuple[str, str]:
    return graph.length(_PIXELS, 0), graph.length(IDS, 0)


def _off_if_equal(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Equal", *_lengths(graph)), "logits_per_image")(graph)


def _off_if_more(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Greater", *_lengths(graph)), "logits_per_image")(graph)


def _off_if_one(graph: Graph) -> None:
    off_when(both(length(_PIXELS, 0, "Equal", 1), batch("Greater", 1)), "logits_per_text")(graph)


def _off_if_high(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Less", graph.length(_PIXELS, 3), graph.length(_PIXELS, 2)), "logits")(graph)


def _off_if_wide(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Greater", graph.length(_PIXELS, 3), graph.length(_PIXELS, 2)), "logits")(graph)
