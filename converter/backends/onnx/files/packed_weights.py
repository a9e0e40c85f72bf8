"""A packed weight: one tensor of a fused graph for several weights, named by the recipe that makes it.

So a fused graph has no weights either and serves every checkpoint of its configuration. A reader of the file can check each tensor bit
for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch

_AND = " + "  # no parameter of a module is called so: its name is made of Python's identifiers and dots
_TRANSPOSED = (".T(", ")")


@dataclass(frozen=True)
class PackedWeight:
    """The weights `of` which a tensor is made: one after the other along their first axis, and then, if so, `transposed`."""

    of: tuple[str, ...]
    transposed: bool = False

    @property
    def name(self) -> str:
        """The tensor's name: `a.weight + b.weight`, or `.T(a.weight + b.weight)`; for an unchanged weight its own."""
        joined = _AND.join(self.of)
        return joined.join(_TRANSPOSED) if self.transposed else joined

    @property
    def is_plain(self) -> bool:
        """Whether it is one unchanged weight."""
        return len(self.of) == 1 and not self.transposed

    @classmethod
    def named(cls, name: str) -> PackedWeight:
        """The recipe that a tensor's name is. Raises ValueError for a name that is none."""
        opening, closing = _TRANSPOSED
        transposed = name.startswith(opening) and name.endswith(closing)
        of = tuple((name[len(opening) : -len(closing)] if transposed else name).split(_AND))
        if not all(of) or any(sign in part for part in of for sign in "+()"):
            raise ValueError(f"{name!r} is not a recipe of weights")
        return cls(of, transposed)

    def made(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Its tensor; one weight is a view of it, several are a copy."""
        parts = [tensors[name] for name in self.of]
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        return whole.t() if self.transposed else whole


class Weights(Mapping[str, torch.Tensor]):
    """The tensors of recipes by their names. A packed one is computed at each access and not kept."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], names: Collection[str]) -> None:
        self._tensors = tensors
        self._recipes = {name: PackedWeight.named(name) for name in names}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._recipes[name].made(self._tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)

    def without(self, names: Collection[str]) -> Weights:
        """The same less some."""
        return Weights(self._tensors, [name for name in self if name not in names])
