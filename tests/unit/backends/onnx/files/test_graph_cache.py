"""A graph that was captured before is found by all that shapes one, and by nothing else."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from converter.architectures import FEATURES, find_architecture
from converter.backends.cache import Cache
from converter.backends.onnx import OnnxBackend
from converter.backends.onnx.files import graph_cache as cache
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.files.graph_cache import GraphCache, graph_key, shaping
from converter.checkpoints.loading import LoadedModel, load_model
from tests.support.checkpoints import TINY_CONFIGS, save_tiny

VERSIONS = {"converter": "1", "torch": "2"}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GraphCache:
    """A cache with nothing in it, and none that was shipped."""
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "shipped")
    return GraphCache(Cache(tmp_path / "cache", VERSIONS))


def graph(name: str = "w") -> Graph:
    node = helper.make_node("Identity", [name], ["y"])
    made = helper.make_graph([node], "graph", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    return Graph(helper.make_model(made), (name,))


def key_of(folder: Path, feature: str = "default", opset: int = 20, **versions: str) -> str | None:
    model = load_model(folder, FEATURES[feature].auto_classes[0], "float32", "eager")
    config = find_architecture(model.config.model_type).configure(model.config, feature)
    return graph_key(model, config, opset, {**VERSIONS, **versions}, "model.onnx")


# --- the key --------------------------------------------------------------------------------------------------------------


def test_another_checkpoint_of_the_same_configuration_has_the_same_key(tmp_path: Path) -> None:
    named = {"id2label": {0: "no", 1: "yes", 2: "both"}, "label2id": {"no": 0, "yes": 1, "both": 2}, "finetuning_task": "mine"}
    one = save_tiny(tmp_path / "one", "bert", seed=1)
    other = save_tiny(tmp_path / "other", "bert", seed=2, **named)
    assert key_of(one) == key_of(other)
    assert key_of(one) is not None


def _changed(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str):
        yield f"{value}x"
    elif value is None:
        yield 1
    elif isinstance(value, list):
        yield [*value, 1]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_field_of_a_configuration_counts_but_those_that_shape_nothing(model_type: str) -> None:
    import transformers

    config = transformers.AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type]).to_dict()
    shaped = shaping(config)
    tried = 0
    for name, value in config.items():
        for changed in _changed(value):
            tried += 1
            assert (shaping({**config, name: changed}) != shaped) == (name not in cache.SHAPES_NOTHING), name
    assert tried > 20
    assert shaping({**config, "a_field_of_tomorrow": 1}) != shaped
    assert shaping({**config, "encoder": {"layers": 1}}) != shaping({**config, "encoder": {"layers": 2}})


def test_labels_count_by_their_number_alone() -> None:
    assert shaping({"id2label": {0: "a", 1: "b"}}) == shaping({"id2label": {0: "c", 1: "d"}})
    assert shaping({"id2label": {0: "a", 1: "b"}}) != shaping({"id2label": {0: "a"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "relu"},
        {"layer_norm_eps": 1e-6},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 2},
        {"intermediate_size": 32},
        {"vocab_size": 121},
        {"max_position_embeddings": 41},
        {"type_vocab_size": 3},
        {"pad_token_id": 1},
        {"is_decoder": True},
        {"chunk_size_feed_forward": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_checkpoint_whose_configuration_differs_in_one_field_has_another_key(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert key_of(save_tiny(tmp_path / "one", "bert")) != key_of(save_tiny(tmp_path / "other", "bert", **changes))


def test_a_feature_an_operator_set_and_a_version_are_part_of_the_key(tiny: Callable[..., Path]) -> None:
    folder = tiny("bert", "AutoModelForMaskedLM")
    keys = [
        key_of(folder),
        key_of(folder, "masked-lm"),
        key_of(folder, "token-classification"),
        key_of(folder, opset=18),
        key_of(folder, torch="3"),
        key_of(folder, onnxscript="1"),
    ]
    assert len({*keys}) == len(keys)


def test_weights_that_are_tied_are_another_graph_than_weights_that_are_equal(tmp_path: Path) -> None:
    tied, untied = (save_tiny(tmp_path / str(tie), "gpt2", "AutoModelForCausalLM", tie_word_embeddings=tie) for tie in (True, False))
    assert key_of(tied, "causal-lm") != key_of(untied, "causal-lm")
    models = [load_model(folder, "AutoModelForCausalLM", "float32", "eager") for folder in (tied, untied)]
    assert cache._tensors(models[0]) != cache._tensors(models[1])  # by the tensors too, whatever the configuration says


def test_a_change_of_our_own_sources_is_another_key(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(tiny("bert"))
    monkeypatch.setattr(cache, "_sources", lambda: "changed")
    assert key_of(tiny("bert")) != before


def test_what_no_version_describes_has_no_key(tiny: Callable[..., Path]) -> None:
    model = load_model(tiny("bert"), "AutoModel", "float32", "eager")
    config = find_architecture("bert").configure(model.config, "default")

    class TheirConfig(type(config)):  # type: ignore[misc]  # a user's own
        pass

    class TheirModel(type(model.module)):  # type: ignore[misc]  # code that a checkpoint brings
        pass

    assert graph_key(model, TheirConfig(model.config), 20, VERSIONS, "model.onnx") is None
    assert graph_key(LoadedModel(TheirModel(model.config)), config, 20, VERSIONS, "model.onnx") is None


# --- the store ------------------------------------------------------------------------------------------------------------


def test_a_graph_comes_back_as_it_was(empty: GraphCache) -> None:
    assert empty.find("a") is None
    empty.keep("a", graph())
    entry = empty.find("a")
    assert entry
    assert (entry.model, entry.weights) == (graph().model, ("w",))
    assert empty.find("b") is None
    empty.drop("a")
    assert empty.find("a") is None
    empty.drop("a")  # a second worker may drop it too


def test_a_graph_that_was_shipped_is_found_and_one_of_ones_own_goes_before_it(empty: GraphCache) -> None:
    cache.SHIPPED.mkdir()
    (cache.SHIPPED / "a.onnx.gz").write_bytes(gzip.compress(graph("shipped").to_bytes()))
    entry = empty.find("a")
    assert entry and entry.weights == ("shipped",)
    empty.keep("a", graph("ours"))
    entry = empty.find("a")
    assert entry and entry.weights == ("ours",)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_graph_that_is_cut_short_is_none_and_is_told(empty: GraphCache, caplog: pytest.LogCaptureFixture, share: float) -> None:
    empty.keep("a", graph())
    path = empty.folder / "a.onnx.gz"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert empty.find("a") is None
    assert "is captured anew" in caplog.text


def test_a_graph_with_any_byte_changed_is_none_or_the_same(empty: GraphCache) -> None:
    empty.keep("a", graph())
    path = empty.folder / "a.onnx.gz"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :])
        entry = empty.find("a")
        assert entry is None or entry.model == graph().model  # gzip's header has bytes that mean nothing


def test_a_message_of_something_else_is_no_graph() -> None:
    with pytest.raises(ValueError, match="not a captured graph"):
        Graph.from_bytes(helper.make_model(graph().model.graph).SerializeToString())
    with pytest.raises(ValueError, match="not a captured graph"):
        Graph.from_bytes(onnx.ModelProto().SerializeToString())


def test_a_folder_that_cannot_be_written_costs_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    GraphCache(Cache(tmp_path / "file", VERSIONS)).keep("a", graph())
    assert "cannot be kept" in caplog.text


def _keep_for_ever(folder: Path) -> None:
    large = graph("w" * 200_000)
    while True:
        GraphCache(Cache(folder, VERSIONS)).keep("a", large)


def test_a_graph_is_whole_however_many_write_it_and_whenever_they_are_killed(empty: GraphCache) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_keep_for_ever, args=(empty.folder.parent,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = 0
    deadline = time.monotonic() + 30
    while seen < 50 and time.monotonic() < deadline:
        entry = empty.find("a")
        assert entry is None or entry.weights == ("w" * 200_000,)
        seen += entry is not None
    for writer in writers:
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert seen == 50
    assert empty.find("a")


def test_the_versions_that_shape_a_graph_are_those_of_the_backend() -> None:
    assert {"torch", "transformers", "onnxscript", "onnx-ir", "onnx"} <= set(OnnxBackend.packages)


@pytest.mark.parametrize("weights", ["5", "{}", "[1]", "[[]]", "null", "[" * 100_000], ids=range(6))
def test_weights_that_are_no_list_of_names_are_no_graph(weights: str) -> None:
    message = onnx.ModelProto()
    message.ParseFromString(graph().to_bytes())
    message.metadata_props[0].value = weights
    with pytest.raises(ValueError, match=r"."):
        Graph.from_bytes(message.SerializeToString())


def test_a_graph_that_swells_or_never_ends_is_none_and_is_told(
    empty: GraphCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "GRAPH_LIMIT", 10**6)
    empty.keep("a", graph())
    (empty.folder / "a.onnx.gz").write_bytes(gzip.compress(bytes(10**8)))
    assert empty.find("a") is None
    assert "larger than any graph" in caplog.text
    (empty.folder / "a.onnx.gz").unlink()
    os.mkfifo(empty.folder / "a.onnx.gz")
    assert empty.find("a") is None
