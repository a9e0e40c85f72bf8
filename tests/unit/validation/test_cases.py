"""The grid of cases reaches what docs/explanation/validation.md says that it does, for models of each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

from converter.architectures import GenericOnnxConfig, OnnxConfig, find_architecture
from converter.core.typing import Array
from converter.validation.cases import Inputs, Maker
from tests.coverage.tiny import tiny_config
from tests.support.checkpoints import TINY_CONFIGS

PROCESSOR = {"size": {"height": 48, "width": 48}}


def documented(model_type: str, feature: str, **changes: Any) -> OnnxConfig:
    config = transformers.AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type] | changes)
    return find_architecture(model_type).configure(config, feature)


def generic(model_type: str, task: str, use_past: bool = False, **changes: Any) -> OnnxConfig:
    config = tiny_config(model_type)
    for name, value in changes.items():
        setattr(config, name, value)
    return GenericOnnxConfig(config, task=task, use_past=use_past)


CONFIGS = {
    "bert": lambda: documented("bert", "masked-lm", bos_token_id=7, eos_token_id=8, pad_token_id=0),
    "gpt2 with past": lambda: documented("gpt2", "causal-lm-with-past"),
    "t5 with past": lambda: documented("t5", "seq2seq-lm-with-past", eos_token_id=1, pad_token_id=0),
    "mistral with past": lambda: generic(
        "mistral", "causal-lm", True, sliding_window=600, max_position_embeddings=1000, bos_token_id=1, eos_token_id=[2, 5]
    ),
    "vit": lambda: generic("vit", "image-classification"),
    "resnet": lambda: generic("resnet", "image-classification"),
    "wav2vec2": lambda: generic("wav2vec2", "automatic-speech-recognition"),
    "whisper": lambda: generic("whisper", "automatic-speech-recognition", True),
}


def maker_of(kind: str, parameters: int = 10**5, tokenizer: Any = None) -> Maker:
    return Maker(CONFIGS[kind](), "float32", tokenizer, np.random.default_rng(0), (), parameters)


def cases_of(kind: str, parameters: int = 10**5) -> dict[str, Inputs]:
    maker = maker_of(kind, parameters)
    cases = [*maker.grid(), maker.longest_case()]
    assert len({case.name for case in cases}) == len(cases)
    return {case.name: case for case in cases}


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


@pytest.mark.parametrize("kind", ["bert", "gpt2 with past", "mistral with past", "t5 with past"])
def test_the_longest_case_has_no_holes_and_every_special_token(kind: str) -> None:
    maker = maker_of(kind)
    case = maker.longest_case()
    special = maker.config.special_tokens
    assert special
    for name, array in case.arrays.items():
        if name.endswith("attention_mask"):
            assert array.all()
        if name.endswith("input_ids"):
            assert all((array == token).sum() >= 2 for token in special), name
            assert maker.config.pad_token_id is None or name == "decoder_input_ids" or not (array == maker.config.pad_token_id).any()


def test_beside_images_the_token_that_ends_a_text_alone_occurs_twice() -> None:
    config = generic("clip", "zero-shot-image-classification")
    end = config._config.text_config.eos_token_id
    assert config.special_tokens == {end}
    case = Maker(config, "float32", SimpleNamespace(all_special_ids=[3, 55]), np.random.default_rng(0), (), 10**5).longest_case()
    ids = case.arrays["input_ids"]
    assert ids[0, 1] == ids[0, 3] == end  # and none of the tokenizer's, which may be a placeholder for an image


def test_short_sound_is_a_frame_and_a_quarter_long_and_what_takes_none_has_no_such_case() -> None:
    short = maker_of("wav2vec2").short_sound()
    assert short is not None and short.axes["samples"] == 400
    assert maker_of("bert").short_sound() is None
    assert maker_of("whisper").short_sound() is None  # its processor fills up all sound to half a minute
    moonshine = generic("moonshine", "automatic-speech-recognition")
    assert Maker(moonshine, "float32", None, np.random.default_rng(0), (), 10**5).short_sound() is None  # a decoder's text is as long


def test_the_tokenizers_special_tokens_are_tried_too() -> None:
    tokenizer = SimpleNamespace(all_special_ids=[3, 55, 90, 500], pad_token_id=3)
    maker = maker_of("bert", tokenizer=tokenizer)
    ids = set(maker.longest_case().arrays["input_ids"].ravel().tolist())
    assert {7, 8, 55, 90} <= ids and not {3, 500} & ids - {3}


def test_a_decoders_text_begins_with_the_token_that_it_begins_with_in_use() -> None:
    assert maker_of("t5 with past").config.decoder_start == 0
    assert maker_of("t5 with past").longest_case().arrays["decoder_input_ids"][0, 0] == 0


@pytest.mark.parametrize(
    ("kind", "mask"), [("bert", "attention_mask"), ("gpt2 with past", "attention_mask"), ("t5 with past", "attention_mask")]
)
def test_each_side_is_padded(kind: str, mask: str) -> None:
    cases = cases_of(kind)
    left, both = cases["padded left"].arrays[mask], cases["padded on both sides"].arrays[mask]
    assert left[0].all() and both[0].all()  # the length is really used
    assert not left[:, 0].all() and left[:, -1].all() and (np.diff(left) >= 0).all()
    assert not both[:, 0].all() and not both[:, -1].all() and both.any(axis=1).all()
    assert ((np.diff(both) == -1).sum(axis=1) <= 1).all() and ((np.diff(both) == 1).sum(axis=1) <= 1).all()  # one stretch a row
    holes = cases["masked here and there"].arrays[mask]
    assert (np.diff(holes) == -1).any() and (np.diff(holes) == 1).any()


@pytest.mark.parametrize("kind", ["vit", "resnet", "wav2vec2"])
def test_measured_inputs_are_tried_at_twenty_times_their_size(kind: str) -> None:
    cases = cases_of(kind)
    (name,) = CONFIGS[kind]().measured
    usual, large = (float(cases[case].arrays[name].std()) for case in ("documented sample", "20 times as large"))
    assert usual == pytest.approx(1, abs=0.2) and large == pytest.approx(20, abs=4)
    assert cases["20 times as large"].arrays[name].dtype == np.float32


def test_an_image_of_any_size_is_tried_at_the_processors_and_at_others(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), encoding="utf-8")
    config = generic("resnet", "image-classification", _name_or_path=str(tmp_path))
    maker = Maker(config, "float32", None, np.random.default_rng(0), ())
    cases = {case.name: case.axes for case in maker.grid()}
    assert (cases["the processor's size"]["height"], cases["the processor's size"]["width"]) == (48, 48)
    assert len({(axes["height"], axes["width"]) for axes in cases.values()}) > 2
    assert any(axes["height"] != axes["width"] for axes in cases.values())


def test_thirty_seconds_of_sound_follow_the_processors_rate(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}), encoding="utf-8")
    config = generic("wav2vec2", "automatic-speech-recognition", _name_or_path=str(tmp_path))
    assert Maker(config, "float32", None, np.random.default_rng(0), ()).longest_case().axes["samples"] == 240_080


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
    maker = Maker(config, "float32", None, np.random.default_rng(0), (), 10**5)
    case = next(case for case in maker.grid() if case.name == "behind the longest past")
    size = sum(array.nbytes for name, array in case.arrays.items() if name.startswith("past_key_values."))
    assert 2**25 < size <= 2**26


# tokens


def tokens_of(maker: Maker, **tokens: set[int]) -> dict[str, Array] | None:
    case = maker.tokens_case(tokens)
    return None if case is None else dict(case.arrays)


def test_all_tokens_of_a_small_model_are_tried() -> None:
    maker = maker_of("bert")
    arrays = tokens_of(maker)
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == set(range(120)) - {0}  # without the padding token
    assert arrays["input_ids"].shape[1] <= maker.longest and arrays["attention_mask"].all()


def test_of_a_large_model_the_tokens_are_tried_that_the_artifact_treats_apart() -> None:
    arrays = tokens_of(maker_of("bert", 10**9), input_ids={0, 77, 78, 119})
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == {77, 78, 119}
    assert tokens_of(maker_of("bert", 10**9), input_ids=set()) is None
    assert tokens_of(maker_of("bert", 10**9)) is None


def test_tokens_are_tried_in_the_decoders_text_too() -> None:
    arrays = tokens_of(maker_of("t5 with past", 10**9), input_ids={44}, decoder_input_ids={77, 78})
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == {44}
    assert set(arrays["decoder_input_ids"].ravel().tolist()) == {77, 78}
    assert arrays["past_key_values.0.decoder.key"].shape[2] == 0


@pytest.mark.parametrize("kind", ["vit", "wav2vec2"])
def test_what_takes_no_tokens_has_no_case_of_them(kind: str) -> None:
    assert tokens_of(maker_of(kind), input_ids={5}) is None


def test_inputs_vary_with_a_past_and_without() -> None:
    variations = {where: (base, changed) for where, base, changed in maker_of("gpt2 with past").variations(None)}
    assert [*variations] == ["with a past", "without a past"]
    assert {where: base.axes["past_sequence"] for where, (base, _) in variations.items()} == {"with a past": 3, "without a past": 0}
    for where, (base, changed) in variations.items():
        for name, case in changed.items():
            others = {other for other in base.arrays if not np.array_equal(base.arrays[other], case.arrays[other])}
            assert others == ({name} if base.arrays[name].size else set()), (where, name)
    assert [where for where, *_ in maker_of("bert").variations(None)] == [""]


@pytest.mark.parametrize("kind", ["bert", "gpt2 with past", "t5 with past"])
def test_a_mask_is_varied_at_its_first_tokens_that_others_look_back_to(kind: str) -> None:
    """To a causal model the last tokens of a row matter nowhere but at themselves."""
    for _, base, changed in maker_of(kind).variations(None):
        for name in [name for name in changed if name.endswith("attention_mask")]:
            mask = changed[name].arrays[name]
            assert base.arrays[name].all() and not mask[:, 0].any() and mask[:, 2:].all()


def test_a_mask_of_one_token_is_not_varied() -> None:
    maker = Maker(CONFIGS["bert"](), "float32", None, np.random.default_rng(0), ({"sequence": 1},), 10**5)
    ((_, base, changed),) = maker.variations(None)
    assert base.axes["sequence"] == 1 and changed["attention_mask"].arrays["attention_mask"].all()
