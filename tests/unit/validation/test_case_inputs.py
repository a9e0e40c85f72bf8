"""The arrays of a case hold what it is for: special tokens, padding on each side, large values, one input changed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator
from tests.support.case_configs import CONFIGS, cases_of, generator_of, generic


@pytest.mark.parametrize("kind", ["bert", "gpt2 with past", "mistral with past", "t5 with past"])
def test_the_longest_case_has_no_holes_and_every_special_token(kind: str) -> None:
    generator = generator_of(kind)
    case = generator.longest_case()
    special = generator.config.special_tokens
    assert special
    for name, array in case.arrays.items():
        if name.endswith("attention_mask"):
            assert array.all()
        if name.endswith("input_ids"):
            assert all((array == token).sum() >= 2 for token in special), name
            assert (
                generator.config.pad_token_id is None or name == "decoder_input_ids" or not (array == generator.config.pad_token_id).any()
            )


def test_beside_images_the_token_that_ends_a_text_alone_occurs_twice() -> None:
    config = generic("clip", "zero-shot-image-classification")
    end = config._config.text_config.eos_token_id
    assert config.special_tokens == {end}
    case = InputGenerator(config, "float32", SimpleNamespace(all_special_ids=[3, 55]), np.random.default_rng(0), (), 10**5).longest_case()
    ids = case.arrays["input_ids"]
    assert ids[0, 1] == ids[0, 3] == end  # and none of the tokenizer's, which may stand for an image


def test_the_tokenizers_special_tokens_are_tried_too() -> None:
    tokenizer = SimpleNamespace(all_special_ids=[3, 55, 90, 500], pad_token_id=3)
    generator = generator_of("bert", tokenizer=tokenizer)
    ids = set(generator.longest_case().arrays["input_ids"].ravel().tolist())
    assert {7, 8, 55, 90} <= ids and not {3, 500} & ids - {3}


def test_a_decoders_text_begins_with_the_token_that_it_begins_with_in_use() -> None:
    assert generator_of("t5 with past").config.decoder_start == 0
    assert generator_of("t5 with past").longest_case().arrays["decoder_input_ids"][0, 0] == 0


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


def tokens_of(generator: InputGenerator, **tokens: set[int]) -> dict[str, Array] | None:
    case = generator.tokens_case(tokens)
    return None if case is None else dict(case.arrays)


def test_all_tokens_of_a_small_model_are_tried() -> None:
    generator = generator_of("bert")
    arrays = tokens_of(generator)
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == set(range(120)) - {0}  # without that of padding
    assert arrays["input_ids"].shape[1] <= generator.planner.longest and arrays["attention_mask"].all()


def test_of_a_large_model_the_tokens_are_tried_that_the_artifact_treats_apart() -> None:
    arrays = tokens_of(generator_of("bert", 10**9), input_ids={0, 77, 78, 119})
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == {77, 78, 119}
    assert tokens_of(generator_of("bert", 10**9), input_ids=set()) is None
    assert tokens_of(generator_of("bert", 10**9)) is None


def test_tokens_are_tried_in_the_decoders_text_too() -> None:
    arrays = tokens_of(generator_of("t5 with past", 10**9), input_ids={44}, decoder_input_ids={77, 78})
    assert arrays is not None
    assert set(arrays["input_ids"].ravel().tolist()) == {44}
    assert set(arrays["decoder_input_ids"].ravel().tolist()) == {77, 78}
    assert arrays["past_key_values.0.decoder.key"].shape[2] == 0


@pytest.mark.parametrize("kind", ["vit", "wav2vec2"])
def test_what_takes_no_tokens_has_no_case_of_them(kind: str) -> None:
    assert tokens_of(generator_of(kind), input_ids={5}) is None


def test_inputs_vary_with_a_past_and_without() -> None:
    variations = {where: (base, changed) for where, base, changed in generator_of("gpt2 with past").variations(None)}
    assert [*variations] == ["with a past", "without a past"]
    assert {where: base.axes["past_sequence"] for where, (base, _) in variations.items()} == {"with a past": 3, "without a past": 0}
    for where, (base, changed) in variations.items():
        for name, case in changed.items():
            others = {other for other in base.arrays if not np.array_equal(base.arrays[other], case.arrays[other])}
            assert others == ({name} if base.arrays[name].size else set()), (where, name)
    assert [where for where, *_ in generator_of("bert").variations(None)] == [""]


@pytest.mark.parametrize("kind", ["bert", "gpt2 with past", "t5 with past"])
def test_a_mask_is_varied_at_its_first_tokens_that_others_look_back_to(kind: str) -> None:
    """To a causal model the last tokens of a row matter nowhere but at themselves."""
    for _, base, changed in generator_of(kind).variations(None):
        for name in [name for name in changed if name.endswith("attention_mask")]:
            mask = changed[name].arrays[name]
            assert base.arrays[name].all() and not mask[:, 0].any() and mask[:, 2:].all()


def test_a_mask_of_one_token_is_not_varied() -> None:
    generator = InputGenerator(CONFIGS["bert"](), "float32", None, np.random.default_rng(0), ({"sequence": 1},), 10**5)
    ((_, base, changed),) = generator.variations(None)
    assert base.axes["sequence"] == 1 and changed["attention_mask"].arrays["attention_mask"].all()
