"""What a forward pass changes of a model, and taking it back.

A reference that has been called has to be the model that was loaded. BigBird turns off its sparse attention for good at the first short
text, so that all longer ones are computed otherwise from then on; a table of positions that is computed once changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
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
    """Something that a call has changed: where it is in the model, and what it was and is, if both are plain values."""

    path: str
    before: Any = None
    after: Any = None

    @property
    def name(self) -> str:
        """The attribute, without the module that has it."""
        return self.path.rpartition(".")[2]

    def __str__(self) -> str:
        plain = any(value is not None for value in (self.before, self.after))
        return f"{self.path} was {self.before!r} and is {self.after!r}" if plain else self.path


class ModelState:
    """All that a model's forward may change, as it is now: attributes, buffers, modules and hooks of every module, and the values in
    its configurations. Parameters are too large to copy: that one was changed in place is seen, and not taken back."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._owners = dict(_owners(model))
        self._kept = {path: {name: _Value(value) for name, value in vars(owner).items()} for path, owner in self._owners.items()}

    def restore(self) -> list[Change]:
        """Put back what has changed since, and say what that was."""
        with torch.inference_mode():  # in which a tensor of either kind may be written to
            return self._restore()

    def _restore(self) -> list[Change]:
        return [change for path, owner in self._owners.items() for change in _restore(path, owner, self._kept[path])]


def _owners(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Every module, and every object with attributes of its own that one of them refers to, once each."""
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", model)])
    while waiting:
        path, owner = waiting.popleft()  # the shortest path first, as all modules may share a configuration
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        yield path, owner
        for name, value in vars(owner).items():
            for key, each in _within(value):
                if _has_state(each):
                    below = key if isinstance(owner, torch.nn.Module) and name == "_modules" else ".".join(filter(None, (name, key)))
                    waiting.append((".".join(filter(None, (path, below))), each))


def _within(value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or what is in it where it is a container, by key."""
    if isinstance(value, dict):
        yield from ((str(key), each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(index), each) for index, each in enumerate(value))
    else:
        yield "", value


def _has_state(value: Any) -> bool:
    if isinstance(value, torch.nn.Module):
        return True
    kind = type(value)
    return hasattr(value, "__dict__") and not callable(value) and kind.__module__.partition(".")[0] not in _OUTSIDE


def _restore(path: str, owner: Any, kept: Mapping[str, _Value]) -> Iterator[Change]:
    attributes = vars(owner)
    for name in [name for name in attributes if name not in kept]:
        yield Change(_joined(path, name), after=_plain(attributes.pop(name)))
    for name, value in kept.items():
        now = attributes.get(name, _NOTHING)
        if value.changed(now):
            inside = value.changed_keys(now) if isinstance(owner, torch.nn.Module) else []
            yield from [Change(_joined(path, key)) for key in inside] or [Change(_joined(path, name), _plain(value.value), _plain(now))]
            attributes[name] = value.restored()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else None


class _Value:
    """A value as it was: the object itself, and of one that can change in place what was in it."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._contents: Any = value.copy() if isinstance(value, dict | list | set) else value
        self._nested: dict[Any, _Value] = {}
        self._tensor = _Tensor(value) if isinstance(value, torch.Tensor) else None
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            self._nested = {key: _Value(each) for key, each in items if isinstance(each, _MUTABLE)}

    def changed(self, now: Any) -> bool:
        """Whether `now` is another object, or has other contents."""
        if now is not self.value:
            return not (_plain(now) is not None and type(now) is type(self.value) and now == self.value)
        if self._tensor:
            return self._tensor.changed(now)
        if isinstance(now, dict) and not (_are_same(now, self._contents) and _are_same(now.values(), self._contents.values())):
            return True
        if isinstance(now, list) and not _are_same(now, self._contents):
            return True
        if isinstance(now, set):
            return bool(now != self._contents)
        return any(each.changed(now[key]) for key, each in self._nested.items())

    def changed_keys(self, now: Any) -> list[str]:
        """Which of a dictionary's values are others now: a module's tensors and modules, by their names."""
        if not isinstance(now, dict) or not isinstance(self.value, dict):
            return []
        names = [name for name in {**self._contents, **now} if isinstance(name, str)]
        return [name for name in names if self._contents.get(name) is not now.get(name) or self._nested_changed(name, now)]

    def _nested_changed(self, name: str, now: dict[Any, Any]) -> bool:
        return name in self._nested and self._nested[name].changed(now[name])

    def restored(self) -> Any:
        """The object with the contents that it had."""
        for each in self._nested.values():
            each.restored()
        if self._tensor:
            self._tensor.restore(self.value)
        elif isinstance(self.value, list):
            self.value[:] = self._contents
        elif isinstance(self.value, dict | set):
            self.value.clear()
            self.value.update(self._contents)
        return self.value


_MUTABLE = (dict, list, set, tuple, torch.Tensor)


def _are_same(now: Iterable[Any], before: Iterable[Any]) -> bool:
    """Whether the very same objects, or equal plain ones, are there in the same order."""
    return all(
        one is other or (_plain(one) is not None and type(one) is type(other) and one == other)
        for one, other in zip_longest(now, before, fillvalue=_NOTHING)
    )


_NOTHING = object()


class _Tensor:
    """What a tensor held: all of it if it is small and no parameter; else a sample, and how often it was written to."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._shape = tensor.shape
        self._version = _version(tensor)
        small = tensor.numel() <= _COPIED and not isinstance(tensor, torch.nn.Parameter)
        self._copy = tensor.detach().clone() if small else None
        self._sample = None if small else _sample(tensor)

    def changed(self, now: torch.Tensor) -> bool:
        if now.shape != self._shape:
            return True
        if self._copy is not None:
            return not _are_equal(now, self._copy)
        return _version(now) != self._version or not _are_equal(_sample(now), self._sample)

    def restore(self, tensor: torch.Tensor) -> None:
        if self._copy is not None and self.changed(tensor):
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
