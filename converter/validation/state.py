"""Find and undo the changes that a forward pass makes to a model.

A reference that has been called has to be the model that was loaded. BigBird turns off its sparse attention for good at the first short
text, so that all longer ones are computed otherwise from then on; a table of positions that is computed once changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

import torch

_COPIED = 2**22
"""Elements of the largest tensor that is copied, so that it can be put back; of a larger one a sample is compared."""
_SAMPLE = 64
"""Elements that are compared of a tensor that is not copied."""
_OUTSIDE = ("torch", "builtins", "collections", "functools", "logging", "threading", "types", "_thread", "numpy", "abc", "typing", "enum")
"""Whose objects have no state that a model's forward would keep something in, or have too much of it."""


@dataclass(frozen=True)
class Change:
    """Something that a call has changed: its path in the model, and its values before and after, if both are plain.

    `stays` says that it could not be put back.
    """

    path: str
    before: Any = None
    after: Any = None
    stays: bool = False

    @property
    def name(self) -> str:
        """The attribute, without the module that has it."""
        return self.path.rpartition(".")[2]

    def __str__(self) -> str:
        plain = any(value is not None for value in (self.before, self.after))
        return f"{self.path} was {self.before!r} and is {self.after!r}" if plain else self.path


class ModelState:
    """Everything that a model's forward may change: attributes, buffers, modules and hooks of every module, and the values in its
    configurations. Parameters are too large to copy: a write is detected and cannot be undone."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._owners = [_Owner(path, owner) for path, owner in _owners(model)]

    def is_now(self) -> bool:
        """Whether the model is unchanged, as far as can be seen without reading its parameters."""
        return all(owner.is_same() for owner in self._owners)

    def restore(self) -> list[Change]:
        """Put back all changes since, and return them.

        If a parameter was written to, nothing is put back. RWKV divides its weights at the first call and notes that it has: with the
        note alone taken back it would divide them again.
        """
        with torch.inference_mode():  # in which a tensor of either kind may be written to
            changed = [owner for owner in self._owners if not owner.is_same(with_parameters=True)]
            put_back = not any(owner.is_lost() for owner in changed)
            return [replace(change, stays=not put_back) for owner in changed for change in owner.changes(put_back=put_back)]


def _owners(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Every module, and every object with attributes that one of them refers to, once each."""
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", model)])
    while waiting:
        path, owner = waiting.popleft()  # the shortest path first, as all modules may share a configuration
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        yield path, owner
        for name, value in vars(owner).items():
            if type(value) in _PLAIN or (isinstance(value, dict | list) and not value):  # most of them
                continue
            for key, item in _within(value):
                if _has_state(item):
                    below = key if isinstance(owner, torch.nn.Module) and name == "_modules" else ".".join(filter(None, (name, key)))
                    waiting.append((".".join(filter(None, (path, below))), item))


_PLAIN = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device, torch.nn.Parameter, torch.Tensor))


