"""The table of precisions."""

from __future__ import annotations

from typing import get_args

import pytest

from converter.backends import BACKENDS
from converter.backends.onnx.precision import OF_DTYPE, OF_QUANTIZE, PRECISIONS, Name, Quantize


def test_every_name_is_in_the_table_and_every_option_leads_to_one() -> None:
    assert list(PRECISIONS) == list(get_args(Name))
    assert {*OF_DTYPE.values(), *OF_QUANTIZE.values()} == {*PRECISIONS}
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
        ({"dtype": "checkpoint"}, ("fp32",)),
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
    assert BACKENDS["onnx"].variants(options) == (() if precisions == ("fp32",) else precisions)


def test_a_short_name_of_float32_is_one_to_every_backend() -> None:
    needed = {"neuron": {"target": "inf2", "batch_size": 1, "sequence_length": 8}}
    for name, backend in BACKENDS.items():
        assert backend.options.model_validate({**needed.get(name, {}), "dtype": "fp32"}).dtype == "float32"


def test_a_metric_of_ones_own_makes_a_variant_of_the_exact_file_too() -> None:
    options = BACKENDS["onnx"].options.model_validate({"evaluate": "mine.py:metric"})
    assert BACKENDS["onnx"].variants(options) == ("fp32",)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"variants": "fp9"}, "there is no fp9; there are: fp32, fp16"),
        ({"variants": ""}, "there is no "),
        ({"variants": "fp32", "dtype": "fp16"}, "leave dtype out"),
        ({"variants": "fp32", "quantize": "q4"}, "leave quantize out"),
        ({"quantize": "q4", "dtype": "checkpoint"}, "leave dtype out"),
        ({"quantize": "int4"}, "Input should be"),
        ({"dtype": "float64"}, "Input should be"),
        ({"tier": "lossless"}, "Input should be"),
        ({"evaluate": "metric"}, "String should match"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BACKENDS["onnx"].options.model_validate(asked)
