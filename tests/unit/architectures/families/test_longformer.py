"""Longformer is captured in another form than it is computed in: the two have to be one function, and the change undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from converter.architectures.families.longformer import patched
from converter.backends.onnx.export import export
from converter.backends.onnx.session import OnnxSession
from converter.onnx import FeaturesManager
from tests.support.checkpoints import TINY_CONFIGS

Arrays = dict[str, np.ndarray[Any, np.dtype[np.int64]]]


def make_model(auto_class: str = "AutoModel", **changes: Any) -> Any:
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model("longformer", **{**TINY_CONFIGS["longformer"], **changes})
    model = getattr(transformers, auto_class).from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def inputs(batch: int, length: int, masked: str = "nothing", marked: str = "random") -> Arrays:
    rng = np.random.default_rng(batch * 100 + length)
    mask = np.ones((batch, length), np.int64)
    if masked == "holes":
        mask = (rng.random((batch, length)) > 0.4).astype(np.int64)
    elif masked == "a row":
        mask[-1] = 0
    elif masked != "nothing":
        for row in mask:
            cut = int(rng.integers(0, length))
            row[slice(None, cut) if masked == "left" else slice(length - cut, None)] = 0
    tokens = np.where(mask == 1, rng.integers(2, 120, (batch, length)), 1)
    counts = {"none": 0.0, "all": 1.0, "random": 0.3}
    glob = (rng.random((batch, length)) < counts.get(marked, 0.0)).astype(np.int64)
    if marked == "first":
        glob[:, 0] = 1
    elif marked == "uneven":
        for index, row in enumerate(glob):
            row[: index % (length + 1)] = 1
    return {"input_ids": tokens, "attention_mask": mask, "global_attention_mask": glob}


def all_inputs() -> Iterator[Arrays]:
    for batch, length in ((1, 1), (1, 3), (2, 4), (3, 9), (2, 16), (1, 31), (4, 5)):
        for masked in ("nothing", "left", "right", "holes", "a row"):
            for marked in ("none", "all", "random", "first", "uneven"):
                yield inputs(batch, length, masked, marked)


def run(model: Any, arrays: Arrays) -> torch.Tensor:
    with torch.no_grad():
        return model(**{name: torch.from_numpy(array) for name, array in arrays.items()})[0]


@pytest.mark.parametrize("windows", [[4, 4], [4, 8], [16, 4]], ids=str)
def test_the_form_that_is_captured_computes_what_longformer_does_whatever_is_masked_or_global(windows: list[int]) -> None:
    model = make_model(attention_window=windows)
    for arrays in all_inputs():
        expected = run(model, arrays)
        with patched(model):
            outputs = run(model, arrays)
        torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(run(model, arrays), expected)


def test_the_model_is_as_before_even_after_an_error() -> None:
    model = make_model()
    before = [dict(module.__dict__) for module in model.modules()]
    with pytest.raises(RuntimeError), patched(model):
        assert [dict(module.__dict__) for module in model.modules()] != before
        raise RuntimeError
    assert [dict(module.__dict__) for module in model.modules()] == before


def test_nothing_of_a_model_that_holds_no_longformer_is_changed() -> None:
    model = torch.nn.Linear(2, 2)
    with patched(model):
        assert "forward" not in model.__dict__


def test_the_window_of_real_checkpoints_is_captured_at_a_length_that_fits_into_it_and_runs_at_any(tmp_path: Path) -> None:
    """Captured at 8 tokens there is but one block of a window of 512, and that must not become a fact."""
    model = make_model("AutoModelForTokenClassification", attention_window=[512, 512], max_position_embeddings=1400)
    config = FeaturesManager.get_config("longformer", "token-classification")(model.config)
    export(None, model, config, None, tmp_path / "model.onnx")
    session = OnnxSession(tmp_path / "model.onnx")
    for arrays in (inputs(2, 1), inputs(1, 300, "right"), inputs(1, 1025, "left", "first"), inputs(2, 700, marked="none")):
        expected = run(model, arrays).numpy()
        kept = arrays["attention_mask"].astype(bool)
        np.testing.assert_allclose(session.run(arrays)["logits"][kept], expected[kept], rtol=1e-5, atol=1e-5)


def test_the_private_names_that_the_patch_relies_on_are_there() -> None:
    model = make_model()
    attention = model.encoder.layer[0].attention.self
    for name in (
        "query",
        "key",
        "value",
        "query_global",
        "key_global",
        "value_global",
        "num_heads",
        "head_dim",
        "one_sided_attn_window_size",
    ):
        assert hasattr(attention, name)
    masks: list[object] = []
    mark = (object(),)
    hook: Callable[..., None] = lambda module, args, kwargs: masks.append(kwargs.get("attention_mask", args[1:]))  # noqa: E731
    attention.register_forward_pre_hook(hook, with_kwargs=True)
    with pytest.raises((TypeError, AttributeError)):  # a layer passes the mask on unchanged, and the attention ignores it
        model.encoder.layer[0](torch.zeros(1, 8, 32), attention_mask=mark)
    assert mark in masks or (mark,) in masks
