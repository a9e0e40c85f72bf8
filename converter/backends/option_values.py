"""Options from a user's values, with one error for all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from converter.core.errors import UsageError
from converter.core.records import Options


def make_options(kind: type[Options], values: Mapping[str, Any], spell: Callable[[str], str] = str, hint: str = "") -> Options:
    """The options from a user's values; None is no value.

    `spell` writes an option's name as the user does. Raises UsageError with every wrong or missing value.
    """
    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise _usage_error(error.errors(), spell, hint) from None


def check_options(kind: type[Options], values: Mapping[str, Any], spell: Callable[[str], str] = str, hint: str = "") -> None:
    """Raise UsageError for every wrong value; missing ones are in a record."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if detail["type"] != "missing"]
        if wrong:
            raise _usage_error(wrong, spell, hint) from None


def _usage_error(details: Sequence[ErrorDetails], spell: Callable[[str], str], hint: str) -> UsageError:
    names = (str((*detail["loc"], "precision")[0]) for detail in details)
    return UsageError("; ".join(f"{spell(name)}: {_message(detail)}" for name, detail in zip(names, details, strict=True)), hint)


def _message(detail: ErrorDetails) -> str:
    message = "unknown option" if detail["type"] == "extra_forbidden" else detail["msg"]
    return f"{message[:1].lower()}{message[1:]}"
