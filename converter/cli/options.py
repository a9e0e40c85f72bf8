"""Options of commands, made from the options of a backend, so that each is written down once."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from converter.core.records import HIDDEN, Options

_Command = TypeVar("_Command", bound=Callable[..., Any])


def flag(name: str) -> str:
    """The flag of an option: `--sequence-length` for `sequence_length`."""
    return f"--{name.replace('_', '-')}"


def backend_options(options: type[Options], names: Collection[str] = ()) -> Callable[[_Command], _Command]:
    """A decorator that adds a flag for each field of `options`, or for `names`; a flag that is not passed is None."""

    def decorate(function: _Command) -> _Command:
        for name, field in reversed(options.model_fields.items()):
            if names and name not in names:
                continue
            both = f"{flag(name)}/--no-{flag(name)[2:]}" if field.annotation is bool else flag(name)
            option = click.option(
                both,
                name,
                type=_type(field),
                default=None,
                help=_help(field),
                metavar=_metavar(field),
                hidden=field.json_schema_extra == HIDDEN,
            )
            function = option(function)
        return function

    return decorate


SPELT: Mapping[str, Any] = {"spell": flag, "hint": "see --help"}
"""How errors name options on the command line."""


def _type(field: FieldInfo) -> click.ParamType[Any] | type:
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(member for member in get_args(kind) if member is not type(None))
    if get_origin(kind) is Literal:
        return click.Choice([str(value) for value in get_args(kind)])
    if get_origin(kind) is tuple:
        return str
    assert isinstance(kind, type)
    return kind


def _metavar(field: FieldInfo) -> str | None:
    if get_origin(field.annotation) is not tuple:
        return None
    return "NAME[,NAME…]" if get_origin(get_args(field.annotation)[0]) is Literal else "N[,N…]"


def _help(field: FieldInfo) -> str:
    if field.is_required():
        return f"{field.description}  [required]"
    value = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    default = "" if value in (None, False, "") else f"  [default: {value}]"
    return f"{field.description}{default}"
