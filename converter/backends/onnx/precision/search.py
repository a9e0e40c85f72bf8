"""Which layers a variant leaves out: those that cost most when they are quantized, found by trying, and no more of them than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from converter.backends.onnx.precision.linear import Layer

_MOST_LEFT_OUT = 2 / 3
"""The share of elements in products that may be left out; beyond it the precision would not deserve its name."""

Try = Callable[[Collection[Layer]], tuple[bool, float]]
"""Makes the variant in which these layers are quantized and nothing else, and says whether it is good enough and how far it is off."""


@dataclass(frozen=True)
class SearchResult:
    """The layers to quantize, how many settings were tried for it, and the CPU seconds that it took."""

    chosen: tuple[Layer, ...]
    tried: int
    cpu_seconds: float


def search(layers: Collection[Layer], attempt: Try, *, fallback_bits: int) -> SearchResult:
    """Choose the most of `layers` with which `attempt` is good enough; if none is, the best with all embeddings.

    The search starts with all layers. Then each role (a matrix that all layers have) is left out alone, and further ones together, in the
    order of gain per byte. A product that is left out has weights of `fallback_bits`, an embedding of 32.
    """
    started = time.process_time()
    trials = _Trials(tuple(layers), fallback_bits)
    choice = None
    for chosen in trials.in_order():
        enough, off = attempt(chosen)
        trials.off[chosen] = off
        if enough:
            choice = chosen
            break
    if choice is None:
        embeddings = {layer for layer in layers if layer.is_embedding}
        choice = min((trial for trial in trials.off if embeddings <= {*trial}), key=lambda trial: trials.off[trial])
    return SearchResult(choice, len(trials.off), round(time.process_time() - started, 2))


@dataclass
class _Trials:
    """The settings in the order in which they are tried; `off` is how far each that was tried is off."""

    layers: tuple[Layer, ...]
    fallback_bits: int
    off: dict[tuple[Layer, ...], float] = field(default_factory=dict)

    def in_order(self) -> Iterator[tuple[Layer, ...]]:
        yield self.layers
        roles = dict.fromkeys(layer.role for layer in self.layers)
        if len(roles) < 2:
            return
        alone = {role: self._without({role}) for role in roles if self._is_some({role})}
        yield from alone.values()
        gains = {role: (self.off[self.layers] - self.off[chosen]) / self._bytes(role) for role, chosen in alone.items()}
        left: set[str] = set()
        for role in sorted(gains, key=lambda candidate: -gains[candidate]):
            if gains[role] > 0 and self._is_some(left | {role}):
                left.add(role)
                if len(left) > 1:  # each alone was tried already
                    yield self._without(left)

    def _without(self, roles: Collection[str]) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.role not in roles)

    def _is_some(self, roles: Collection[str]) -> bool:
        """Whether enough products stay quantized without these roles."""
        products = [layer for layer in self.layers if not layer.is_embedding]
        left = sum(layer.size for layer in products if layer.role in roles)
        return left <= _MOST_LEFT_OUT * sum(layer.size for layer in products)

    def _bytes(self, role: str) -> float:
        return sum(layer.size * (32 if layer.is_embedding else self.fallback_bits) / 8 for layer in self.layers if layer.role == role)