def _within(value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or the contents of a container by key."""
    if isinstance(value, dict):
        yield from ((str(key), item) for key, item in value.items() if type(item) not in _PLAIN)
    elif isinstance(value, list | tuple):
        yield from ((str(index), item) for index, item in enumerate(value) if type(item) not in _PLAIN)
    else:
        yield "", value


def _has_state(value: Any) -> bool:
    if isinstance(value, torch.nn.Module):
        return True
    kind = type(value)
    return hasattr(value, "__dict__") and not callable(value) and kind.__module__.partition(".")[0] not in _OUTSIDE


class _Owner:
    """The recorded attributes of a module or another object."""

    def __init__(self, path: str, owner: Any) -> None:
        self._path, self._owner = path, owner
        self._values = dict(vars(owner))
        self._mutable = {name: _Value(value) for name, value in self._values.items() if isinstance(value, _MUTABLE)}
        self._empty = [value for value in self._values.values() if isinstance(value, dict | list | set) and not value]
        self._filled = [value for value in self._mutable.values() if isinstance(value.value, torch.Tensor) or value.value]

    def is_same(self, *, with_parameters: bool = False) -> bool:
        """Whether every attribute is the very object that it was, with the contents that it had."""
        now = vars(self._owner)
        if len(now) != len(self._values) or not all(map(is_, now.values(), self._values.values())) or any(self._empty):
            return False
        return not any(value.changed(value.value, with_parameters) for value in self._filled)

    def is_lost(self) -> bool:
        """Whether something was written to that no copy was made of."""
        return any(value.is_lost() for value in self._filled)

    def changes(self, *, put_back: bool) -> Iterator[Change]:
        """The changes; with `put_back` they are undone."""
        attributes = vars(self._owner)
        for name in [name for name in attributes if name not in self._values]:
            yield Change(_joined(self._path, name), after=_plain(attributes[name]))
            if put_back:
                del attributes[name]
        for name, before in self._values.items():
            now = attributes.get(name, _NOTHING)
            mutable = self._mutable.get(name)
            if mutable.changed(now, True) if mutable else not _is_same(now, before):
                inside = mutable.changed_keys(now) if mutable and isinstance(self._owner, torch.nn.Module) else []
                whole = Change(_joined(self._path, name), _plain(before), _plain(now))
                yield from [Change(_joined(self._path, key)) for key in inside] or [whole]
                if put_back:
                    attributes[name] = mutable.restored() if mutable else before


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else None


class _Value:
    """An object that can change in place, and its contents."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._contents: Any = value.copy() if isinstance(value, dict | list | set) else value
        self._nested: dict[Any, _Value] = {}
        self._tensor = _Tensor(value) if isinstance(value, torch.Tensor) else None
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            self._nested = {key: _Value(item) for key, item in items if isinstance(item, _MUTABLE)}

    def changed(self, now: Any, with_parameters: bool) -> bool:
        """Whether `now` is another object, or has other contents."""
        if now is not self.value:
            return True
        if self._tensor:
            return self._tensor.changed(now, with_parameters)
        if isinstance(now, set):
            return bool(now != self._contents)
        if isinstance(now, dict) and not (_are_same(now, self._contents) and _are_same(now.values(), self._contents.values())):
            return True
        if isinstance(now, list) and not _are_same(now, self._contents):
            return True
        return any(value.changed(now[key], with_parameters) for key, value in self._nested.items())

    def is_lost(self) -> bool:
        if self._tensor:
            return self._tensor.is_lost(self.value)
        return any(value.is_lost() for value in self._nested.values())

    def changed_keys(self, now: Any) -> list[str]:
        """Which of a dictionary's values are others now: a module's tensors and modules, by their names."""
        if not isinstance(now, dict) or not isinstance(self.value, dict):
            return []
        names = [name for name in {**self._contents, **now} if isinstance(name, str)]
        return [name for name in names if self._contents.get(name) is not now.get(name) or self._nested_changed(name, now)]

    def _nested_changed(self, name: str, now: dict[Any, Any]) -> bool:
        return name in self._nested and self._nested[name].changed(now[name], True)

    def restored(self) -> Any:
        """The object with the contents that it had."""
        for value in self._nested.values():
            value.restored()
        if self._tensor:
            self._tensor.restore(self.value)
        elif isinstance(self.value, list):
            self.value[:] = self._contents
        elif isinstance(self.value, dict | set):
            self.value.clear()
            self.value.update(self._contents)
        return self.value


_MUTABLE = (dict, list, set, tuple, torch.Tensor)


def _are_same(now: Collection[Any], before: Collection[Any]) -> bool:
    """Whether the very same objects, or equal plain ones, are there in the same order."""
    return len(now) == len(before) and (all(map(is_, now, before)) or all(map(_is_same, now, before)))


def _is_same(now: Any, before: Any) -> bool:
    return now is before or (_plain(now) is not None and type(now) is type(before) and now == before)


_NOTHING = object()


class _Tensor:
    """The contents of a tensor: all if it is small and no parameter; else a sample, and how often it was written to."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._shape = tensor.shape
        self._version = _version(tensor)
        small = tensor.numel() <= _COPIED and not isinstance(tensor, torch.nn.Parameter)
        self._copy = tensor.detach().clone() if small else None
        self._sample = None if small else _sample(tensor)

    def changed(self, now: torch.Tensor, with_parameters: bool) -> bool:
        if now.shape != self._shape:
            return True
        if self._copy is not None:
            return not _are_equal(now, self._copy)
        return _version(now) != self._version or (with_parameters and not _are_equal(_sample(now), self._sample))

    def is_lost(self, now: torch.Tensor) -> bool:
        return self._copy is None and self.changed(now, True)

    def restore(self, tensor: torch.Tensor) -> None:
        if self._copy is not None and self.changed(tensor, True):
            tensor.data = self._copy.clone()


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach()[:1].reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLE)].clone()


def _are_equal(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    """Whether two tensors of one shape hold the same, NaN at the same places too."""
    if other is None or one.is_meta or other.is_meta:
        return one.is_meta
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())
