"""The three ways to say how far a variant is from its checkpoint, each fed a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from converter.architectures import OnnxConfig
from converter.core.records import AccuracyDrop
from converter.core.typing import Array
from converter.validation.case_inputs import Inputs
from converter.validation.compare import kept_positions

Outputs = Mapping[str, Array]


class Metric(Protocol):
    """Takes both outputs batch by batch, and returns the accuracy drop over all of them."""

    def add(self, inputs: Inputs, outputs: Outputs, expected: Outputs) -> None: ...

    def accuracy_drop(self, of: str) -> AccuracyDrop: ...


class _RSquared:
    """How much of what tells inputs apart is kept: of the variance of each feature among them, the share that is the same."""

    def __init__(self) -> None:
        self._rows = 0
        self._sums: tuple[Any, Any, Any] = (0.0, 0.0, 0.0)

    def add(self, ours: Array, theirs: Array) -> None:
        """Rows of features, float64."""
        self._rows += len(theirs)
        total, squares, errors = self._sums
        self._sums = (total + theirs.sum(axis=0), squares + (theirs**2).sum(axis=0), errors + ((ours - theirs) ** 2).sum(axis=0))

    @property
    def value(self) -> float | None:
        """r2: 1 - the sum of squared errors over the sum of squared deviations; None for a single row, or equal rows."""
        total, squares, errors = (np.asarray(array) for array in self._sums)
        spread = float((squares - total**2 / max(1, self._rows)).sum())
        return 1 - float(errors.sum()) / spread if self._rows > 1 and spread > 1e-9 * float(squares.sum()) else None


class Embeddings:
    """Cosines of a model's outputs for each input, pooled by the mean over tokens.

    Neighbours are only measured for a model of text with one output: among random inputs they mean nothing.
    """

    def __init__(self, config: OnnxConfig, has_neighbours: bool) -> None:
        self._config = config
        self._names = [name for name in config.outputs if not name.startswith("present.")]
        self._has_neighbours = has_neighbours and len(self._names) == 1
        self._cosines: list[Array] = []
        self._rows: tuple[list[Array], list[Array]] = ([], [])
        self._r2: dict[str, _RSquared] = {}
        self._inputs = 0

    def add(self, inputs: Inputs, outputs: Outputs, expected: Outputs) -> None:
        self._inputs += len(next(iter(inputs.arrays.values())))
        for name in self._names:
            ours, theirs = (self._pooled(name, arrays[name].astype(np.float64), inputs) for arrays in (outputs, expected))
            if theirs.shape[1] < 2:  # a number has no direction
                continue
            ours, theirs = _normalized(ours), _normalized(theirs)
            if not isinstance(self._config.outputs[name].get(expected[name].ndim - 1), str):
                self._r2.setdefault(name, _RSquared()).add(ours, theirs)
            self._cosines.append((ours * theirs).sum(axis=1))
            if self._has_neighbours:
                self._rows[0].append(ours)
                self._rows[1].append(theirs)

    def _pooled(self, name: str, output: Array, inputs: Inputs) -> Array:
        """Of an output (batch, …) the embeddings (batch, features)."""
        if output.ndim != 3:
            return output.reshape(output.shape[0] if output.ndim > 1 else -1, -1)
        kept = np.broadcast_to(kept_positions(name, output, self._config, inputs.arrays), output.shape)
        pooled: Array = (output * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
        return pooled

    def accuracy_drop(self, of: str) -> AccuracyDrop:
        cosines = np.concatenate(self._cosines)
        neighbours = None
        if self._has_neighbours and len(cosines) > 2:
            neighbours = _same_neighbours(*map(np.concatenate, self._rows))
        return AccuracyDrop(
            kind="embeddings",
            inputs=self._inputs,
            of=of,
            distance=1 - float(cosines.mean()),
            cosine_min=float(cosines.min()),
            cosine_mean=float(cosines.mean()),
            neighbours=neighbours,
            r2=_least(share.value for share in self._r2.values()),
        )


class Decisions:
    """The argmax along the last axis of each output: the share of equal ones, and the margin of those that differ.

    For an output of one number, such as a reranker's, the decision is which of two inputs has more.
    """

    def __init__(self, config: OnnxConfig) -> None:
        self._config = config
        self._inputs = self._made = self._same = 0
        self._distance = self._margin = 0.0
        self._r2: dict[str, _RSquared] = {}
        self._scores: dict[str, tuple[list[Array], list[Array]]] = {}

    def add(self, inputs: Inputs, outputs: Outputs, expected: Outputs) -> None:
        self._inputs += len(next(iter(inputs.arrays.values())))
        for name, theirs in expected.items():
            if name.startswith("present."):
                continue
            kept = np.broadcast_to(kept_positions(name, theirs, self._config, inputs.arrays), theirs.shape)
            rows = kept.reshape(-1, kept.shape[-1]).any(axis=1)
            ours, theirs = (np.where(kept, array, _NOTHING).reshape(-1, array.shape[-1])[rows] for array in (outputs[name], theirs))
            if not isinstance(self._config.outputs[name].get(expected[name].ndim - 1), str):
                self._r2.setdefault(name, _RSquared()).add(ours.astype(np.float64), theirs.astype(np.float64))
            if theirs.shape[1] == 1:
                scores = self._scores.setdefault(name, ([], []))
                scores[0].append(ours[:, 0])
                scores[1].append(theirs[:, 0])
            else:
                self._compare(_log_probabilities(ours), _log_probabilities(theirs))

    def _compare(self, ours: Array, theirs: Array) -> None:
        """Of rows of log probabilities."""
        chosen, wanted = ours.argmax(axis=1), theirs.argmax(axis=1)
        rows = np.arange(len(ours))
        flipped = (chosen != wanted) | np.isnan(ours).any(axis=1)
        leads = np.exp(theirs[rows, wanted]) - np.exp(theirs[rows, chosen])
        self._count(flipped, leads)
        self._distance += float((np.exp(theirs) * (theirs - ours)).sum())

    def _count(self, flipped: Array, leads: Array) -> None:
        self._made += flipped.size
        self._same += int((~flipped).sum())
        self._margin = max(self._margin, float(leads[flipped].max(initial=0.0)))

    def _compare_pairs(self, ours: Array, theirs: Array) -> None:
        """Of one score an input, which of two has more."""
        first, second = np.triu_indices(len(theirs), 1)
        flipped = np.sign(ours[first] - ours[second]) != np.sign(theirs[first] - theirs[second])
        probabilities = 1 / (1 + np.exp(-theirs))
        self._count(flipped, np.abs(probabilities[first] - probabilities[second]))
        self._distance += float(((ours - theirs) ** 2).sum())

    def accuracy_drop(self, of: str) -> AccuracyDrop:
        for ours, theirs in self._scores.values():
            self._compare_pairs(*(np.concatenate(scores).astype(np.float64) for scores in (ours, theirs)))
        made = max(1, self._made)
        return AccuracyDrop(
            kind="decisions",
            inputs=self._inputs,
            of=of,
            distance=self._distance / made,
            agreement=self._same / made,
            decisions=self._made,
            flipped_margin=self._margin,
            r2=_least(share.value for share in self._r2.values()),
        )


class LanguageModel:
    """The next token, each after the text before it: whether it is the same, and how likely the text is to both."""

    def __init__(self, config: OnnxConfig, tokens: str) -> None:
        """`tokens` is the input whose next token each row of the logits is of."""
        self._config, self._tokens = config, tokens
        self._inputs = self._made = self._same = 0
        self._distance = self._ours = self._theirs = 0.0

    def add(self, inputs: Inputs, outputs: Outputs, expected: Outputs) -> None:
        tokens = inputs.arrays[self._tokens]
        self._inputs += len(tokens)
        logits = expected["logits"]
        kept = np.broadcast_to(kept_positions("logits", logits, self._config, inputs.arrays), logits.shape)[:, 1:, 0]
        ours, theirs = (_log_probabilities(arrays["logits"][:, :-1][kept]) for arrays in (outputs, expected))
        after = tokens[:, 1:][kept]
        rows = np.arange(len(after))
        self._made += len(after)
        self._same += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        self._ours -= float(ours[rows, after].sum())
        self._theirs -= float(theirs[rows, after].sum())
        self._distance += float((np.exp(theirs) * (theirs - ours)).sum())

    def accuracy_drop(self, of: str) -> AccuracyDrop:
        made = max(1, self._made)
        return AccuracyDrop(
            kind="language model",
            inputs=self._inputs,
            of=of,
            distance=self._distance / made,
            agreement=self._same / made,
            decisions=self._made,
            perplexity=_perplexity(self._ours / made),
            reference_perplexity=_perplexity(self._theirs / made),
        )


_TIE = 1e-6  # of cosines of float32 embeddings, by which they differ of rounding
_NOTHING = np.float32(-1e30)  # a logit that no choice has


def _least(shares: Iterable[float | None]) -> float | None:
    """The smallest of those that there are; NaN is smaller than any."""
    known = [share for share in shares if share is not None]
    return float(np.min(known)) if known else None


def _perplexity(nats: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(nats))


def _log_probabilities(logits: Array) -> Array:
    """The logarithm of the softmax along the last axis, in float32: as far as a sum of vocabularies needs it."""
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
        result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _normalized(rows: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


def _same_neighbours(ours: Array, theirs: Array) -> float:
    """The share of rows whose nearest other row, by the cosine, is as near to them in `theirs` as any: texts may be alike."""
    cosines, expected = (rows @ rows.T for rows in (ours, theirs))
    for similar in (cosines, expected):
        np.fill_diagonal(similar, -np.inf)
    nearest = expected[np.arange(len(cosines)), cosines.argmax(axis=1)]
    same = nearest >= expected.max(axis=1) - _TIE
    return float((same & ~np.isnan(cosines).any(axis=1)).mean())
