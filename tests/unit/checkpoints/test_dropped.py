"""Weights that are not loaded: another head's are named, unknown ones are an error, untrained ones are ignored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from converter.checkpoints.loading import LoadedModel, load_model
from converter.core.errors import CheckpointError
from converter.core.records import Allowed
from tests.coverage import tiny as coverage

Tensors = Mapping[str, torch.Tensor]


def with_tensors(folder: Path, to: Path, added: Tensors) -> Path:
    """A copy of a checkpoint with more tensors in its file."""
    to.mkdir()
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    save_file({**load_file(folder / "model.safetensors"), **added}, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A tiny checkpoint of any model type, each kind once."""
    made: dict[tuple[str, str], Path] = {}

    def make(model_type: str, auto_class: str) -> Path:
        key = (model_type, auto_class)
        if key not in made:
            made[key] = coverage.save_tiny(tmp_path_factory.mktemp("checkpoint"), *key)
        return made[key]

    return make


def load(folder: Path, auto_class: str = "AutoModel", **allowed: bool) -> LoadedModel:
    return load_model(folder, auto_class, "float32", allowed=Allowed(**allowed))


def mask(length: int = 64) -> torch.Tensor:
    return torch.ones(1, 1, length, length).tril()


@pytest.mark.parametrize(
    ("model_type", "saved", "auto_class", "note"),
    [
        (
            "bert",
            "AutoModelForSequenceClassification",
            "AutoModel",
            "2 weights of another head left out: classifier.bias, classifier.weight",
        ),
        ("bert", "AutoModelForPreTraining", "AutoModelForMaskedLM", "4 weights of another head left out: bert.pooler.dense.bias, "),
        ("bert", "AutoModel", "AutoModelForMaskedLM", "2 weights of another head left out: pooler.dense.bias, pooler.dense.weight"),
        ("llama", "AutoModelForCausalLM", "AutoModel", "1 weight of another head left out: lm_head.weight"),
        ("wav2vec2", "AutoModelForPreTraining", "AutoModelForCTC", "of another head left out: project_hid.bias, "),
        # from_pretrained renames these
        ("gpt_neox", "AutoModelForCausalLM", "AutoModel", "1 weight of another head left out: embed_out.weight"),
        ("segformer", "AutoModelForSemanticSegmentation", "AutoModel", "left out: decode_head."),
    ],
)
def test_the_weights_of_another_head_are_named(
    checkpoint: Callable[[str, str], Path], model_type: str, saved: str, auto_class: str, note: str
) -> None:
    (message,) = load(checkpoint(model_type, saved), auto_class).notes
    assert note in message


