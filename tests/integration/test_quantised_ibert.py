"""I-BERT in its quantised mode: integer arithmetic in floats equals transformers'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from converter.architectures import find_architecture
from converter.architectures.dummies import MASKED_BY, draw
from converter.architectures.families.ibert import patched
from converter.architectures.size import Size
from converter.checkpoints.loading import load_model
from converter.core.records import Outcome
from tests.support.checkpoints import TINY_CONFIGS

HEADS = {feature: find_architecture("ibert").auto_class(feature) for feature in find_architecture("ibert").features}


def save_calibrated(folder: Path, auto_class: str, seed: int = 0, **settings: Any) -> Path:
    """A quantised checkpoint whose activation ranges were learnt from some batches: a fresh one has ±1e-5 and gives nothing else."""
    torch.manual_seed(seed)
    calm = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_labels": 2 if "Question" in auto_class else 3}
    config = transformers.IBertConfig(**{**TINY_CONFIGS["ibert"], **calm, **settings}, quant_mode=True)
    model = getattr(transformers, auto_class).from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0 if parameter.dim() > 1 or name.endswith("bias") else 1.0, 0.1)
        model.train()
        for length in (38, 8, 8, 20) * 3:
            tokens = torch.randint(2, config.vocab_size, (4, length))
            tokens = tokens.unsqueeze(1) if "MultipleChoice" in auto_class else tokens
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("feature", HEADS)
def test_the_form_that_is_captured_gives_the_same_integers(feature: str, tmp_path: Path) -> None:
    model = load_model(save_calibrated(tmp_path, HEADS[feature]), HEADS[feature], "float32", "eager")
    config = find_architecture("ibert").configure(model.config, feature)
    rng = np.random.default_rng(1)
    for batch, length, padding in ((2, 8, "none"), (1, 1, "none"), (5, 33, "right"), (3, 17, "left"), (4, 38, "holes")):
        size = Size(batch=batch, sequence=length, choice=2)
        inputs = {name: torch.from_numpy(array) for name, array in draw(config, size, rng, padding).items()}  # type: ignore[arg-type]
        with torch.no_grad():
            expected = model.module(**inputs).to_tuple()
            with patched(model.module):
                outputs = model.module(**inputs).to_tuple()
            again = model.module(**inputs).to_tuple()
        kept = inputs[MASKED_BY["input_ids"]].bool()
        for one, other, third in zip(expected, outputs, again, strict=True):
            whole = one.shape[: kept.ndim] != kept.shape
            assert torch.equal(one if whole else one[kept], other if whole else other[kept])
            assert torch.equal(one, third)


@pytest.mark.parametrize(("feature", "layers"), [("default", 2), ("question-answering", 1)])
def test_a_quantised_checkpoint_converts_and_validates(feature: str, layers: int, convert: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = convert(save_calibrated(tmp_path / "checkpoint", HEADS[feature], num_hidden_layers=layers), feature=feature)
    assert outcome.status == "converted", outcome.failure
    assert outcome.verdict and outcome.verdict.weights.compared >= 15


def test_a_quantised_checkpoint_of_the_real_width_stores_the_checkpoints_weights_alone(
    convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Its sums run up to 2^24 and its vectors are large enough to be held against the checkpoint."""
    wide = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 1}
    outcome = convert(save_calibrated(tmp_path / "checkpoint", "AutoModel", **wide))
    assert outcome.status == "converted", outcome.failure


def test_an_ordinary_checkpoint_is_captured_as_it_is(tiny: Callable[..., Path]) -> None:
    model = load_model(tiny("ibert"), "AutoModel", "float32").module
    with patched(model):
        assert not any("forward" in vars(module) for module in model.modules())


def test_the_model_is_as_before_even_after_an_error(tmp_path: Path) -> None:
    model = load_model(save_calibrated(tmp_path, "AutoModel"), "AutoModel", "float32").module
    with pytest.raises(RuntimeError), patched(model):
        assert any("forward" in vars(module) for module in model.modules())
        raise RuntimeError
    assert not any("forward" in vars(module) for module in model.modules())


def test_the_modules_that_the_patch_knows_are_all_that_compute_in_integers(tmp_path: Path) -> None:
    """Were another added to transformers, or one renamed, this tells it."""
    from transformers.models.ibert import quant_modules

    model = load_model(save_calibrated(tmp_path, "AutoModelForMaskedLM"), "AutoModelForMaskedLM", "float32").module
    used = {type(module).__name__ for module in model.modules() if type(module).__module__ == quant_modules.__name__}
    assert used == {"QuantEmbedding", "QuantAct", "QuantLinear", "IntGELU", "IntLayerNorm", "IntSoftmax"}
