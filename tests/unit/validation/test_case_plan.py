"""The grid of cases reaches the lengths that docs/validation.md says that it does, for models of each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from converter.validation.case_inputs import InputGenerator
from tests.support.case_configs import CONFIGS, cases_of, generator_of, generic

PROCESSOR = {"size": {"height": 48, "width": 48}}

TABLE = [
    ("bert", "longest", {"batch": 1, "sequence": 40}),
    ("bert", "one token", {"batch": 1, "sequence": 1}),
    ("bert", "two tokens", {"batch": 7, "sequence": 2}),
    ("bert", "padded on both sides", {"batch": 9, "sequence": 39}),
    ("bert", "padded left", {"batch": 2, "sequence": 21}),
    ("gpt2 with past", "longest", {"batch": 1, "sequence": 40, "past_sequence": 0}),
    ("gpt2 with past", "documented sample", {"batch": 2, "sequence": 8, "past_sequence": 10}),
    ("gpt2 with past", "5 tokens", {"batch": 1, "sequence": 5, "past_sequence": 0}),
    ("gpt2 with past", "behind the longest past", {"batch": 1, "sequence": 1, "past_sequence": 39}),
    ("gpt2 with past", "two tokens", {"batch": 7, "sequence": 2, "past_sequence": 0}),
    ("gpt2 with past", "padded left", {"batch": 2, "sequence": 21, "past_sequence": 0}),
    ("gpt2 with past", "a past padded left", {"batch": 3, "sequence": 34, "past_sequence": 6}),
    ("gpt2 with past", "behind a long past padded left", {"batch": 7, "sequence": 2, "past_sequence": 38}),
    ("mistral with past", "longest", {"batch": 1, "sequence": 1000, "past_sequence": 0}),
    ("mistral with past", "padded on both sides", {"batch": 9, "sequence": 61, "past_sequence": 0}),
    ("mistral with past", "padded left", {"batch": 2, "sequence": 501, "past_sequence": 0}),
    ("mistral with past", "behind the longest past", {"batch": 1, "sequence": 1, "past_sequence": 999}),
    ("mistral with past", "behind a past longer than the window of 600, one token", {"batch": 1, "sequence": 1, "past_sequence": 608}),
    ("mistral with past", "behind a past longer than the window of 600", {"batch": 2, "sequence": 9, "past_sequence": 603}),
    ("t5 with past", "longest", {"batch": 1, "encoder_sequence": 512, "decoder_sequence": 512, "past_decoder_sequence": 0}),
    ("t5 with past", "longest", {"past_encoder_sequence": 0}),
    ("t5 with past", "padded left", {"batch": 2, "encoder_sequence": 257, "past_encoder_sequence": 0, "past_decoder_sequence": 0}),
    ("t5 with past", "padded on both sides", {"batch": 9, "encoder_sequence": 61, "decoder_sequence": 61, "past_encoder_sequence": 0}),
    ("t5 with past", "no past but the encoder's", {"decoder_sequence": 1, "past_decoder_sequence": 0, "past_encoder_sequence": 7}),
    ("t5 with past", "behind the longest past", {"decoder_sequence": 1, "past_decoder_sequence": 511, "past_encoder_sequence": 512}),
    ("vit", "nine", {"batch": 9}),
    ("resnet", "the processor's size", {"batch": 1, "height": 224, "width": 224}),
    ("wav2vec2", "longest", {"batch": 1, "samples": 480_080}),  # 1.0002 times 30 s, as its encoder takes them by 320
    ("whisper", "longest", {"past_encoder_sequence": 0, "past_decoder_sequence": 0}),
]


@pytest.mark.parametrize(("kind", "name", "axes"), TABLE)
def test_a_case_has_the_lengths_that_it_is_for(kind: str, name: str, axes: Mapping[str, int]) -> None:
    lengths = cases_of(kind)[name].axes
    assert {label: lengths.get(label, "missing") for label in axes} == axes, lengths


def test_short_sound_is_a_frame_and_a_quarter_long_and_what_takes_none_has_no_such_case() -> None:
    short = generator_of("wav2vec2").short_sound()
    assert short is not None and short.axes["samples"] == 400
    assert generator_of("bert").short_sound() is None
    assert generator_of("whisper").short_sound() is None  # its processor fills up all sound to half a minute
    moonshine = generic("moonshine", "automatic-speech-recognition")
    assert (
        InputGenerator(moonshine, "float32", None, np.random.default_rng(0), (), 10**5).short_sound() is None
    )  # a decoder's text is as long


def test_an_image_of_any_size_is_tried_at_the_processors_and_at_others(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), encoding="utf-8")
    config = generic("resnet", "image-classification", _name_or_path=str(tmp_path))
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), ())
    cases = {case.name: case.axes for case in generator.grid()}
    assert (cases["the processor's size"]["height"], cases["the processor's size"]["width"]) == (48, 48)
    assert len({(axes["height"], axes["width"]) for axes in cases.values()}) > 2
    assert any(axes["height"] != axes["width"] for axes in cases.values())


def test_thirty_seconds_of_sound_follow_the_processors_rate(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}), encoding="utf-8")
    config = generic("wav2vec2", "automatic-speech-recognition", _name_or_path=str(tmp_path))
    assert InputGenerator(config, "float32", None, np.random.default_rng(0), ()).longest_case().axes["samples"] == 240_080


LARGE = 200_000_000


@pytest.mark.parametrize(("kind", "half"), [("gpt2 with past", 21), ("mistral with past", 257)])
def test_a_large_decoder_gets_fewer_tokens_behind_a_past_that_reaches_as_far(kind: str, half: int) -> None:
    """The longest text is of 512 tokens there, however many positions there are."""
    small, large = cases_of(kind), cases_of(kind, 10 * LARGE)
    assert small.keys() == large.keys()
    new, past = (large["padded left"].axes[label] for label in ("sequence", "past_sequence"))
    assert (new, new + past, large["padded left"].axes["batch"]) == (9, half, 2)
    new, past = (large["padded on both sides"].axes[label] for label in ("sequence", "past_sequence"))
    assert (new, new + past, large["padded on both sides"].axes["batch"]) == (9, min(61, 2 * half - 3), 9)
    assert sum(case.arrays["input_ids"].size for case in large.values()) < sum(case.arrays["input_ids"].size for case in small.values())
    for name in [name for name in small if name.startswith("behind")]:
        assert small[name].axes == large[name].axes, name


def test_a_large_encoder_gets_fewer_tokens() -> None:
    for kind, axis in (("bert", "sequence"), ("t5 with past", "encoder_sequence")):
        small, large = cases_of(kind), cases_of(kind, 10 * LARGE)
        assert large["padded on both sides"].axes[axis] == 24 < small["padded on both sides"].axes[axis]
        assert large["padded left"].axes[axis] == min(24, small["padded left"].axes[axis])


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("parameters", [0, LARGE])
def test_no_case_is_longer_than_the_model_has_positions_for(kind: str, parameters: int) -> None:
    config = CONFIGS[kind]()
    for name, case in cases_of(kind, parameters).items():
        for label in ("sequence", "decoder_sequence"):
            past = case.axes.get(f"past_{label}", 0)
            length = case.axes.get(label, 0) + past
            assert config.positions is None or length <= config.positions, (name, case.axes)


def test_a_past_takes_no_more_memory_than_there_is_room_for() -> None:
    config = generic("mistral", "causal-lm", True, max_position_embeddings=2**20)
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), (), 10**5)
    case = next(case for case in generator.grid() if case.name == "behind the longest past")
    size = sum(array.nbytes for name, array in case.arrays.items() if name.startswith("past_key_values."))
    assert 2**25 < size <= 2**26