@pytest.mark.parametrize(
    ("model_type", "saved", "auto_class", "added"),
    [
        (
            "gpt2",
            "AutoModelForCausalLM",
            "AutoModel",
            {"transformer.h.0.attn.bias": mask(), "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)},
        ),
        ("gpt_neo", "AutoModelForCausalLM", "AutoModel", {"transformer.h.0.attn.attention.bias": mask()}),
        ("gpt_neo", "AutoModelForCausalLM", "AutoModel", {"transformer.h.0.attn.attention.masked_bias": torch.tensor(-1e9)}),
        ("gptj", "AutoModelForCausalLM", "AutoModelForCausalLM", {"transformer.h.0.attn.bias": mask()}),
        ("codegen", "AutoModelForCausalLM", "AutoModelForCausalLM", {"transformer.h.0.attn.causal_mask": mask()}),
        ("gpt_neox", "AutoModelForCausalLM", "AutoModelForCausalLM", {"gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.randn(4)}),
        ("bert", "AutoModel", "AutoModel", {"embeddings.position_ids": torch.arange(64)[None]}),
        ("bart", "AutoModelForSeq2SeqLM", "AutoModel", {"model.encoder.version": torch.tensor([3.0])}),
        ("opt", "AutoModelForCausalLM", "AutoModel", {"model.decoder.version": torch.tensor([3.0])}),
        ("m2m_100", "AutoModelForSeq2SeqLM", "AutoModel", {"model.encoder.embed_positions.weights": torch.randn(64, 32)}),
        ("xglm", "AutoModelForCausalLM", "AutoModelForCausalLM", {"model.embed_positions.weights": torch.randn(64, 32)}),
        (
            "t5",
            "AutoModelForSeq2SeqLM",
            "AutoModelForSequenceClassification",
            {"transformer.decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.randn(32, 4)},
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)
def test_what_old_versions_stored_beside_the_weights_is_neither_refused_nor_noted(
    checkpoint: Callable[[str, str], Path], tmp_path: Path, model_type: str, saved: str, auto_class: str, added: Tensors
) -> None:
    folder = checkpoint(model_type, saved)
    plain = load(folder, auto_class).notes
    assert load(with_tensors(folder, tmp_path / "old", added), auto_class).notes == plain


@pytest.mark.parametrize(
    ("model_type", "head", "tied"),
    [("gpt2", "lm_head.weight", "wte.weight"), ("t5", "lm_head.weight", "shared.weight"), ("bart", "lm_head.weight", "shared.weight")],
)
def test_a_tied_matrix_that_is_stored_twice_is_not_noted(
    checkpoint: Callable[[str, str], Path], tmp_path: Path, model_type: str, head: str, tied: str
) -> None:
    folder = checkpoint(model_type, "AutoModel")
    stored = load_file(folder / "model.safetensors")[tied]
    assert load(with_tensors(folder, tmp_path / "tied", {head: stored.clone()})).notes == ()
    assert load(with_tensors(folder, tmp_path / "untied", {head: stored + 1})).notes == (f"1 weight of another head left out: {head}",)


def test_a_head_that_no_class_of_the_type_has_is_one_where_pretraining_is_known_to_leave_it(
    checkpoint: Callable[[str, str], Path], tmp_path: Path
) -> None:
    added = {"mask_predictions.dense.weight": torch.randn(32, 32), "lm_predictions.lm_head.bias": torch.randn(120)}
    (note,) = load(with_tensors(checkpoint("deberta-v2", "AutoModel"), tmp_path / "pretrained", added)).notes
    assert note == "2 weights of another head left out: lm_predictions.lm_head.bias, mask_predictions.dense.weight"


UNKNOWN = {"linear.weight": torch.randn(16, 32), "v_head.summary.bias": torch.zeros(1)}


@pytest.fixture(scope="module")
def strange(checkpoint: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BERT with weights that no class of transformers has."""
    return with_tensors(checkpoint("bert", "AutoModel"), tmp_path_factory.mktemp("strange") / "checkpoint", UNKNOWN)


def test_weights_that_no_class_loads_are_an_error_that_names_them(strange: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"2 weights that BertModel does not load and no other head has: linear\.weight, v_head"
    ) as caught:
        load(strange)
    assert "--drop-weights" in caught.value.hint


def test_weights_that_no_class_loads_are_left_out_with_a_note_if_asked_for(strange: Path) -> None:
    assert load(strange, drop_weights=True).notes == ("2 weights left out by --drop-weights: linear.weight, v_head.summary.bias",)


def test_many_names_are_told_by_the_first_of_them(checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    folder = with_tensors(checkpoint("bert", "AutoModel"), tmp_path / "many", {f"x.{index}": torch.randn(2) for index in range(9)})
    with pytest.raises(CheckpointError, match=r"9 weights .*: x\.0, x\.1, x\.2 and 6 more$"):
        load(folder)


def test_a_pickle_and_shards_are_looked_at_as_one_file_is(strange: Path, tmp_path: Path) -> None:
    tensors = load_file(strange / "model.safetensors")
    added = {"lm_head.mask": mask(4)}
    pickled, sharded = tmp_path / "pickled", tmp_path / "sharded"
    for folder in (pickled, sharded):
        folder.mkdir()
        (folder / "config.json").write_bytes((strange / "config.json").read_bytes())
    torch.save({**tensors, **added}, pickled / "pytorch_model.bin")
    parts: dict[str, dict[str, Any]] = {"a.safetensors": tensors, "b.safetensors": added}
    for name, part in parts.items():
        save_file(part, sharded / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: name for name, part in parts.items() for key in part}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    for folder in (pickled, sharded):
        with pytest.raises(CheckpointError, match="2 weights that BertModel does not load") as caught:
            load(folder, pickle=True)
        assert "mask" not in caught.value.message


def test_a_checkpoint_whose_weights_are_all_loaded_has_no_notes(checkpoint: Callable[[str, str], Path]) -> None:
    assert load(checkpoint("bert", "AutoModelForMaskedLM"), "AutoModelForMaskedLM").notes == ()


def renamed(folder: Path, to: Path, change: Callable[[str], str]) -> Path:
    """A copy of a checkpoint with other names of its weights."""
    to.mkdir()
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = {change(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.mark.parametrize("auto_class", ["AutoModel", "AutoModelForSequenceClassification"])
@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
def test_a_prefix_of_all_names_is_told_as_such(
    prefix: str, auto_class: str, checkpoint: Callable[[str, str], Path], tmp_path: Path
) -> None:
    folder = renamed(checkpoint("bert", "AutoModelForSequenceClassification"), tmp_path / "renamed", lambda name: f"{prefix}{name}")
    for allowed in ({}, {"drop_weights": True}):  # the model would be random
        with pytest.raises(CheckpointError) as caught:
            load(folder, auto_class, **allowed)
        assert f"have names that begin with {prefix!r}" in caught.value.message
        assert f"remove {prefix!r} from the names" in caught.value.hint


def test_names_with_and_without_the_prefix_of_the_base_model_are_both_loaded(
    checkpoint: Callable[[str, str], Path], tmp_path: Path
) -> None:
    folder = renamed(checkpoint("bert", "AutoModel"), tmp_path / "renamed", lambda name: f"bert.{name}")
    assert load(folder).made_up == frozenset()


@pytest.mark.parametrize("part", ["weight_scale", "weight_scale_inv", "qweight", "qzeros", "scales", "SCB", "weight_packed"])
def test_a_part_of_a_quantized_weight_is_never_left_out(part: str, checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    name = f"encoder.layer.0.output.dense.{part}"
    folder = with_tensors(checkpoint("bert", "AutoModel"), tmp_path / "more", {name: torch.rand(3)})
    with pytest.raises(CheckpointError, match="has quantized weights") as caught:
        load(folder, drop_weights=True)
    assert name in caught.value.message and "--drop-weights" not in caught.value.hint


def test_an_adapter_that_is_not_merged_is_told_as_such(checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    name = "encoder.layer.0.attention.self.query.lora_A.default.weight"
    folder = with_tensors(checkpoint("bert", "AutoModel"), tmp_path / "more", {name: torch.rand(3, 3)})
    with pytest.raises(CheckpointError, match="has a LoRA adapter that is not merged"):
        load(folder, drop_weights=True)


@pytest.mark.parametrize("prefix", ["language_model.", "base_model.model."])
def test_a_prefix_that_ends_as_the_base_model_is_told_whole(prefix: str, checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    folder = renamed(checkpoint("llama", "AutoModelForCausalLM"), tmp_path / "renamed", lambda name: f"{prefix}{name}")
    with pytest.raises(CheckpointError) as caught:
        load(folder, "AutoModelForCausalLM")
    assert f"have names that begin with {prefix!r}" in caught.value.message
