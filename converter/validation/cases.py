"""The inputs that validation tries: other shapes than the one captured, padding on both sides, real sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.config import Size
from converter.architectures.dummies import MASKED_BY, Array, Padding, lengths_at, make_inputs, makes_its_own, within
from converter.errors import reason

# Written for this test: short and long, with numbers, accents, another script and an emoji.
SENTENCES = (
    "The ferry leaves at seven.",
    "By noon more than four hundred carts had crossed the bridge.",
    "Où est la clé de la bibliothèque ?",
    "In 1987 it made 12,450 bicycles; now none.",
    "Good soup needs time 🍲 and salt.",
    "東京は雨です。",
)


@dataclass(frozen=True)
class Inputs:
    """One case: its name, the length of each named axis, and the arrays."""

    name: str
    axes: Mapping[str, int]
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class Maker:
    """Makes the inputs of one model: by its configuration, in the floating point type of its weights."""

    config: OnnxConfig
    dtype: str
    tokenizer: Any | None
    rng: np.random.Generator
    shapes: Sequence[Mapping[str, int]]
    """Of each shape that the artifact takes the axes, by name, that have one length in it, the longest last; none where it takes any."""

    @property
    def fixed(self) -> Mapping[str, int]:
        """The fixed axes of the largest shape: nothing longer is made, and what is shorter will be padded."""
        return self.shapes[-1] if self.shapes else {}

    @property
    def longest(self) -> int:
        """The longest sequence that is tried."""
        lengths: list[int] = [self.config.max_sequence_length, *(() if self.config.positions else self.fixed.values())]
        return max(lengths)

    @property
    def is_batched(self) -> bool:
        """Whether the first axis of every input and output is the batch, which may be of any size and whose rows are apart."""
        axes = (*self.config.inputs.values(), *self.config.outputs.values())
        labels = {each.get(0) for each in axes}
        return len(labels) == 1 and None not in labels and not labels & self.fixed.keys() and not makes_its_own(self.config)

    def grid(self) -> Iterator[Inputs]:
        """Random inputs at batch 1, 2, 3 and 5, at lengths from one token to the model's maximum, with and without a past."""
        longest = self.longest
        # the longest past and the longest text are never tried together: they share the model's positions
        past = longest - 1 if self.config.use_past else 0
        sizes: tuple[tuple[str, Size, Padding], ...] = (
            ("documented sample", Size(batch=2, choice=2, sequence=8, past=10, source=8, cached_source=8), "none"),
            ("one token", Size(batch=1, choice=1, sequence=1, source=1), "none"),
            (
                "longest, masked here and there",
                Size(batch=1, choice=4, sequence=longest - past, past=past, source=longest, cached_source=longest),
                "holes",
            ),
            ("padded right", Size(batch=5, choice=2, sequence=33, past=3, source=21, cached_source=21), "right"),
            ("padded left", Size(batch=3, choice=3, sequence=17, past=12, source=26, cached_source=26), "left"),
        )
        for name, size, padding in sizes:
            yield self._make(name, self._fit(size), padding)
        for number, shape in enumerate(self.shapes, 1):
            name = "whole" if len(self.shapes) == 1 else f"the whole of bucket {number}"
            yield self._make(name, self._whole(shape), "none")
        if self.config.use_past:
            yield self._make("no past", self._fit(Size(batch=3, sequence=5, source=11)), "right")
        if "past_encoder_sequence" in _labels(self.config):
            yield self._make("no past but the encoder's", self._fit(Size(batch=2, sequence=1, source=7, cached_source=7)), "none")

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

    def variations(self) -> Iterator[tuple[Inputs, Mapping[str, Inputs]]]:
        """A base case and, for each input, the same with that input alone changed; with a cache that is full, then empty."""
        yield self._vary(self._fit(Size(batch=1, choice=2, sequence=5, past=4, source=6, cached_source=6)))
        if self.config.use_past:
            yield self._vary(self._fit(Size(batch=1, choice=2, sequence=5, source=6)))

    def beyond(self) -> Iterator[tuple[str, Mapping[str, Array]]]:
        """For each axis that a shape has one length for, inputs that are one longer or shorter there, right elsewhere, and of no shape."""
        for shape in self.shapes:
            whole = self._whole(shape)
            for part in ("batch", "choice", "sequence", "source"):
                length = getattr(whole, part)
                for other in (length - 1, length + 1) if length > 1 else (length + 1,):
                    case = self._make("beyond", replace(whole, **{part: other}), "none")
                    if any(all(case.axes.get(label, length) == length for label, length in each.items()) for each in self.shapes):
                        continue  # two buckets may be one apart
                    yield from ((label, case.arrays) for label, fixed in shape.items() if case.axes.get(label, fixed) != fixed)

    def _whole(self, shape: Mapping[str, int]) -> Size:
        """The size that fills a shape."""
        first = next(iter(self.config.inputs.values()))[0]
        longest = max(shape.values())
        size = Size(batch=shape.get(first, 2), choice=shape.get("choice", 2), sequence=longest, source=longest)
        return within(self.config, self._fit(size), shape)

    def _vary(self, size: Size) -> tuple[Inputs, Mapping[str, Inputs]]:
        base = self._make("base", size, "none")
        others = self._make("others", size, "none").arrays
        changed = {}
        for name, array in base.arrays.items():
            other = others[name]
            if name in MASKED_BY.values():
                other = array.copy()
                other[..., -(size.sequence // 2) :] = 0
            elif np.array_equal(array, other):  # a configuration may make the same inputs each time
                other = np.flip(array, axis=-1).copy()
            changed[name] = replace(base, name=f"{name} changed", arrays={**base.arrays, name: other})
        return base, changed

    def _fit(self, size: Size) -> Size:
        """The size, cut to what the model has positions for and the artifact takes; without a cache nothing is past."""
        longest = self.longest
        if self.config.use_past and makes_its_own(self.config):
            longest = max(1, longest // 2 - 2)  # as documented, its past is some tokens longer than what is new
        sequence, source = min(size.sequence, longest), min(size.source, longest)
        if not self.config.use_past:
            return within(self.config, replace(size, sequence=sequence, source=source, past=0, cached_source=0), self.fixed)
        return replace(
            size, sequence=sequence, source=source, past=min(size.past, longest - sequence), cached_source=min(size.cached_source, source)
        )

    def _make(self, name: str, size: Size, padding: Padding) -> Inputs:
        arrays = make_inputs(self.config, size, self.rng, padding, self.dtype, self.tokenizer)
        lengths = {label: arrays[each].shape[axis] for each, axes in self.config.inputs.items() for axis, label in axes.items()}
        return Inputs(name, lengths, arrays)


def _labels(config: OnnxConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for axes in config.inputs.values() for label in axes.values()))
