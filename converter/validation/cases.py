"""The inputs that validation tries: other shapes than the one captured, padding on both sides, real sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, Padding, lengths_at, make_inputs, makes_its_own, within
from converter.architectures.size import Size
from converter.core.reason import reason
from converter.core.typing import Array
from converter.validation.past import OwnPast

# Written for this test: short and long, with numbers, accents, another script and an emoji.
SENTENCES = (
    "The ferry leaves at seven.",
    "By noon more than four hundred carts had crossed the bridge.",
    "Où est la clé de la bibliothèque ?",
    "In 1987 it made 12,450 bicycles; now none.",
    "Good soup needs time 🍲 and salt.",
    "東京は雨です。",
)


_WORK = 2**33
"""Weights times tokens of a case that is not cut for a large model's sake: 380 tokens of all-MiniLM-L6-v2, 69 of GPT-2."""
_LONG = 2048
"""Tokens of the longest text that is tried with a small model of more positions: attention takes memory by their square."""
_LONG_OF_LARGE = 512
"""The same with a large model that has a cache: GPT-2's 1,024 tokens in one call cost as much as all other cases together."""
_FEWEST, _FEWEST_BEHIND = 24, 9
"""Tokens of a row of a large model's larger cases, and those behind a past."""
_LEAST_ROOM, _MOST_ROOM = 2**26, 2**29
"""Bytes of the longest past: as many as the weights have, between these."""
_PIXELS = (224, 224)
"""The size of an image for a model whose processor and settings name none."""
_ROW, _MOST_TOKENS = 64, 2**15
"""Tokens of a row of the case of tokens, and of the largest vocabulary that is tried whole."""
_LENGTHS = (5, 12, 25)
"""Tokens of short texts, the longer two behind a past of one: between those of the other cases."""
_ROWS = 7
"""Rows behind a long past: more than most batches have."""
SCALES: Mapping[str, float] = {"20 times as large": 20.0, "a fiftieth as large": 0.02, "nothing but zeros": 0.0}
"""The cases of measured inputs beyond their usual range, and their factors: loud, quiet, silence, an image of one colour."""
_OF_NO_TOKENS = {"height", "width", "choice"}


