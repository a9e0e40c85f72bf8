"""Broken inputs: bytes that were valid once, with some of them flipped, cut, doubled, swapped or replaced by what breaks readers."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

TOKENS: tuple[bytes, ...] = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\r", b"\r\n", b"\t", b"\x1b[2J\x1b]0;x\x07", b"\x7f", b"\x85"),
    *("\u202e".encode(), "\u2066".encode(), "\u2028".encode(), "é😀".encode(), rb"\ud800", rb"\u0000", rb"\x00", b"%n%s"),
    *(b"[" * 2000, b"{" * 2000, b'{"a":' * 1500, b"- " * 800, b"(" * 2000, b"9" * 5000, b"-" + b"9" * 400, b"1e999", b"-1e999", b"1e-999"),
    *(b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"true", b"false", b"null", b"~", b"0", b"-1", b"-0.0", b"0x10", b"1_000", b"1.5"),
    *(str(number).encode() for number in (2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**12, 10**18, 10**400)),
    *((2**63).to_bytes(8, "little"), (2**64 - 1).to_bytes(8, "little"), (10**8).to_bytes(8, "little"), bytes(8)),
    *(b"../../etc/passwd", b"/etc/passwd", b"/dev/zero", b"./", b"..", b".", b"~", b"~root", b"//", b"C:\\x", b"a" * 5000, b"a/" * 300),
    *(
        b"&a [*a]",
        b"*a",
        b"&a",
        b"!!python/object/apply:os.system [x]",
        b"<<: *a",
        b"? ",
        b": ",
        b"---\n",
        b"...\n",
        b"%YAML 9.9\n",
        b"|",
        b">",
    ),
    *(
        b'"',
        b"'",
        b"\\",
        b"#",
        b"=",
        b",",
        b"@",
        b"{}",
        b"[]",
        b'""',
        b"\n",
        b" ",
        b"__metadata__",
        b"weight_map",
        b"model_type",
        b"auto_map",
    ),
)
"""What readers have broken at: ends of numbers, of nesting, of encodings and of lines, and names that lead elsewhere."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**12, -(10**12), 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *("", "x", "64", "\0", "\x1b[2J", "\u202e", "../../etc/passwd", "/etc/passwd", "a" * 5000, "9" * 5000, "é", "True", "nan"),
    *([], {}, [[]], [{}], {"": {}}, [1, 2], ["a", "b"], [0, 2**63], [-1, 4], [4, 0], list(range(1000)), {str(n): n for n in range(1000)}),
    *([[["global", "local"], 10**9]], {"0": [99]}, [None], {"a": None}),
)
"""Values of other types."""


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds` after one to six changes of its bytes or, for JSON, of its values."""
    data = rng.choice(seeds)
    if rng.random() < 0.4 and (changed := _changed_json(rng, data)) is not None:
        data = changed
        if rng.random() < 0.7:
            return data
    for _ in range(rng.randint(1, 6)):
        data = rng.choice(_CHANGES)(rng, data, seeds)
    return data[: 2**20]


def changed_values(rng: random.Random, value: Any) -> Any:
    """`value` with one to three of those in it replaced, doubled under another name, or taken away."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(rng.choice(VALUES))
        holder, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.75:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind < 0.9:
            del holder[key]
        elif isinstance(holder, dict):
            holder[rng.choice((f"{key}2", "", "__metadata__", "\0", "x" * 3000))] = copy.deepcopy(holder[key])
        else:
            holder.append(copy.deepcopy(holder[key]))
    return value


def _changed_json(rng: random.Random, data: bytes) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return json.dumps(changed_values(rng, value)).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a value of JSON: what holds it, and by which key; of long lists the first ones."""
    pending = [value]
    while pending:
        holder = pending.pop()
        for key in list(holder)[:50] if isinstance(holder, dict) else range(min(len(holder), 50)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                pending.append(holder[key])


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 64, 1000)))


def _flip(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = rng.randrange(min(len(data), rng.choice((16, 4096, len(data)))))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def _cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _truncate(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _double(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 2, 100)) + data[end:]


def _swap(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    (start, end), (first, last) = _span(rng, data), _span(rng, other)
    return data[:start] + other[first:last] + data[end:]


def _insert(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + rng.choice(TOKENS) + data[rng.choice((start, end)) :]


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (_flip, _cut, _truncate, _double, _swap, _insert, _insert)
