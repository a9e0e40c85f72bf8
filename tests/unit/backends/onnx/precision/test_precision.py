"""The table of precisions."""

from __future__ import annotations

from typing import get_args

import pytest

from converter.backends import BACKENDS
from converter.backends.onnx.precision import OF_DTYPE, OF_QUANTIZE, PRECISIONS, Name, Quantize
from converter.backends.onnx.variants import OnnxVariants


def test_every_name_is_in_the_table_and_every_option_leads_to_one() -> None:
    assert list(PRECISIONS) == list(get_args(Name))
    assert {*OF_DTYPE.values(), *OF_QUANTIZE.values()} == {*PRECISIONS, "checkpoint"}
    assert {*get_args(get_args(BACKENDS["onnx"].options.model_fields["precision"].annotation)[0])} == {*PRECISIONS, "checkpoint"}
    assert list(OF_QUANTIZE) == list(get_args(Quantize))


def test_files_have_the_names_that_transformers_js_asks_for() -> None:
    names = {name: PRECISIONS[name].file("model.onnx") for name in ("fp32", "fp16", "q8", "q4", "q4f16")}
    assert names == {
        "fp32": "model.onnx",
        "fp16": "model_fp16.onnx",
        "q8": "model_quantized.onnx",
        "q4": "model_q4.onnx",
        "q4f16": "model_q4f16.onnx",
    }
    assert PRECISIONS["int8-static"].file("decoder_model_merged.onnx") == "decoder_model_merged_int8.onnx"


def test_no_two_precisions_have_one_file() -> None:
    assert len({precision.file("model.onnx") for precision in PRECISIONS.values()}) == len(PRECISIONS)


@pytest.mark.parametrize(
    ("asked", "precisions"),
    [
        ({}, ("fp32",)),
        ({"precision": "checkpoint"}, ("fp32",)),
        ({"precision": "q4, fp32,int8,q8"}, ("fp32", "q8", "q4")),
        ({"precision": ["w8", "bf16"]}, ("bf16", "w8")),
        ({"dtype": "checkpoint"}, ("fp32",)),
        ({"dtype": "float32", "quantize": "w8"}, ("w8",)),
        ({"dtype": "fp16"}, ("fp16",)),
        ({"dtype": "bfloat16"}, ("bf16",)),
        ({"quantize": "int8"}, ("q8",)),
        ({"quantize": "int8-static"}, ("int8-static",)),
        ({"variants": "q4, fp32,int8,q8"}, ("fp32", "q8", "q4")),
        ({"variants": ["w8"]}, ("w8",)),
    ],
)
def test_each_precision_that_is_asked_for_is_made_once_in_the_order_of_the_table(asked: dict[str, object], precisions: tuple[str]) -> None:
    options = BACKENDS["onnx"].options.model_validate(asked)
    assert options.precisions == precisions
    assert OnnxVariants().requested(options) == (() if precisions == ("fp32",) else precisions)


def test_a_short_name_of_float32_is_one_to_every_backend() -> None:
    needed = {"neuron": {"target": "inf2", "batch_size": 1, "sequence_length": 8}}
    for name, backend in BACKENDS.items():
        chosen = [backend.options.model_validate({**needed.get(name, {}), "dtype": dtype}) for dtype in ("fp32", "float32")]
        assert chosen[0] == chosen[1] == backend.options.model_validate(needed.get(name, {}))
        assert [options.loads_as for options in chosen] == ["float32", "float32"]


def test_an_option_that_precision_replaced_is_the_same_as_precision_and_stands_in_no_record() -> None:
    for options in ({"quantize": "q4"}, {"variants": "q4"}, {"variants": ["q4"]}, {"quantize": "q4", "dtype": "float32"}):
        replaced = BACKENDS["onnx"].options.model_validate(options)
        assert replaced == BACKENDS["onnx"].options.model_validate({"precision": "q4"})
        assert not {"dtype", "quantize", "variants"} & replaced.model_dump().keys()
    for name in ("torchscript", "onnx"):
        options = BACKENDS[name].options.model_validate({"dtype": "checkpoint"})
        assert options == BACKENDS[name].options.model_validate({"precision": "checkpoint"})
        assert options.loads_as == "checkpoint"


def test_a_metric_of_ones_own_makes_a_variant_of_the_exact_file_too() -> None:
    options = BACKENDS["onnx"].options.model_validate({"evaluate": "mine.py:metric"})
    assert OnnxVariants().requested(options) == ("fp32",)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"variants": "fp9"}, "unknown precision fp9; known: fp32, fp16"),
        ({"variants": ""}, "unknown precision "),
        ({"variants": "fp32", "dtype": "fp16"}, "precision is set by dtype and by"),
        ({"variants": "fp32", "quantize": "q4"}, "precision is set by quantize and by variants; set it once"),
        ({"quantize": "q4", "dtype": "checkpoint"}, "precision is set by dtype and by quantize; set it once"),
        ({"precision": "fp9"}, "unknown precision fp9; known: fp32, fp16"),
        ({"precision": "q8,checkpoint"}, "checkpoint cannot be combined"),
        ({"precision": "q8", "dtype": "fp16"}, "precision is set by precision and by dtype; set it once"),
        ({"quantize": "int4"}, "Input should be"),
        ({"dtype": "float64"}, "Input should be"),
        ({"tier": "lossless"}, "Input should be"),
        ({"evaluate": "metric"}, "String should match"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BACKENDS["onnx"].options.model_validate(asked)
