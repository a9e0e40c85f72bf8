"""The inputs of the cases that validation tries: random tokens at the planned lengths, and real sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, Padding, lengths_at, make_inputs, makes_its_own
from converter.architectures.size import Size
from converter.core.reason import reason
from converter.core.typing import Array
from converter.validation.case_plan import CasePlan, CasePlanner, axis_labels
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


_ROW, _MOST_TOKENS = 64, 2**15
"""Tokens of a row of the case of tokens, and of the largest vocabulary that is tried whole."""


@dataclass(frozen=True)
class Inputs:
    """One case: its name, the length of each named axis, and the arrays."""

    name: str
    axes: Mapping[str, int]
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class InputGenerator:
    """Makes the inputs of one model's cases: by its configuration, in the floating point type of its weights."""

    config: OnnxConfig
    dtype: str
    tokenizer: Any | None
    rng: np.random.Generator
    shapes: Sequence[Mapping[str, int]]
    """The fixed axes of each shape of the artifact, longest last; empty if any shape is accepted."""
    parameters: int = 0
    """How many weights the model has, see `CasePlanner`."""

    @cached_property
    def planner(self) -> CasePlanner:
        """The lengths of the cases."""
        return CasePlanner(self.config, self.shapes, self.parameters)

    @property
    def is_batched(self) -> bool:
        """Whether the first axis of every input and output is the batch, which may be of any size and whose rows are apart."""
        axes = (*self.config.inputs.values(), *self.config.outputs.values())
        labels = {layout.get(0) for layout in axes}
        return len(labels) == 1 and None not in labels and not labels & self.planner.fixed.keys() and not makes_its_own(self.config)

    def longest_case(self) -> Inputs:
        """The longest text with nothing before it, in which each special token occurs; of sound at least 30 seconds."""
        return self._planned(self.planner.longest_case())

    def tokens_case(self, tokens: Mapping[str, Collection[int]]) -> Inputs | None:
        """A text of the `tokens` of each input, those that the artifact may treat apart; of all there are if that is affordable.

        None for a model without tokens, or one that takes only its configuration's own inputs.
        """
        chosen: dict[str, Array] = {}
        for name in MASKED_BY:
            vocabulary = self.config.vocab_sizes.get(name, 0)
            if name in self.config.inputs and vocabulary:
                some = [token for token in sorted(tokens.get(name, ())) if token != self.config.pad_token_id]
                every = vocabulary <= min(self.planner.affordable, _MOST_TOKENS)
                chosen[name] = np.array([*(token for token in range(vocabulary) if token != self.config.pad_token_id)] if every else some)
        most = max((len(ids) for ids in chosen.values()), default=0)
        if not most or makes_its_own(self.config):
            return None
        length = min(self.planner.longest, _ROW, most)
        size = self.planner.fit(Size(batch=-(-most // length), choice=1, sequence=length, source=length))
        case = self._make("tokens", size, "none")
        arrays = dict(case.arrays)
        for name, ids in chosen.items():
            if len(ids):
                arrays[name] = np.resize(ids, arrays[name].shape).astype(np.int64)
        self.config.settle(arrays)
        return replace(case, arrays=arrays)

    def short_sound(self) -> Inputs | None:
        """Sound of one frame and a quarter, which not every model takes; None for a model that takes more than samples of sound."""
        plan = self.planner.short_sound()
        return None if plan is None else self._planned(plan)

    def grid(self, past: OwnPast | None = None) -> Iterator[Inputs]:
        """The other cases, the documented sample first; docs/explanation/validation.md lists their purposes.

        With a cache they continue `past`, or random numbers.
        """
        for plan in self.planner.grid():
            yield self._planned(plan, past)

    def text(self) -> Inputs:
        """Real sentences by the checkpoint's tokenizer, padded to the longest; a decoder gets random tokens.

        Raises ValueError with a reason if there is no tokenizer, or if it does not fit the model.
        """
        choice = 2 if "choice" in axis_labels(self.config) else 1
        room = self.planner.fit(
            Size(batch=len(SENTENCES) // choice, choice=choice, sequence=self.planner.longest, source=self.planner.longest)
        )
        return self.of_texts(SENTENCES[: room.batch * room.choice])

    def of_texts(self, texts: Sequence[str], most: int | None = None) -> Inputs:
        """As many texts as these, of `most` tokens each; a decoder gets random tokens. Raises ValueError as `text` does."""
        if "input_ids" not in self.config.inputs:
            raise ValueError("it takes none")
        if self.tokenizer is None:
            raise ValueError("the checkpoint has no tokenizer")
        padded = self.tokenizer.pad_token is not None or len(texts) == 1
        choice = 2 if "choice" in axis_labels(self.config) else 1
        longest = min(self.planner.longest, most or self.planner.longest)
        room = self.planner.fit(Size(batch=len(texts) // choice, choice=choice, sequence=longest, source=longest))
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
        size = self.planner.fit(replace(room, sequence=sequence, source=sequence))
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
        choice = 2 if "choice" in axis_labels(self.config) else 1
        return self._make("random", self.planner.fit(Size(batch=batch, choice=choice, sequence=sequence, source=sequence)), "none")

    def longer(self, most: int) -> Iterator[Inputs]:
        """Random inputs of twice the longest sequence that is tried otherwise, of four times, and so on, of `most` tokens at most.

        None if the model has no positions for them, or if the artifact takes no such lengths.
        """
        for plan in self.planner.longer(most):
            yield self._planned(plan)

    def variations(self, past: OwnPast | None) -> Iterator[tuple[str, Inputs, Mapping[str, Inputs]]]:
        """A base case and, for each input, the same with that input alone changed; with a cache that is full, then empty.

        Each begins with a clause that says which; it is empty for a model without a cache.
        """
        for where, size in self.planner.variations():
            yield where, *self._vary(size, past)

    def beyond(self) -> Iterator[tuple[str, Mapping[str, Array]]]:
        """For each axis that a shape has one length for, inputs that are one longer or shorter there, right elsewhere, and of no shape."""
        for shape in self.shapes:
            whole = self.planner.whole(shape)
            for part in ("batch", "choice", "sequence", "source"):
                length = getattr(whole, part)
                for other in (length - 1, length + 1) if length > 1 else (length + 1,):
                    case = self._make("beyond", replace(whole, **{part: other}), "none")
                    if any(all(case.axes.get(label, length) == length for label, length in bucket.items()) for bucket in self.shapes):
                        continue  # two buckets may be one apart
                    yield from ((label, case.arrays) for label, fixed in shape.items() if case.axes.get(label, fixed) != fixed)

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

    def _planned(self, plan: CasePlan, past: OwnPast | None = None) -> Inputs:
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
        """The tokenizer's special tokens without padding, for a model of text only."""
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
