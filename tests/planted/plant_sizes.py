"""Sizes and values: what goes wrong at a batch, a length, a token or a magnitude that is seldom tried."""

from __future__ import annotations

from tests.planted.conditions import (
    Condition,
    above,
    at_most,
    both,
    clip,
    first_row_for_all,
    has_token,
    length,
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
    """Each row takes a share of the mean of all rows where the condition holds."""

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
    """One token's id is taken for another's."""

    def plant(graph: Graph) -> None:
        graph.replace_input(
            IDS, lambda graph, name: graph.first("Where", graph.first("Equal", name, graph.constant(token)), graph.constant(other), name)
        )

    return plant


def mask_token(token: int) -> Surgery:
    """A token is taken for padding wherever it stands."""

    def plant(graph: Graph) -> None:
        def change(graph: Graph, name: str) -> str:
            return graph.first("Where", graph.first("Equal", IDS, graph.constant(token)), graph.constant(0), name)

        graph.replace_input("attention_mask", change)

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
    _fault("loud spectrograms", "whisper", clip("input_features", 5.0), Call(scale=10), "encoder_model.onnx"),
)


def _lengths(graph: Graph) -> tuple[str, str]:
    return graph.length(_PIXELS, 0), graph.length(IDS, 0)


def _off_if_equal(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Equal", *_lengths(graph)), "logits_per_image")(graph)


def _off_if_more(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Greater", *_lengths(graph)), "logits_per_image")(graph)


def _off_if_wide(graph: Graph) -> None:
    off_when(lambda graph: graph.first("Greater", graph.length(_PIXELS, 3), graph.length(_PIXELS, 2)), "logits")(graph)
