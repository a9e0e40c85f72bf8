"""Stored tensors are compared with the checkpoint, and the checkpoint with the stored tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from converter.backends.stored_weight import Quantized, StoredWeight
from converter.checkpoints.loading import LoadedModel
from converter.core.records import WeightCheck
from converter.validation.reference import Reference
from converter.validation.tensors import is_made_of
from converter.validation.weights import check_variant_weights, check_weights

Array = np.ndarray


def model() -> BertModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 120}
    made = BertModel(BertConfig(**sizes, max_position_embeddings=160)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.1)
    return made


MODEL = model()
WEIGHTS = {name: tensor.numpy() for name, tensor in LoadedModel(MODEL).tensors().items()}
ATTENTION = "encoder.layer.0.attention.self"
WORDS, QUERY, KEY = "embeddings.word_embeddings.weight", f"{ATTENTION}.query.weight", f"{ATTENTION}.key.weight"
BIAS = f"{ATTENTION}.query.bias"
POSITIONS = "embeddings.position_ids"
IDS = np.arange(1, 17).reshape(2, 8)
CASES = [{"input_ids": IDS, "attention_mask": np.ones_like(IDS)}]
JOINED = np.concatenate([WEIGHTS[QUERY], WEIGHTS[KEY]])


class Stored:
    """A session of which the stored tensors alone are known."""

    def __init__(self, *weights: StoredWeight, has_all_weights: bool = True) -> None:
        self._weights, self.has_all_weights = weights, has_all_weights

    def weights(self) -> Iterator[StoredWeight]:
        return iter(self._weights)


def stored(*but: str, made: Callable[[Array], Array] = lambda array: array) -> list[StoredWeight]:
    """All tensors of an artifact of the model, without the named ones."""
    return [StoredWeight(name, made(array), name) for name, array in WEIGHTS.items() if name not in but and array.dtype == np.float32]


def checked(*weights: StoredWeight, outputs: tuple[str, ...] = ("last_hidden_state", "pooler_output"), **more: bool) -> WeightCheck:
    session = Stored(*weights, **more)
    return check_weights(session, Reference(LoadedModel(MODEL), outputs), CASES, keeps_ties=True)  # type: ignore[arg-type]


def checked_variant(*weights: StoredWeight) -> WeightCheck:
    reference = Reference(LoadedModel(MODEL), ("last_hidden_state", "pooler_output"))
    return check_variant_weights(Stored(*weights), reference, CASES)  # type: ignore[arg-type]


def problems(*weights: StoredWeight) -> list[str]:
    return [*checked(*weights).problems()]


def constant(array: Array, name: str = "constant") -> StoredWeight:
    return StoredWeight(name, array, name)


def made(array: Array, *of: str, transposed: bool = False) -> StoredWeight:
    return StoredWeight("made", array, "made", of=of, transposed=transposed)


def test_what_has_all_weights_as_they_are_is_right() -> None:
    check = checked(*stored())
    assert [*check.problems()] == []
    assert check.compared == len(stored())


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_made_of_weights_is_right_and_any_bit_of_it_that_is_not_is_found(transposed: bool) -> None:
    right = JOINED.T.copy() if transposed else JOINED
    assert problems(*stored(QUERY, KEY), made(right, QUERY, KEY, transposed=transposed)) == []
    for place in ((0, 0), (right.shape[0] - 1, right.shape[1] - 1)):
        wrong = right.copy()
        wrong[place] = np.nextafter(wrong[place], np.float32(9))
        assert checked(made(wrong, QUERY, KEY, transposed=transposed)).different == ("made",)


@pytest.mark.parametrize(
    "wrong",
    [
        made(JOINED, KEY, QUERY),
        made(JOINED, QUERY),
        made(JOINED, QUERY, KEY, KEY),
        made(JOINED, QUERY, KEY, transposed=True),
        made(JOINED[:-1], QUERY, KEY),
        made(JOINED.astype(np.float64), QUERY, KEY),
        made(np.asarray(np.float32(3)), QUERY, KEY),
        made(JOINED, QUERY, BIAS),
    ],
)
def test_what_is_made_of_other_weights_or_in_another_order_is_found(wrong: StoredWeight) -> None:
    assert checked(wrong).different == ("made",)


def test_what_is_made_of_no_weights_that_there_are_is_unknown() -> None:
    assert checked(made(JOINED, QUERY, "no.such")).unknown == ("made",)


def test_a_weight_that_is_stored_beside_what_is_made_of_it_is_stored_twice() -> None:
    alone = constant(WEIGHTS[QUERY], QUERY)
    assert checked(made(JOINED, QUERY, KEY), alone).doubled == (QUERY,)
    assert checked(made(JOINED, QUERY, KEY)).doubled == ()


# --- every weight is there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [WORDS, QUERY, BIAS, "embeddings.LayerNorm.bias"])
def test_a_weight_that_is_not_stored_is_missing(name: str) -> None:
    check = checked(*stored(name))
    assert check.missing == (name,)
    assert [*check.problems()] == [f"1 of the checkpoint's weights are not in it, {name} first"]


def test_a_weight_that_is_stored_and_no_output_takes_is_missing() -> None:
    assert checked(*stored(BIAS), replace(constant(WEIGHTS[BIAS], BIAS), is_used=False)).missing == (BIAS,)


def test_a_weight_that_no_output_of_the_checkpoint_depends_on_is_named_and_no_problem() -> None:
    check = checked(*stored("pooler.dense.weight", "pooler.dense.bias"), outputs=("last_hidden_state",))
    assert check.unneeded == ("pooler.dense.weight", "pooler.dense.bias")
    assert [*check.problems()] == []
    assert checked(*stored("pooler.dense.weight")).missing == ("pooler.dense.weight",)


def test_looking_for_what_outputs_depend_on_leaves_the_checkpoint_as_it_is() -> None:
    before = {name: array.copy() for name, array in WEIGHTS.items()}
    checked(*stored(WORDS, BIAS))
    after = LoadedModel(MODEL).tensors()
    assert all(np.array_equal(after[name].numpy(), array) for name, array in before.items())
    assert all(after[name].numpy().ctypes.data == WEIGHTS[name].ctypes.data for name in WEIGHTS)


def test_nothing_is_missing_of_what_hides_its_weights_in_code() -> None:
    assert checked(has_all_weights=False).missing == ()


@pytest.mark.parametrize("form", [np.transpose, np.copy, lambda array: array.reshape(8, -1)])
def test_a_weight_by_another_name_is_there_transposed_or_reshaped_too(form: Callable[[Array], Array]) -> None:
    assert problems(*stored(QUERY), constant(np.ascontiguousarray(form(WEIGHTS[QUERY])))) == []


def test_a_small_weight_by_another_name_is_there() -> None:
    assert problems(*stored(BIAS), constant(WEIGHTS[BIAS].copy())) == []


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
def test_a_table_in_parts_is_there_if_the_parts_make_it_whole(axis: int) -> None:
    one, other = (np.ascontiguousarray(part) for part in np.split(WEIGHTS[WORDS], [WEIGHTS[WORDS].shape[axis] // 3], axis))
    if axis:  # as columns, each part is stored transposed
        one, other = one.T.copy(), other.T.copy()
    parts = constant(one, "one"), constant(other, "other")
    assert problems(*stored(WORDS), *parts) == []
    assert checked(*stored(WORDS), parts[0]).missing == (WORDS,)


def test_a_changed_part_of_a_table_is_found() -> None:
    one, other = WEIGHTS[WORDS][:50].copy(), WEIGHTS[WORDS][50:].copy()
    other[-1, -1] = np.nextafter(other[-1, -1], np.float32(9))
    check = checked(*stored(WORDS), constant(one, "one"), constant(other, "other"))
    assert check.unknown == ("other",)
    assert check.missing == (WORDS,)


def test_a_table_of_which_rows_are_stored_is_missing_though_no_case_reaches_the_others() -> None:
    name = "embeddings.position_embeddings.weight"
    assert checked(*stored(name), constant(WEIGHTS[name][:40].copy())).missing == (name,)


# --- constants --------------------------------------------------------------------------------------------------------


class Positional(torch.nn.Module):
    """Adds a table that its forward computes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MODEL
        self.config = MODEL.config
        self.register_buffer("buckets", torch.arange(400).flip(0).reshape(20, 20), persistent=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        table = torch.sin(torch.arange(300)[:, None] * torch.linspace(0, 1, 32)[None])
        return {"last_hidden_state": self.inner(input_ids, attention_mask).last_hidden_state + table[: input_ids.shape[1]]}


def with_table(array: Array) -> WeightCheck:
    reference = Reference(LoadedModel(Positional()), ("last_hidden_state",))
    weights = [replace(weight, name=f"inner.{weight.name}") for weight in stored()]
    return check_weights(Stored(*weights, constant(array)), reference, CASES, keeps_ties=True)  # type: ignore[arg-type]


TABLE = np.sin((torch.arange(300)[:, None] * torch.linspace(0, 1, 32)[None]).numpy())


def test_a_constant_that_the_checkpoint_computes_is_right_and_one_that_is_changed_is_found() -> None:
    for right in (TABLE, TABLE.reshape(1, 300, 32), TABLE.T.copy()):
        check = with_table(right)
        assert (check.computed, check.unknown) == (1, ())
    wrong = TABLE.copy()
    wrong[299, 31] += 1e-4
    assert with_table(wrong).unknown == ("constant",)


class Scaled(torch.nn.Module):
    """Scales a weight before it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MODEL
        self.config = MODEL.config
        self.scaled = torch.nn.Parameter(torch.linspace(1, 2, 32))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        return {"last_hidden_state": self.inner(input_ids, attention_mask).last_hidden_state * (self.scaled * 3)}


def test_a_weight_of_which_a_constant_was_computed_is_there_and_one_of_which_none_was_is_missing() -> None:
    reference = Reference(LoadedModel(Scaled()), ("last_hidden_state",))
    weights = [replace(weight, name=f"inner.{weight.name}") for weight in stored()]
    right = (torch.linspace(1, 2, 32) * 3).numpy()
    for array, missing in ((right, ()), (right * np.float32(1.001), ("scaled",))):
        check = check_weights(Stored(*weights, constant(array)), reference, CASES, keeps_ties=True)  # type: ignore[arg-type]
        assert check.missing == missing


def test_a_large_constant_that_is_no_weight_and_nothing_computes_is_unknown_whatever_its_size() -> None:
    assert checked(*stored(), constant(np.full(257, 0.25, np.float32))).unknown == ("constant",)
    assert problems(*stored(), constant(np.full(255, 0.25, np.float32))) == []


def test_an_identity_is_known_and_no_other_matrix_of_zeros_and_ones() -> None:
    identity = np.eye(16, dtype=np.float32)
    assert problems(*stored(), constant(identity)) == []
    other = identity.copy()
    other[0, 1] = 1
    assert checked(*stored(), constant(other)).unknown == ("constant",)


def test_integers_are_held_against_a_buffer_of_their_size() -> None:
    buckets = np.arange(400)[::-1].reshape(20, 20)
    assert with_table(buckets.copy()).unknown == ()
    wrong = buckets.copy()
    wrong[3, 4] += 1
    assert with_table(wrong).unknown == ("constant",)
    assert with_table(np.arange(400)).unknown == ()  # it only counts
    assert with_table(np.arange(401) + 3).unknown == ()  # no buffer is like it


# --- 16 bits ----------------------------------------------------------------------------------------------------------


def bfloat16(array: Array) -> Array:
    import ml_dtypes

    return array.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("narrow", [lambda array: array.astype(np.float16), bfloat16])
def test_16_bits_are_right_if_rounded_to_nearest_and_only_in_a_variant(narrow: Callable[[Array], Array]) -> None:
    assert [*checked_variant(*stored(made=narrow)).problems()] == []
    assert len(checked(*stored(made=narrow)).different) == len(stored())
    wrong = narrow(WEIGHTS[WORDS])
    wrong.view(np.uint16)[7, 3] += 1
    assert checked_variant(*stored(WORDS, made=narrow), made(wrong, WORDS)).different == ("made",)
    hidden = checked_variant(*stored(WORDS, made=narrow), constant(wrong))
    assert (hidden.unknown, hidden.missing) == (("constant",), (WORDS,))
    assert [*checked_variant(*stored(WORDS, made=narrow), constant(narrow(WEIGHTS[WORDS]))).problems()] == []
    parts = [constant(narrow(part.copy()), str(place)) for place, part in enumerate(np.split(WEIGHTS[WORDS], 2))]
    assert [*checked_variant(*stored(WORDS, made=narrow), *parts).problems()] == []
    assert checked_variant(*stored(WORDS, made=narrow), *parts[:1]).missing == (WORDS,)


# --- integers ---------------------------------------------------------------------------------------------------------


def quantized(name: str, bits: int, block: int = 32, dtype: type = np.float32) -> Quantized:
    """By the definition: rows of the weight in blocks."""
    weight = WEIGHTS[name].astype(dtype).astype(np.float64)
    rows, columns = weight.shape
    blocks = weight.reshape(rows, -1, block)
    low, high = np.minimum(blocks.min(2), 0), np.maximum(blocks.max(2), 0)
    scales = (high - low) / (2**bits - 1)
    points = np.rint(-low / scales)
    integers = np.rint(blocks / scales[..., None] + points[..., None]).clip(0, 2**bits - 1).astype(np.uint8).reshape(rows, columns)
    if bits == 4:
        integers = integers[:, ::2] | integers[:, 1::2] << 4
    return Quantized(integers, scales.astype(dtype), points.astype(np.uint8), block, columns, bits)


def by_rows(name: str) -> Quantized:
    weight = WEIGHTS[name]
    scales = np.abs(weight).max(axis=1, keepdims=True) / 127
    points = np.zeros(scales.shape, np.int8)
    return Quantized(np.rint(weight / scales).astype(np.int8), scales, points, weight.shape[1], weight.shape[1], 8)


def as_integers(matrix: Quantized, name: str) -> StoredWeight:
    return StoredWeight("integers", matrix.integers, "integers", of=(name,), quantized=matrix)


INTEGERS = {
    "8 bits in blocks": quantized(WORDS, 8),
    "4 bits in blocks": quantized(WORDS, 4),
    "4 bits in smaller blocks": quantized(WORDS, 4, 16),
    "4 bits with scales of 16": quantized(WORDS, 4, dtype=np.float16),
    "8 bits with scales of 16": quantized(WORDS, 8, dtype=np.float16),
    "8 bits a row": by_rows(WORDS),
}


def _added(array: Array, place: tuple[int, ...], by: float) -> Array:
    changed = array.copy()
    changed[place] += np.asarray(by).astype(array.dtype)
    return changed


def _scaled(array: Array, by: float) -> Array:
    changed = array.copy()
    changed[11] *= array.dtype.type(by)
    return changed


def off_by_a_step(matrix: Quantized) -> Quantized:
    step = 1 if matrix.integers[5, 3] & 15 < 15 else -1
    return replace(matrix, integers=_added(matrix.integers, (5, 3), step))


FAULTS: dict[str, Callable[[Quantized], Quantized]] = {
    "a value that is off by a step": off_by_a_step,
    "another row": lambda matrix: replace(matrix, integers=matrix.integers[::-1]),
    "a scale that is a hundredth too large": lambda matrix: replace(matrix, scales=_scaled(matrix.scales, 1.01)),
    "a scale that is a hundredth too small": lambda matrix: replace(matrix, scales=_scaled(matrix.scales, 0.99)),
    "a scale so large that nothing is far from it": lambda matrix: replace(
        matrix,
        scales=_scaled(matrix.scales, 1e4),
        integers=np.where(np.arange(120)[:, None] == 11, 0, matrix.integers).astype(matrix.integers.dtype),
    ),
    "scales of the rows before": lambda matrix: replace(matrix, scales=np.roll(matrix.scales, 1, axis=0)),
    "a zero point that is off by one": lambda matrix: replace(matrix, zero_points=_added(matrix.zero_points, (11, 0), 1)),
    "a scale that is no number": lambda matrix: replace(matrix, scales=_scaled(matrix.scales, np.nan)),
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_are_right_if_they_are_as_near_as_their_blocks_allow(kind: str) -> None:
    assert [*checked_variant(*stored(WORDS), as_integers(INTEGERS[kind], WORDS)).problems()] == []
    assert checked(*stored(WORDS), as_integers(INTEGERS[kind], WORDS)).different == ("integers",)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_scales_and_zero_points_of_another_matrix_are_found(kind: str, fault: str) -> None:
    check = checked_variant(*stored(WORDS), as_integers(FAULTS[fault](INTEGERS[kind]), WORDS))
    assert check.different == ("integers",)


def test_rows_of_zeros_have_whatever_scale_and_nothing_else() -> None:
    matrix = by_rows(WORDS)
    empty = replace(matrix, integers=matrix.integers * (np.arange(120) != 4)[:, None].astype(np.int8))
    weight = MODEL.embeddings.word_embeddings.weight
    kept = weight.data.clone()
    try:
        weight.data[4] = 0
        for scale in (0.0, 1e-38, 1.0):
            scales = matrix.scales.copy()
            scales[4] = scale
            assert checked_variant(as_integers(replace(empty, scales=scales), WORDS)).different == ()
        wrong = replace(empty, scales=scales, integers=_added(empty.integers, (4, 0), 1))
        assert checked_variant(as_integers(wrong, WORDS)).different == ("integers",)
    finally:
        weight.data.copy_(kept)


def test_integers_that_stand_for_no_weight_are_unknown() -> None:
    assert checked_variant(*stored(), StoredWeight("integers", by_rows(WORDS).integers, 1, quantized=by_rows(WORDS))).unknown == (
        "integers",
    )


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.float32), (4, np.float32), (8, np.float16), (4, np.float16)])
def test_what_onnxruntime_makes_of_trained_matrices_is_right(bits: int, dtype: type, minilm: Path) -> None:
    """It adds a zero point in float32 before it rounds, so that a value may be a little more than half a step off."""
    from onnxruntime.capi import _pybind_state
    from safetensors.numpy import load_file

    quantize = getattr(_pybind_state, f"quantize_matmul_{bits}bits")
    for name, weight in load_file(minilm / "model.safetensors").items():
        if not name.endswith(("dense.weight", "query.weight")):
            continue
        columns, blocks = weight.shape[1], weight.shape[1] // 32
        integers = np.zeros((len(weight), blocks, 4 * bits), np.uint8)
        points, scales = np.zeros((len(weight), blocks * bits // 8), np.uint8), np.zeros((len(weight), blocks), dtype)
        quantize(integers, np.ascontiguousarray(weight.T.astype(dtype)), scales, points, 32, len(weight), columns, False)
        if bits == 4:
            points = np.stack([points & 15, points >> 4], -1).reshape(len(weight), -1)
        made = Quantized(integers.reshape(len(weight), -1), scales, points, 32, columns, bits)
        assert is_made_of(StoredWeight(name, made.integers, name, quantized=made), [weight], narrow=True), name
