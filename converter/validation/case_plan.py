"""Which cases validation tries: the lengths of each, by a model's positions, its cost of a token and its memory for a past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, Padding, makes_its_own, within
from converter.architectures.size import Size

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
_LENGTHS = (5, 12, 25)
"""Tokens of short texts; the longer two follow a past of one token. They lie between the lengths of other cases."""
_ROWS = 7
"""Rows behind a long past: more than most batches have."""
SCALES: Mapping[str, float] = {"20 times as large": 20.0, "a fiftieth as large": 0.02, "nothing but zeros": 0.0}
"""The cases of measured inputs beyond their usual range, and their factors: loud, quiet, silence, an image of one colour."""
_OF_NO_TOKENS = {"height", "width", "choice"}


@dataclass(frozen=True, kw_only=True)
class CasePlan:
    """One case before its arrays are made; `scale` is what floating point inputs are multiplied by."""

    name: str
    size: Size
    padding: Padding = "none"
    scale: float = 1.0
    has_special_tokens: bool = False
    begins: bool = False
    """Whether the text begins with the token that texts begin with."""


@dataclass(frozen=True)
class CasePlanner:
    """Plans the cases of one model: by its configuration, and the lengths that the artifact takes."""

    config: OnnxConfig
    shapes: Sequence[Mapping[str, int]]
    """The fixed axes of each shape of the artifact, longest last; empty if any shape is accepted."""
    parameters: int = 0
    """The number of weights, which determines the cost of a token. 0 allows any size."""

    @property
    def fixed(self) -> Mapping[str, int]:
        """The fixed axes of the largest shape: nothing longer is made, and shorter inputs are padded."""
        return self.shapes[-1] if self.shapes else {}

    @property
    def longest(self) -> int:
        """The longest sequence that is tried."""
        longest = self.config.max_sequence_length
        if self.config.positions and not makes_its_own(self.config):  # a model of more positions than are tried of a large one
            longest = max(longest, min(self.config.positions, self.affordable, _LONG))
            if self.config.use_past:  # a past reaches the positions behind these
                longest = min(longest, max(_LONG_OF_LARGE, self.affordable))
        lengths: list[int] = [longest, *(() if self.config.positions else self.fixed.values())]
        return max(lengths)

    @property
    def affordable(self) -> int:
        """How many tokens of one call cost no more than a case of a small model does."""
        return _WORK // max(1, self.parameters)

    def longest_case(self) -> CasePlan:
        """The longest text with nothing before it, in which each special token occurs; of sound at least 30 seconds."""
        sound = self.config.sound_length or 0
        if "decoder_input_ids" in self.config.inputs and self.config.positions:
            sound = min(sound, self.config.positions)  # its text is as long, and has no more positions
        longest = max(self.longest, sound)
        size = Size(batch=1, choice=1, sequence=longest, source=longest)
        return CasePlan(name="longest", size=self.fit(size, longest), has_special_tokens=True)

    def short_sound(self) -> CasePlan | None:
        """Sound of one frame and a quarter, which not every model takes; None for a model that takes more than samples of sound."""
        if "samples" not in axis_labels(self.config) or MASKED_BY.keys() & self.config.inputs.keys() or makes_its_own(self.config):
            return None
        return CasePlan(name="short sound", size=self.fit(Size(batch=2, choice=1, sequence=-1, source=1)))

    def grid(self) -> Iterator[CasePlan]:
        """The other cases, the documented sample first; docs/explanation/validation.md lists their purposes."""
        for plan in self._plans():
            yield replace(plan, size=self.fit(plan.size))
        for number, shape in enumerate(self.shapes, 1):
            name = "whole" if len(self.shapes) == 1 else f"the whole of bucket {number}"
            yield CasePlan(name=name, size=self.whole(shape))

    def longer(self, most: int) -> Iterator[CasePlan]:
        """Texts of twice the longest sequence that is tried otherwise, of four times, and so on, of `most` tokens at most.

        None if the model has no positions for them, or if the artifact takes no such lengths.
        """
        positions = self.config.positions or 0
        length = 2 * self.longest
        while length <= min(most, positions) and not self.shapes and not makes_its_own(self.config):
            yield CasePlan(name=f"{length} tokens", size=Size(batch=1, choice=1, sequence=length, source=length))
            length *= 2

    def variations(self) -> Iterator[tuple[str, Size]]:
        """The sizes at which one input alone is changed; with a cache that is full, then empty.

        Each begins with a clause that says which; it is empty for a model without a cache.
        """
        new = 3 if self.config.use_past else 5  # a cache has as many rows as its tensors
        full = Size(batch=1, choice=2, sequence=new, past=3, source=new + 1, cached_source=new + 1)
        yield "with a past" if self.config.use_past else "", self.fit(full)
        if self.config.use_past:
            yield "without a past", self.fit(replace(full, past=0, cached_source=0))

    def fit(self, size: Size, longest: int = 0) -> Size:
        """The size, limited to the model's positions and the artifact's shape; without a cache the past is 0."""
        longest = longest or self.longest
        positions = max(self.config.positions or 0, longest)  # a past may be longer than any text that is tried
        if self.config.use_past and makes_its_own(self.config):
            longest = positions = max(1, longest // 2 - 2)  # as documented, its past is some tokens longer than the new text
        sequence, source = min(size.sequence, longest), min(size.source, longest)
        if not self.config.use_past:
            return within(self.config, replace(size, sequence=sequence, source=source, past=0, cached_source=0), self.fixed)
        return replace(
            size, sequence=sequence, source=source, past=min(size.past, positions - sequence), cached_source=min(size.cached_source, source)
        )

    def whole(self, shape: Mapping[str, int]) -> Size:
        """The size that fills a shape."""
        first = next(iter(self.config.inputs.values()))[0]
        longest = max(shape.values())
        size = Size(batch=shape.get(first, 2), choice=shape.get("choice", 2), sequence=longest, source=longest)
        return within(self.config, self.fit(size), shape)

    def _plans(self) -> Iterator[CasePlan]:
        yield CasePlan(name="documented sample", size=Size(batch=2, choice=2, sequence=8, past=10, source=8, cached_source=8))
        yield CasePlan(name="one token", size=Size(batch=1, choice=1, sequence=1, source=1))
        labels = set(axis_labels(self.config))
        if labels & {"height", "width"}:
            pixels = self.config.image_size or _PIXELS
            yield CasePlan(name="the processor's size", size=Size(batch=1, choice=1, sequence=9, pixels=pixels))
        if self.config.measured:
            for name, scale in SCALES.items():
                yield CasePlan(name=name, size=Size(batch=2, choice=1, sequence=9, source=9), scale=scale)
        if not labels - _OF_NO_TOKENS - {label for axes in self.config.inputs.values() for axis, label in axes.items() if axis == 0}:
            yield CasePlan(name="nine", size=Size(batch=9, choice=1))
            return
        yield CasePlan(name="two tokens", size=Size(batch=7, choice=2, sequence=2, source=2), padding="left")
        for length in _LENGTHS:
            past = 1 if length > _LENGTHS[0] else 0
            few = Size(batch=1, choice=1, sequence=length, past=past, source=length + past, cached_source=(length + 1) * past)
            yield CasePlan(name=f"{length} tokens", size=few, begins=True)
        masked = Size(batch=3, choice=5, sequence=17, past=12, source=26, cached_source=26)
        yield CasePlan(name="masked here and there", size=masked, padding="holes")
        length = max(1, min(61, self.longest - 1))
        size = self._afforded(Size(batch=9, choice=1, sequence=length, source=length))
        yield CasePlan(name="padded on both sides", size=size, padding="both")
        half = self.longest // 2 + 1
        yield CasePlan(name="padded left", size=self._afforded(Size(batch=2, choice=1, sequence=half, source=half)), padding="left")
        if self.config.use_past:
            yield from self._plans_with_past()

    def _plans_with_past(self) -> Iterator[CasePlan]:
        longest, reach = self.longest, self._longest_past
        new = min(34, max(_FEWEST_BEHIND, self.affordable // 3))
        yield CasePlan(name="a past padded left", size=Size(batch=3, sequence=new, past=12, source=26, cached_source=26), padding="left")
        long = Size(batch=_ROWS, sequence=2, past=max(1, min(reach - 1, self._past_room // (4 * _ROWS))), source=9, cached_source=9)
        yield CasePlan(name="behind a long past padded left", size=long, padding="left")
        yield CasePlan(name="behind the longest past", size=Size(batch=1, sequence=1, past=reach, source=longest, cached_source=longest))
        for window in self.config.windows:
            if 1 < window + 8 < reach:
                name = f"behind a past longer than the window of {window}"
                yield CasePlan(name=f"{name}, one token", size=Size(batch=1, sequence=1, past=window + 8, source=9, cached_source=9))
                yield CasePlan(name=name, size=Size(batch=2, sequence=9, past=window + 3, source=9, cached_source=9), padding="left")
        if "past_encoder_sequence" in axis_labels(self.config):
            yield CasePlan(name="no past but the encoder's", size=Size(batch=2, sequence=1, source=7, cached_source=7))

    def _afforded(self, size: Size) -> Size:
        """The size, of fewer tokens for a large model: those left out are in its past, if it has one."""
        rows = size.batch * size.choice
        encoded = self.config.encoded_length
        if encoded:  # each row has an image or a sound, whatever its text
            return replace(size, batch=max(2, min(size.batch, self.affordable // encoded)))
        tokens = self.affordable // rows
        has_decoder = self.config.use_past and "past_encoder_sequence" not in axis_labels(self.config)
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


def axis_labels(config: OnnxConfig) -> tuple[str, ...]:
    """Return the names of the inputs' axes, one of each."""
    return tuple(dict.fromkeys(label for axes in config.inputs.values() for label in axes.values()))