@dataclass(frozen=True)
class Inputs:
    """One case: its name, the length of each named axis, and the arrays."""

    name: str
    axes: Mapping[str, int]
    arrays: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One case before its arrays are made; `scale` is what floating point inputs are multiplied by."""

    name: str
    size: Size
    padding: Padding = "none"
    scale: float = 1.0
    has_special_tokens: bool = False
    begins: bool = False
    """Whether the text begins with the token that texts begin with."""


@dataclass(frozen=True)
class Maker:
    """Makes the inputs of one model: by its configuration, in the floating point type of its weights."""

    config: OnnxConfig
    dtype: str
    tokenizer: Any | None
    rng: np.random.Generator
    shapes: Sequence[Mapping[str, int]]
    """Of each shape that the artifact takes the axes, by name, that have one length in it, the longest last; none where it takes any."""
    parameters: int = 0
    """How many weights the model has: what a token costs. 0 is a model for which any size is affordable."""

    @property
    def fixed(self) -> Mapping[str, int]:
        """The fixed axes of the largest shape: nothing longer is made, and what is shorter will be padded."""
        return self.shapes[-1] if self.shapes else {}

    @property
    def longest(self) -> int:
        """The longest sequence that is tried."""
        longest = self.config.max_sequence_length
        if self.config.positions and not makes_its_own(self.config):  # a model of more positions than are tried of a large one
            longest = max(longest, min(self.config.positions, self._affordable, _LONG))
            if self.config.use_past:  # what is behind these is reached by a past
                longest = min(longest, max(_LONG_OF_LARGE, self._affordable))
        lengths: list[int] = [longest, *(() if self.config.positions else self.fixed.values())]
        return max(lengths)

    @property
    def _affordable(self) -> int:
        """How many tokens of one call cost no more than a case of a small model does."""
        return _WORK // max(1, self.parameters)

    @property
    def is_batched(self) -> bool:
        """Whether the first axis of every input and output is the batch, which may be of any size and whose rows are apart."""
        axes = (*self.config.inputs.values(), *self.config.outputs.values())
        labels = {layout.get(0) for layout in axes}
        return len(labels) == 1 and None not in labels and not labels & self.fixed.keys() and not makes_its_own(self.config)

    def longest_case(self) -> Inputs:
        """The longest text with nothing before it, in which each special token occurs; of sound at least 30 seconds."""
        sound = self.config.sound_length or 0
        if "decoder_input_ids" in self.config.inputs and self.config.positions:
            sound = min(sound, self.config.positions)  # its text is as long, and has no more positions
        longest = max(self.longest, sound)
        size = Size(batch=1, choice=1, sequence=longest, source=longest)
        return self._planned(_Plan(name="longest", size=self._fit(size, longest), has_special_tokens=True), None)

    def tokens_case(self, tokens: Mapping[str, Collection[int]]) -> Inputs | None:
        """A text of the `tokens` of each input, those that the artifact may treat apart; of all there are if that is affordable.

        None for a model without tokens, or one that takes only its configuration's own inputs.
        """
        chosen: dict[str, Array] = {}
        for name in MASKED_BY:
            vocabulary = self.config.vocab_sizes.get(name, 0)
            if name in self.config.inputs and vocabulary:
                some = [token for token in sorted(tokens.get(name, ())) if token != self.config.pad_token_id]
                every = vocabulary <= min(self._affordable, _MOST_TOKENS)
                chosen[name] = np.array([*(token for token in range(vocabulary) if token != self.config.pad_token_id)] if every else some)
        most = max((len(ids) for ids in chosen.values()), default=0)
        if not most or makes_its_own(self.config):
            return None
        length = min(self.longest, _ROW, most)
        size = self._fit(Size(batch=-(-most // length), choice=1, sequence=length, source=length))
        case = self._make("tokens", size, "none")
        arrays = dict(case.arrays)
        for name, ids in chosen.items():
            if len(ids):
                arrays[name] = np.resize(ids, arrays[name].shape).astype(np.int64)
        self.config.settle(arrays)
        return replace(case, arrays=arrays)

    def short_sound(self) -> Inputs | None:
        """Sound of one frame and a quarter, which not every model takes; None for a model that takes more than samples of sound."""
        if "samples" not in _labels(self.config) or MASKED_BY.keys() & self.config.inputs.keys() or makes_its_own(self.config):
            return None
        return self._make("short sound", self._fit(Size(batch=2, choice=1, sequence=-1, source=1)), "none")

    def grid(self, past: OwnPast | None = None) -> Iterator[Inputs]:
        """The other cases, the documented sample first; docs/validation.md has what each of them reaches.

        With a cache they go on from `past`, or from random numbers.
        """
        for plan in self._plans():
            yield self._planned(replace(plan, size=self._fit(plan.size)), past)
        for number, shape in enumerate(self.shapes, 1):
            name = "whole" if len(self.shapes) == 1 else f"the whole of bucket {number}"
            yield self._planned(_Plan(name=name, size=self._whole(shape)), past)

    def _plans(self) -> Iterator[_Plan]:
        yield _Plan(name="documented sample", size=Size(batch=2, choice=2, sequence=8, past=10, source=8, cached_source=8))
        yield _Plan(name="one token", size=Size(batch=1, choice=1, sequence=1, source=1))
        labels = set(_labels(self.config))
        if labels & {"height", "width"}:
            pixels = self.config.image_size or _PIXELS
            yield _Plan(name="the processor's size", size=Size(batch=1, choice=1, sequence=9, pixels=pixels))
        if self.config.measured:
            for name, scale in SCALES.items():
                yield _Plan(name=name, size=Size(batch=2, choice=1, sequence=9, source=9), scale=scale)
        if not labels - _OF_NO_TOKENS - {label for axes in self.config.inputs.values() for axis, label in axes.items() if axis == 0}:
            yield _Plan(name="nine", size=Size(batch=9, choice=1))
            return
        yield _Plan(name="two tokens", size=Size(batch=7, choice=2, sequence=2, source=2), padding="left")
        for length in _LENGTHS:
            past = 1 if length > _LENGTHS[0] else 0
            few = Size(batch=1, choice=1, sequence=length, past=past, source=length + past, cached_source=(length + 1) * past)
            yield _Plan(name=f"{length} tokens", size=few, begins=True)
        masked = Size(batch=3, choice=5, sequence=17, past=12, source=26, cached_source=26)
        yield _Plan(name="masked here and there", size=masked, padding="holes")
        length = max(1, min(61, self.longest - 1))
        size = self._afforded(Size(batch=9, choice=1, sequence=length, source=length))
        yield _Plan(name="padded on both sides", size=size, padding="both")
        half = self.longest // 2 + 1
        yield _Plan(name="padded left", size=self._afforded(Size(batch=2, choice=1, sequence=half, source=half)), padding="left")
        if self.config.use_past:
            yield from self._plans_with_past()

    def _plans_with_past(self) -> Iterator[_Plan]:
        longest, reach = self.longest, self._longest_past
        new = min(34, max(_FEWEST_BEHIND, self._affordable // 3))
        yield _Plan(name="a past padded left", size=Size(batch=3, sequence=new, past=12, source=26, cached_source=26), padding="left")
        long = Size(batch=_ROWS, sequence=2, past=max(1, min(reach - 1, self._past_room // (4 * _ROWS))), source=9, cached_source=9)
        yield _Plan(name="behind a long past padded left", size=long, padding="left")
        yield _Plan(name="behind the longest past", size=Size(batch=1, sequence=1, past=reach, source=longest, cached_source=longest))
        for window in self.config.windows:
            if 1 < window + 8 < reach:
                name = f"behind a past longer than the window of {window}"
                yield _Plan(name=f"{name}, one token", size=Size(batch=1, sequence=1, past=window + 8, source=9, cached_source=9))
                yield _Plan(name=name, size=Size(batch=2, sequence=9, past=window + 3, source=9, cached_source=9), padding="left")
        if "past_encoder_sequence" in _labels(self.config):
            yield _Plan(name="no past but the encoder's", size=Size(batch=2, sequence=1, source=7, cached_source=7))

    def _afforded(self, size: Size) -> Size:
        """The size, of fewer tokens for a large model: those left out are in its past, if it has one."""
        rows = size.batch * size.choice
        encoded = self.config.encoded_length
        if encoded:  # each row has an image or a sound, whatever its text
            return replace(size, batch=max(2, min(size.batch, self._affordable // encoded)))
        tokens = self._affordable // rows
        has_decoder = self.config.use_past and "past_encoder_sequence" not in _labels(self.config)
        new = min(size.sequence, max(_FEWEST_BEHIND if has_decoder else _FEWEST, tokens))
        return replace(size, sequence=new, source=min(size.source, max(_FEWEST, tokens)), past=size.sequence - new if has_decoder else 0)

    @property
    def _longest_past(self) -> int:
        """How many tokens the longest past has: all but one that the model has positions for, as far as memory goes."""
        return max(1, min(max(self.config.positions or 0, self.longest) - 1, self._past_room))

    @property
    def _past_room(self) -> int:
        """For how many tokens of a past there is memory."""
        values = 0
        for name in self.config.inputs:
            if name.startswith("past_key_values.") and ".encoder." not in name:
                dims = self.config.fixed_dims(name)
                values += dims.get(1, 1) * dims.get(3, 1)
        room = min(max(_LEAST_ROOM, 4 * self.parameters), _MOST_ROOM)
        return room // max(1, 4 * values)

    def text(self) -> Inputs:
        """Real sentences, padded to the longest, as the checkpoint's own tokenizer gives them; a decoder gets random tokens.

        Raises ValueError, in a sentence, where there is no tokenizer or where it does not fit the model.
        """
        choice = 2 if "choice" in _labels(self.config) else 1
        room = self._fit(Size(batch=len(SENTENCES) // choice, choice=choice, sequence=self.longest, source=self.longest))
        return self.of_texts(SENTENCES[: room.batch * room.choice])

    def of_texts(self, texts: Sequence[str], most: int | None = None) -> Inputs:
        """As many texts as these, of `most` tokens each; a decoder gets random tokens. Raises ValueError as `text` does."""
        if "input_ids" not in self.config.inputs:
            raise ValueError("it takes none")
        if self.tokenizer is None:
            raise ValueError("there is no tokenizer")
        padded = self.tokenizer.pad_token is not None or len(texts) == 1
        choice = 2 if "choice" in _labels(self.config) else 1
        longest = min(self.longest, most or self.longest)
        room = self._fit(Size(batch=len(texts) // choice, choice=choice, sequence=longest, source=longest))
        axes = self.config.inputs.get("input_ids", {})
        longest = lengths_at(self.config, room)[axes[max(axes)]] if axes else longest
        length = longest if padded else 4  # without padding all sentences need one length
        try:
            encoded = self.tokenizer(
                list(texts), padding=self.tokenizer.pad_token is not None, truncation=True, max_length=length, return_tensors="np"
            )
        except Exception as error:  # a tokenizer that does not work raises whatever its parts raise
            raise ValueError(f"the tokenizer fails: {reason(error)}") from error
        sequence = encoded["input_ids"].shape[1]
        shape = (room.batch, room.choice, sequence) if choice > 1 else (room.batch, sequence)
        size = self._fit(replace(room, sequence=sequence, source=sequence))
        case = self._make("sentences", size, "none")
        arrays = dict(case.arrays)
        arrays |= {name: encoded[name].astype(np.int64).reshape(shape) for name in arrays if name in encoded}
        self.config.settle(arrays)
        for name, limit in self.config.vocab_sizes.items():
            if name in arrays and arrays[name].max() >= limit:
                raise ValueError(f"the tokenizer gives {name} up to {arrays[name].max()}, the model knows {limit}")
        return replace(case, arrays=arrays)

    def at_random(self, batch: int, sequence: int) -> Inputs:
        """Random inputs of a size, or of as much of it as the model has positions for, with nothing before them."""
        choice = 2 if "choice" in _labels(self.config) else 1
        return self._make("random", self._fit(Size(batch=batch, choice=choice, sequence=sequence, source=sequence)), "none")

    def longer(self, most: int) -> Iterator[Inputs]:
        """Random inputs of twice the longest sequence that is tried otherwise, of four times, and so on, of `most` tokens at most.

        None if the model has no positions for them, or if the artifact takes no such lengths.
        """
        positions = self.config.positions or 0
        length = 2 * self.longest
        while length <= min(most, positions) and not self.shapes and not makes_its_own(self.config):
            size = Size(batch=1, choice=1, sequence=length, source=length)
            yield self._make(f"{length} tokens", size, "none")
            length *= 2

    def variations(self, past: OwnPast | None) -> Iterator[tuple[str, Inputs, Mapping[str, Inputs]]]:
        """A base case and, for each input, the same with that input alone changed; with a cache that is full, then empty.

        Each begins with a clause that says which; it is empty for a model without a cache.
        """
        new = 3 if self.config.use_past else 5  # with a cache there are as many rows as it has tensors
        full = Size(batch=1, choice=2, sequence=new, past=3, source=new + 1, cached_source=new + 1)
        yield "with a past" if self.config.use_past else "", *self._vary(self._fit(full), past)
        if self.config.use_past:
            yield "without a past", *self._vary(self._fit(replace(full, past=0, cached_source=0)), past)

    def beyond(self) -> Iterator[tuple[str, Mapping[str, Array]]]:
        """For each axis that a shape has one length for, inputs that are one longer or shorter there, right elsewhere, and of no shape."""
        for shape in self.shapes:
            whole = self._whole(shape)
            for part in ("batch", "choice", "sequence", "source"):
                length = getattr(whole, part)
                for other in (length - 1, length + 1) if length > 1 else (length + 1,):
                    case = self._make("beyond", replace(whole, **{part: other}), "none")
                    if any(all(case.axes.get(label, length) == length for label, length in bucket.items()) for bucket in self.shapes):
                        continue  # two buckets may be one apart
                    yield from ((label, case.arrays) for label, fixed in shape.items() if case.axes.get(label, fixed) != fixed)

    def _whole(self, shape: Mapping[str, int]) -> Size:
        """The size that fills a shape."""
        first = next(iter(self.config.inputs.values()))[0]
        longest = max(shape.values())
        size = Size(batch=shape.get(first, 2), choice=shape.get("choice", 2), sequence=longest, source=longest)
        return within(self.config, self._fit(size), shape)

    def _vary(self, size: Size, past: OwnPast | None) -> tuple[Inputs, Mapping[str, Inputs]]:
        base = self._make("base", size, "none", past)
        others = self._make("others", size, "none", past).arrays
        changed = {}
        for name, array in base.arrays.items():
            if not array.size:
                continue  # a past of no tokens
            other = others[name]
            if name in MASKED_BY.values():
                other = array.copy()
                first = min(size.sequence // 2, other.shape[-1] - 1)  # later ones never matter to a causal model
                other[..., :first] = 0
            elif np.array_equal(array, other):  # a configuration may make the same inputs each time
                other = np.flip(array, axis=-1).copy()
            changed[name] = replace(base, name=f"{name} changed", arrays={**base.arrays, name: other})
        return base, changed

    def _fit(self, size: Size, longest: int = 0) -> Size:
        """The size, cut to what the model has positions for and the artifact takes; without a cache nothing is past."""
        longest = longest or self.longest
        positions = max(self.config.positions or 0, longest)  # a past may be longer than any text that is tried
        if self.config.use_past and makes_its_own(self.config):
            longest = positions = max(1, longest // 2 - 2)  # as documented, its past is some tokens longer than what is new
        sequence, source = min(size.sequence, longest), min(size.source, longest)
        if not self.config.use_past:
            return within(self.config, replace(size, sequence=sequence, source=source, past=0, cached_source=0), self.fixed)
        return replace(
            size, sequence=sequence, source=source, past=min(size.past, positions - sequence), cached_source=min(size.cached_source, source)
        )

    def _planned(self, plan: _Plan, past: OwnPast | None) -> Inputs:
        case = self._make(plan.name, plan.size, plan.padding, past)
        arrays = dict(case.arrays)
        if plan.has_special_tokens:
            self._put_special_tokens(arrays)
        if plan.begins and self.config.begin is not None and "input_ids" in arrays and not makes_its_own(self.config):
            arrays["input_ids"][..., 0] = self.config.begin
        if plan.scale != 1.0:
            arrays |= {name: array * array.dtype.type(plan.scale) for name, array in arrays.items() if array.dtype.kind == "f"}
        return replace(case, arrays=arrays)

    def _put_special_tokens(self, arrays: dict[str, Array]) -> None:
        """Let each special token occur twice, behind the first token and before the last; a decoder's text begins as it does in use."""
        if makes_its_own(self.config):
            return
        tokens = sorted(self.config.special_tokens | self._tokenizers_tokens())
        for name in MASKED_BY:
            if name in arrays and arrays[name].ndim > 1:
                row = arrays[name].reshape(-1, arrays[name].shape[-1])[0]
                room = range(1, row.size - 1, 2)
                for place, token in zip(room, tokens * 2, strict=False):
                    if token < self.config.vocab_sizes.get(name, 0):
                        row[place] = token
        begin = self.config.decoder_start
        if begin is not None and "decoder_input_ids" in arrays:
            arrays["decoder_input_ids"][:, 0] = begin

    def _tokenizers_tokens(self) -> frozenset[int]:
        """The special tokens of the tokenizer that are no padding, where text is all that the model takes."""
        if self.tokenizer is None or self.config.measured or not self.config.special_tokens:
            return frozenset()
        ids = getattr(self.tokenizer, "all_special_ids", ())
        return frozenset(ids) - {self.tokenizer.pad_token_id, self.config.pad_token_id}

    def _make(self, name: str, size: Size, padding: Padding, past: OwnPast | None = None) -> Inputs:
        arrays = make_inputs(self.config, size, self.rng, padding, self.dtype, self.tokenizer)
        if past and not makes_its_own(self.config):
            past.fill(arrays, self.rng)
        lengths = {label: arrays[tensor].shape[axis] for tensor, axes in self.config.inputs.items() for axis, label in axes.items()}
        return Inputs(name, lengths, arrays)


def _labels(config: OnnxConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for axes in config.inputs.values() for label in axes.values()))
