"""A config.json whose model its weights cannot be of is refused before anything is built, and no honest one is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from converter.checkpoints.loading import load_model
from converter.checkpoints.size import check_counts
from converter.core.errors import CheckpointError
from converter.core.records import Checkpoint, Source
from tests.support.checkpoints import TINY_CONFIGS, save_tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two hundred tensors of 4 bytes."""
    folder = tmp_path_factory.mktemp("weights")
    save_file({f"w{n}": np.zeros(1, np.float32) for n in range(200)}, folder / "model.safetensors")
    return folder


def check(folder: Path, config: dict[str, Any], size: int | None = None, name: str = "model.safetensors") -> None:
    files = {name: (folder / name).stat().st_size if size is None else size}
    check_counts(Checkpoint(source=Source(name="./x", folder=folder), identity="", config=config, files=files, folder=folder), folder)


@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "num_decoder_layers"])
def test_more_layers_than_tensors_are_refused_by_whichever_name(weights: Path, key: str) -> None:
    check(weights, {key: 200})
    for config in ({key: 201}, {"text_config": {key: 10**9}}, {key: 10**4000}):
        with pytest.raises(
            CheckpointError, match=f"claims (text_config.)?{key} .* more than there are tensors in its weights, which are 200"
        ):
            check(weights, config)


def test_layers_that_share_their_weights_are_not_refused(tmp_path: Path) -> None:
    save_file({"w": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    check(tmp_path, {"model_type": "albert", "num_hidden_layers": 128})


def test_the_tensors_of_a_pickle_are_not_counted_and_are_no_more_than_its_bytes(tmp_path: Path) -> None:
    check(tmp_path, {"num_hidden_layers": 1000}, 1000, "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        check(tmp_path, {"num_hidden_layers": 1001}, 1000, "pytorch_model.bin")


def test_fewer_layers_than_none_are_refused(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="fewer than none"):
        check(weights, {"num_hidden_layers": -1})


def test_the_layers_that_gpt_neo_repeats_are_layers(weights: Path) -> None:
    check(weights, {"attention_types": [[["global", "local"], 12]]})
    for bomb in ([[["global"], 10**9]], [[["global"] * 1000, 1000]], [[["global"], 100], [["local"], 101]]):
        with pytest.raises(CheckpointError, match="claims attention_types"):
            check(weights, {"attention_types": bomb})


def test_labels_without_weights_are_refused(weights: Path) -> None:
    check(weights, {"num_labels": 1000})
    check(weights, {"num_labels": 2 * 10**6}, 2**31)
    with pytest.raises(CheckpointError, match="claims num_labels 1,000,000,000"):
        check(weights, {"num_labels": 10**9})


@given(
    st.dictionaries(
        st.sampled_from(["num_hidden_layers", "num_labels", "attention_types", "text_config", "layers", "\x1b_layers"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["num_layers", "num_labels", "a"]), inner),
        ),
    )
)
def test_any_figures_are_taken_or_refused_with_a_sentence(weights: Path, config: dict[str, Any]) -> None:
    try:
        check(weights, config)
    except CheckpointError as error:
        assert "claims" in error.message and "\x1b" not in error.message


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_no_tiny_checkpoint_is_refused_whatever_its_head_lacks(tiny: Callable[..., Path], model_type: str) -> None:
    assert load_model(tiny(model_type), "AutoModel", "float32").dtype == "float32"


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("bert", {"vocab_size": 10**8}),
        ("bert", {"vocab_size": 10**12}),
        ("bert", {"max_position_embeddings": 10**9}),
        ("bert", {"intermediate_size": 10**10}),
        ("gpt2", {"n_positions": 10**9}),
        ("gpt_neo", {"max_position_embeddings": 10**5}),
        ("t5", {"d_kv": 10**8}),
        ("t5", {"relative_attention_num_buckets": 10**9}),
    ],
    ids=str,
)
def test_tables_larger_than_any_weights_are_refused_without_making_them(tmp_path: Path, model_type: str, changes: dict[str, Any]) -> None:
    folder = save_tiny(tmp_path / "checkpoint", model_type)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=r"describes a model of [\d,.]+ GB, and its weights have 0\.000 GB"):
        load_model(folder, "AutoModel", "float32")
