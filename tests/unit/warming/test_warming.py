"""The built-in configurations can be converted for the feature of their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from converter import warming
from converter.architectures import Architecture, find_architecture
from converter.backends.onnx.files.graph_cache import SHAPES_NOTHING, shaping
from converter.checkpoints.fetch import read_config
from converter.core.errors import NotSupportedError
from converter.core.records import Source

SOURCES = warming.most_used()


def test_they_are_a_dozen_by_their_names_on_the_hub() -> None:
    names = [source.name for source in SOURCES]
    assert names == sorted({*names})
    assert 8 <= len(names) <= 12
    assert "google-bert/bert-base-uncased" in names


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_each_names_what_it_is_and_no_more_than_shapes_a_graph(source: Source) -> None:
    config = read_config(source)
    (trained_for,) = config["architectures"]
    assert find_architecture(config["model_type"]).choose_feature(None, [trained_for])
    assert hasattr(transformers, trained_for)
    assert config.keys() & SHAPES_NOTHING == {"architectures"}


def test_that_of_minilm_is_the_real_one(minilm: Path) -> None:
    (source,) = (source for source in SOURCES if source.name.endswith("L6-v2"))
    assert shaping(read_config(source)) == shaping(json.loads((minilm / "config.json").read_bytes()))


def test_an_architecture_of_another_package_is_refused_as_its_graphs_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    ours = find_architecture("bert")
    theirs = Architecture(
        name="theirs", model_type="bert", features=ours.features, onnx_config=ours.onnx_config, origin={"their-package": "1"}
    )
    monkeypatch.setattr(warming, "find_architecture", lambda _, classes: theirs)
    with pytest.raises(NotSupportedError, match="of another package"):
        warming.warm(Source(name="theirs", folder=tmp_path), None, tmp_path / "cache", lambda _: None)
