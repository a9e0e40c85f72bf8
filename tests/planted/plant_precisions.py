"""Precisions: scales, zero points, rows and whole matrices of quantized files, and wrong variants of a right float32 file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.planted.conditions import at_most, both, first_row_for_all, has_token, length, off_when, ones_when, padded, past, shift_when
from tests.planted.fault import Fault, Plant, on_graph
from tests.planted.graph import Array, Graph, Surgery
from tests.planted.plant_caches import clip_rows, ignore_past, scale_present, see_the_future, shift_rows, swap_inputs, truncate_present
from tests.planted.plant_interface import give_double, ignore, swap_outputs
from tests.planted.plant_weights import exchange
from tests.planted.witness import Call, Interface, Witness

SUFFIXES = {
    "fp32": "",
    "fp16": "_fp16",
    "bf16": "_bf16",
    "q8": "_quantized",
    "int8-static": "_int8",
    "w8": "_w8",
    "q4": "_q4",
    "q4f16": "_q4f16",
}
"""How the files of a precision are called."""

_VALUE = "layer.0.attention.self.value.weight"
_DENSE = "layer.1.output.dense.weight"


def change_rows(ending: str, change: Callable[[Array], Array], rows: slice = slice(0, 4)) -> Surgery:
    """Change some rows of a stored tensor: scales, zero points or numbers."""

    def plant(graph: Graph) -> None:
        (name,) = graph.weight_names(ending)
        array = graph.tensor(name)
        array[rows] = change(array[rows]).astype(array.dtype)
        graph.set_tensor(name, array)

    return plant


def double(array: Array) -> Array:
    return array * 2


def add_sixty(array: Array) -> Array:
    return array + 60


def swap_nibbles(array: Array) -> Array:
    """The two numbers of each byte in the other order."""
    return (array >> 4) | (array << 4)


def zeros(array: Array) -> Array:
    return array * 0


def backwards(array: Array) -> Array:
    return array[::-1]


def backwards_row(array: Array) -> Array:
    return array[:, ::-1]


def transpose(array: Array) -> Array:
    return array.T


def drop_bias(ending: str) -> Surgery:
    return change_rows(ending, zeros, slice(None))


def keep(*variants: str) -> Plant:
    """Leave float32 and some variants alone in the folder."""

    def plant(folder: Path) -> None:
        others = {suffix for name, suffix in SUFFIXES.items() if name not in ("fp32", *variants)}
        for path in (folder / "onnx").glob("*.onnx"):
            if any(path.stem.endswith(suffix) for suffix in others):
                path.unlink()

    return plant


def rename_variant(source: str, target: str) -> Plant:
    """The file of one precision under the name of another."""

    def plant(folder: Path) -> None:
        for path in (folder / "onnx").glob(f"*{SUFFIXES[source]}.onnx"):
            path.replace(path.with_name(path.name.replace(SUFFIXES[source], SUFFIXES[target])))

    return plant


def roll_rows(name: str) -> Surgery:
    """An input's rows each for the next one's."""

    def plant(graph: Graph) -> None:
        def roll(graph: Graph, value: str) -> str:
            axis, one = graph.constant([0]), graph.constant([1])
            last = graph.first("Slice", value, one, graph.constant([2**31]), axis)
            return graph.first("Concat", last, graph.first("Slice", value, graph.constant([0]), one, axis), axis=0)

        graph.replace_input(name, roll)

    return plant


def _fault(name: str, variant: str, base: str, surgery: Surgery, witness: Witness, part: str = "model") -> Fault:
    return Fault(
        name=f"{variant}: {name}",
        kind="precisions",
        base=base,
        prepare=keep(variant),
        plant=on_graph(surgery, file=f"{part}{SUFFIXES[variant]}.onnx"),
        witness=witness,
        asked={"variants": variant if variant == "fp32" else f"fp32,{variant}"},
    )


def _next(variant: str, past_length: int = 9) -> Call:
    return Call(variant=variant, batch=3, sequence=1, past=past_length)


def _text(variant: str, sequence: int = 14, batch: int = 4, padding: str = "none") -> Call:
    return Call(variant=variant, batch=batch, sequence=sequence, padding=padding)  # type: ignore[arg-type]


_BERT, _GPT2, _LLAMA, _T5 = "bert-variants", "gpt2-variants", "llama-variants", "t5-variants"
_ENCODER, _DECODER = "encoder_model", "decoder_model_merged"
EMPTY, FILLED = past("Equal", 0), past("Greater", 0)

FAULTS = (
    # caches
    _fault("a past that is ignored by one layer", "q8", _GPT2, ignore_past("past_key_values.1.value"), _next("q8")),
    _fault("a past that is ignored by one layer", "fp16", _GPT2, ignore_past("past_key_values.0.value"), _next("fp16")),
    _fault("a mask that is ignored with an empty past", "w8", _GPT2, ones_when(EMPTY, "attention_mask"), _text("w8", padding="left")),
    _fault(
        "a mask that is ignored behind a past",
        "fp16",
        _LLAMA,
        ones_when(FILLED, "attention_mask"),
        Call(variant="fp16", batch=4, sequence=1, past=14, padding="left"),
    ),
    _fault("positions off by one behind a past", "bf16", _GPT2, shift_rows("wpe.weight.bfloat16", 1, FILLED), _next("bf16")),
    _fault("positions off by one behind a past", "q8", _LLAMA, shift_when(FILLED, "position_ids", 3), _next("q8")),
    _fault("a past of the layers exchanged", "q4", _LLAMA, swap_inputs("past_key_values.0.key", "past_key_values.1.key"), _next("q4")),
    _fault("the cache comes out off", "int8-static", _GPT2, scale_present("present.1.value", 1.3), _next("int8-static")),
    _fault("key and value that come out exchanged", "q4f16", _GPT2, swap_outputs("present.1.key", "present.1.value"), _next("q4f16")),
    _fault("a cache cut to its last 32 tokens", "fp16", _GPT2, truncate_present("present.0.key", 32), _next("fp16", 40)),
    _fault(
        "a chunk behind a past sees its own future",
        "fp16",
        _LLAMA,
        see_the_future(both(length("input_ids", 1, "Greater", 1), FILLED)),
        Call(variant="fp16", sequence=6, past=9),
    ),
    _fault("generation broken behind more than 8 tokens", "q8", _GPT2, off_when(past("Greater", 8), "logits", -1.0), _next("q8", 12)),
    _fault("generation broken behind more than 8 tokens", "q4", _LLAMA, off_when(past("Greater", 8), "logits", -1.0), _next("q4", 12)),
    _fault(
        "the first call off alone",
        "w8",
        _GPT2,
        off_when(both(EMPTY, length("input_ids", 1, "Greater", 40)), "logits", 1.5),
        _text("w8", 50),
    ),
    _fault("a past that is ignored by the decoder", "q8", _T5, ignore_past("past_key_values.1.decoder.value"), _next("q8"), _DECODER),
    _fault("a cache of the encoder that is ignored", "fp16", _T5, ignore_past("past_key_values.0.encoder.value"), _next("fp16"), _DECODER),
    # masks, lengths, batches, tokens
    _fault(
        "a mask of the source that is ignored",
        "fp16",
        _T5,
        ignore("attention_mask", "Div"),
        Call(variant="fp16", batch=4, source=14, padding="right"),
        _ENCODER,
    ),
    _fault(
        "an encoder that is off for long sources",
        "q8",
        _T5,
        off_when(length("input_ids", 1, "Greater", 40), "last_hidden_state", 2.0),
        Call(variant="q8", source=60),
        _ENCODER,
    ),
    _fault(
        "a mask that is ignored if padded left",
        "bf16",
        _BERT,
        ones_when(padded(), "attention_mask"),
        _text("bf16", 30, padding="left"),
    ),
    _fault("a mask that is ignored", "fp16", _BERT, ignore("attention_mask", "Div"), _text("fp16", padding="right")),
    _fault("more than 128 tokens", "w8", _BERT, off_when(length("input_ids", 1, "Greater", 128), "logits", 2.0), _text("w8", 150)),
    _fault("more than 128 tokens", "fp16", _BERT, clip_rows("position_embeddings.weight", 128), _text("fp16", 180)),
    _fault(
        "a first text of more than 128 tokens",
        "fp16",
        _LLAMA,
        off_when(both(EMPTY, length("input_ids", 1, "Greater", 128)), "logits", 1.5),
        _text("fp16", 140, 1),
    ),
    _fault("a batch of more than 6", "bf16", _BERT, off_when(length("input_ids", 0, "Greater", 6), "logits", 1.5), _text("bf16", batch=7)),
    _fault("exactly two tokens", "fp16", _GPT2, off_when(length("input_ids", 1, "Equal", 2), "logits", 1.5), _text("fp16", 2)),
    _fault("the first row's mask for all", "w8", _BERT, first_row_for_all("attention_mask"), _text("w8", padding="right")),
    _fault("token types that are ignored", "q8", _BERT, ignore("token_type_ids"), _text("q8")),
    _fault(
        "logits that are off if the last token is there",
        "q4",
        _GPT2,
        off_when(has_token(119), "logits", 3.0),
        Call(variant="q4", token=119),
    ),
    _fault("a vocabulary without its last token", "fp16", _BERT, at_most("input_ids", 118), Call(variant="fp16", tokens=(119,))),
    _fault(
        "a chunk of more than 20 tokens behind a past",
        "fp16",
        _GPT2,
        off_when(both(FILLED, length("input_ids", 1, "Greater", 20)), "logits", 1.5),
        Call(variant="fp16", batch=1, sequence=30, past=12),
    ),
    _fault("a past of more than 100 tokens", "w8", _GPT2, off_when(past("Greater", 100), "logits", 1.5), _next("w8", 130)),
    _fault("the past of a row exchanged with the next one's", "fp16", _LLAMA, roll_rows("past_key_values.0.key"), _next("fp16")),
    _fault(
        "a batch of more than 6 behind a past",
        "fp16",
        _LLAMA,
        off_when(both(FILLED, length("input_ids", 0, "Greater", 6)), "logits", 1.5),
        Call(variant="fp16", batch=8, sequence=1, past=5),
    ),
    _fault(
        "a decoder that is off for long texts",
        "q8",
        _T5,
        off_when(length("input_ids", 1, "Greater", 30), "logits", 2.0),
        Call(variant="q8", sequence=40),
        _DECODER,
    ),
    # stored tensors
    _fault(
        "scales of a matrix doubled",
        "int8-static",
        _GPT2,
        change_rows("h.1.mlp.c_proj.weight_scale", double, slice(None)),
        _text("int8-static"),
    ),
    _fault("scales of four columns doubled", "w8", _BERT, change_rows(f"{_DENSE}.transposed_scales", double), _text("w8")),
    _fault(
        "scales of a matrix in another order", "w8", _GPT2, change_rows("h.1.mlp.c_proj.weight_scales", backwards, slice(None)), _text("w8")
    ),
    _fault(
        "scales of a matrix in another order",
        "q4",
        _LLAMA,
        change_rows("layers.0.self_attn.v_proj.weight.transposed_scales", backwards, slice(None)),
        _text("q4"),
    ),
    _fault(
        "scales of eight columns doubled", "w8", "bert-w8", change_rows(f"{_DENSE}.transposed_scales", double, slice(0, 8)), _text("w8")
    ),
    _fault("token types that are ignored", "w8", "bert-w8", ignore("token_type_ids"), _text("w8")),
    _fault("zero points off", "w8", _BERT, change_rows(f"{_VALUE}.transposed_zero_points", add_sixty, slice(None)), _text("w8")),
    _fault(
        "zero points off",
        "int8-static",
        _GPT2,
        change_rows("h.0.attn.c_attn.weight_zero_point", add_sixty, slice(None)),
        _text("int8-static"),
    ),
    _fault(
        "zero points of a matrix left out",
        "q4",
        _LLAMA,
        change_rows("layers.0.self_attn.v_proj.weight.transposed_zero_points", zeros, slice(None)),
        _text("q4"),
    ),
    _fault(
        "the two numbers of each byte exchanged",
        "q4",
        _LLAMA,
        change_rows("layers.1.mlp.down_proj.weight.transposed_Q4", swap_nibbles, slice(None)),
        _text("q4"),
    ),
    _fault(
        "the numbers of a matrix in another order", "w8", _GPT2, change_rows("h.0.mlp.c_fc.weight_Q8", backwards, slice(None)), _text("w8")
    ),
    _fault(
        "a matrix taken for its transpose",
        "int8-static",
        _GPT2,
        change_rows("h.1.attn.c_proj.weight_quantized", transpose, slice(None)),
        _text("int8-static"),
    ),
    _fault(
        "the embedding of one token",
        "q8",
        _LLAMA,
        change_rows("embed_tokens.weight.int8", backwards_row, slice(88, 89)),
        Call(variant="q8", tokens=(88,)),
    ),
    _fault(
        "the scale of the embedding of one token",
        "q4",
        _LLAMA,
        change_rows("embed_tokens.weight.scales", lambda array: array * 8, slice(91, 92)),
        Call(variant="q4", tokens=(91,)),
    ),
    _fault(
        "the embedding of one token",
        "w8",
        _BERT,
        change_rows("word_embeddings.weight", backwards_row, slice(77, 78)),
        Call(variant="w8", tokens=(77,)),
    ),
    _fault("one row of a matrix of zeros", "fp16", _BERT, change_rows(f"{_DENSE}", zeros), _text("fp16")),
    _fault("one row of a matrix of zeros", "bf16", _BERT, change_rows(f"{_DENSE}.bfloat16", zeros), _text("bf16")),
    _fault("a bias of zeros", "fp16", _GPT2, drop_bias("h.0.mlp.c_fc.bias"), _text("fp16")),
    _fault("a bias of zeros", "w8", _BERT, drop_bias("layer.0.intermediate.dense.bias"), _text("w8")),
    _fault(
        "the matrices of two layers exchanged",
        "fp16",
        _LLAMA,
        exchange("model.layers.0.self_attn.v_proj.weight", "model.layers.1.self_attn.v_proj.weight"),
        _text("fp16"),
    ),
    Fault(
        name="w8: four bits under the name of eight",
        kind="precisions",
        base=_GPT2,
        prepare=keep("w8", "q4"),
        plant=rename_variant("q4", "w8"),
        witness=_text("w8"),
        asked={"variants": "fp32,w8"},
    ),
    # the interface
    _fault("float64 for float32", "q8", _LLAMA, give_double("logits"), Interface(variant="q8")),
    _fault("float32 itself off beside a right variant", "fp32", _BERT, change_rows(f"{_DENSE}", double), _text("fp32")),
)
