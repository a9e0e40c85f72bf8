"""What a fused graph wants of several weights at once is a tensor of its own; its name is the recipe by which it is made of them.

So a graph holds no weight when it is fused either, serves every checkpoint of its configuration, and whoever reads the file can tell,
and check bit for bit, what each of its tensors is made of.
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
        """What its tensor is called: `a.weight + b.weight`, or `.T(a.weight + b.weight)`; a weight as it is by its own name."""
        joined = _AND.join(self.of)
        return joined.join(_TRANSPOSED) if self.transposed else joined

    @property
    def is_plain(self) -> bool:
        """Whether it is one weight, as it is."""
        return len(self.of) == 1 and not self.transposed

    @classmethod
    def named(cls, name: str) -> PackedWeight:
        """The recipe that a tensor's name is. Raises ValueError for a name that is none."""
        opening, closing = _TRANSPOSED
        transposed = name.startswith(opening) and name.endswith(closing)
        of = tuple((name[len(opening) : -len(closing)] if transposed else name).split(_AND))
        if not all(of) or any(sign in part for part in of for sign in "+()"):
            raise ValueError(f"{name!r} says of no weights what is made of them")
        return cls(of, transposed)

    def made(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Its tensor; one weight is a view of it, several are a copy."""
        parts = [tensors[name] for name in self.of]
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        return whole.t() if self.transposed else whole


class Weights(Mapping[str, torch.Tensor]):
    """The tensors of recipes by their names. What is made of several is made whenever it is asked for, and never kept."""

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
