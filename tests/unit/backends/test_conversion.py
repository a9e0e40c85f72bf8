"""What a conversion loads, and when."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.architectures import find_architecture
from converter.backends import BACKENDS, Conversion
from tests.support.checkpoints import save_tokenizer

pytestmark = pytest.mark.torch


@pytest.fixture
def conversion(tiny: Callable[..., Path], tmp_path: Path) -> Conversion:
    options = BACKENDS["onnx"].options(feature="default")
    return Conversion(backend=BACKENDS["onnx"], architecture=find_architecture("bert"), checkpoint=tiny("bert"), options=options)


def test_the_reference_is_loaded_once_and_the_converted_model_is_another(conversion: Conversion) -> None:
    assert conversion.reference is conversion.reference
    assert conversion.load().model.module is not conversion.reference.model.module
    assert conversion.load().model.config._attn_implementation == "eager" != conversion.reference.model.config._attn_implementation


def test_a_released_reference_leaves_the_memory_and_is_loaded_again(conversion: Conversion) -> None:
    module: weakref.ref[Any] = weakref.ref(conversion.reference.model.module)
    conversion.release()
    conversion.release()
    gc.collect()
    assert module() is None
    assert conversion.reference.model.module


def test_only_a_configuration_that_makes_its_own_inputs_gets_the_tokenizer(conversion: Conversion, tmp_path: Path) -> None:
    assert conversion.tokenizer is None
    assert conversion.load().preprocessor is None
    other = Conversion(
        backend=conversion.backend,
        architecture=conversion.architecture,
        checkpoint=save_tokenizer(tmp_path, "input_ids"),
        options=conversion.options,
    )
    assert other.tokenizer is other.tokenizer is not None


def test_the_base_stays_unless_other_precisions_alone_are_requested(conversion: Conversion) -> None:
    def of(**options: Any) -> Conversion:
        checked = conversion.backend.options.model_validate({"feature": "default", **options})
        return Conversion(
            backend=conversion.backend, architecture=conversion.architecture, checkpoint=conversion.checkpoint, options=checked
        )

    assert [(of(**options).variants, of(**options).keeps_base) for options in ({}, {"precision": "q8"}, {"precision": "fp32,q8"})] == [
        ((), True),
        (("q8",), False),
        (("fp32", "q8"), True),
    ]
