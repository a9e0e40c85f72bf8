"""The layout of inputs follows from settings, anywhere in a configuration, and from a checkpoint's processor."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from converter.architectures.generic.inputs import Layout, draw, has_other_parts, layouts, lengths, placeholder, setting

FREE = Layout({0: "batch", 2: "height", 3: "width"}, {1: 3})


def fixed(height: int, width: int, channels: int = 3) -> Layout:
    return Layout({0: "batch"}, {1: channels, 2: height, 3: width})


def part(**settings: Any) -> SimpleNamespace:
    return SimpleNamespace(to_dict=dict, **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_size": 32, "num_channels": 1}, [fixed(32, 32, 1), Layout(FREE.axes, {1: 1})]),
        ({"image_size": [32, 48]}, [fixed(32, 48), FREE]),
        ({"image_size": {"height": 32, "width": 48}}, [fixed(32, 48), FREE]),
        ({"image_size": {"shortest_edge": 32}}, [FREE]),
        ({"vision_config": part(image_size=16)}, [fixed(16, 16), FREE]),
        ({"encoder": part(vision_config=part(image_size=16))}, [fixed(16, 16), FREE]),
        ({"eval_size": None}, [fixed(640, 640), FREE]),
        ({"eval_size": [64, 96]}, [fixed(64, 96), FREE]),
        ({}, [FREE]),
    ],
)
def test_an_image_is_of_the_size_that_is_named_and_else_of_any(settings: dict[str, Any], expected: list[Layout]) -> None:
    assert list(layouts("pixel_values", SimpleNamespace(**settings)))[: len(expected)] == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"crop_size": {"height": 24, "width": 20}, "do_center_crop": True, "size": {"shortest_edge": 30}}, [fixed(24, 20), fixed(32, 32)]),
        ({"size": {"height": 24, "width": 24}}, [fixed(24, 24), fixed(32, 32)]),
        ({"size": 24, "do_center_crop": False, "crop_size": 8}, [fixed(24, 24), fixed(32, 32)]),
        ({"size": {"shortest_edge": 24}}, [fixed(32, 32)]),
        ({"size": 24, "do_resize": False}, [fixed(32, 32)]),
        ({"size": ["a", "b"]}, [fixed(32, 32)]),
        ([], [fixed(32, 32)]),
    ],
)
def test_what_the_processor_gives_comes_first(settings: Any, expected: list[Layout], tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    config = SimpleNamespace(image_size=32, _name_or_path=str(tmp_path))
    assert list(layouts("pixel_values", config))[: len(expected)] == expected


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "x" * 2_000_000])
def test_a_processor_that_cannot_be_read_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text, encoding="utf-8")
    config = SimpleNamespace(image_size=32, _name_or_path=str(tmp_path))
    assert layouts("pixel_values", config)[0] == fixed(32, 32)


def test_a_model_without_a_size_of_its_own_takes_any_whatever_the_processor_gives(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 24}), encoding="utf-8")
    assert layouts("pixel_values", SimpleNamespace(_name_or_path=str(tmp_path)))[0] == FREE


def test_any_size_is_taken_where_that_is_asked_for() -> None:
    assert layouts("pixel_values", SimpleNamespace(image_size=32), any_image_size=True) == (FREE,)
    assert layouts("input_values", SimpleNamespace(), any_image_size=True)[0] == Layout({0: "batch", 1: "samples"})


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("input_features", {"num_mel_bins": 16, "max_source_positions": 50}, Layout({0: "batch"}, {1: 16, 2: 100})),
        ("input_features", {"feature_size": 8}, Layout({0: "batch", 1: "frames"}, {2: 8})),
        ("input_values", {"num_mel_bins": 16, "max_length": 32, "frequency_stride": 2}, Layout({0: "batch"}, {1: 32, 2: 16})),
        ("past_values", {"context_length": 12, "num_input_channels": 3}, Layout({0: "batch"}, {1: 12, 2: 3})),
    ],
)
def test_a_sound_or_a_series_has_the_axes_that_its_settings_leave(name: str, settings: dict[str, Any], expected: Layout) -> None:
    assert layouts(name, SimpleNamespace(**settings))[0] == expected


def test_an_input_that_nobody_knows_has_no_layout() -> None:
    assert layouts("somebodys_values", SimpleNamespace()) == ()


def test_a_setting_is_found_in_the_parts_too_and_the_whole_goes_before_them() -> None:
    config = SimpleNamespace(num_channels=1, text_config=part(num_channels=2, hidden_size=8))
    assert setting(config, "num_channels") == 1
    assert setting(config, "missing", "hidden_size") == 8
    assert setting(config, "missing") is None


def test_images_are_of_whole_patches_and_no_two_texts_that_follow_one_another_have_images_of_one_size() -> None:
    for patch, unit in ((14, 28), (16, 32), ([2, 2], 32), (None, 32)):
        sizes = [lengths(sequence, SimpleNamespace(patch_size=patch)) for sequence in range(1, 5)]
        assert all(size[side] % unit == 0 for size in sizes for side in ("height", "width"))
        assert all(one["height"] != other["height"] for one, other in pairwise(sizes))


@pytest.mark.parametrize("ratio", [40, lambda: 40])
def test_a_sound_has_a_frame_for_each_token_and_more(ratio: Any) -> None:
    assert lengths(3, SimpleNamespace(inputs_to_logits_ratio=ratio))["samples"] == 40 * 5 + 10


def test_values_are_of_their_kind() -> None:
    rng = np.random.default_rng(0)
    boxes = draw("bbox", (2, 5, 4), rng, SimpleNamespace(max_2d_position_embeddings=20))
    assert boxes.dtype == np.int64
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    assert boxes.max() < 20
    mask = draw("pixel_mask", (3, 8, 6), rng, SimpleNamespace())
    assert mask[0].all()
    assert set(np.unique(mask)) == {0, 1}
    assert draw("pixel_values", (2, 3, 4, 4), rng, SimpleNamespace()).dtype == np.float64


def test_a_token_in_the_place_of_an_image_is_found_by_its_setting() -> None:
    assert placeholder(SimpleNamespace(image_token_id=7)) == "image_token_id"
    assert placeholder(SimpleNamespace(image_token_id=None, audio_token_index=7)) == "audio_token_index"
    assert placeholder(SimpleNamespace()) == ""
    assert has_other_parts(SimpleNamespace(vision_config=part()))
    assert not has_other_parts(SimpleNamespace(text_config=part()))
