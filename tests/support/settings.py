"""The table of settings in docs/reference/manifest.md, made from the JSON Schema and the options of the backends.

`python -m tests.support.settings` writes it; a test finds it out of date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from converter.backends import BACKENDS
from converter.manifest.schema import PUBLISHED

PAGE = Path(__file__).parents[2] / "docs/reference/manifest.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def table() -> str:
    """The table as Markdown."""
    settings = json.loads(PUBLISHED.read_text(encoding="utf-8"))["$defs"]["Settings"]["properties"]
    rows = (f"| `{key}` | {_formats(key)} | {_values(setting)} | {_text(setting)} |" for key, setting in _shown(settings))
    return "\n".join(("| key | formats | values | meaning |", "|---|---|---|---|", *rows))


def with_table(page: str) -> str:
    """The page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def _shown(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings without the hidden aliases of `precision`."""
    yield from ((key, setting) for key, setting in settings.items() if "See precision." not in setting["description"])


def _formats(key: str) -> str:
    owners = [name for name, backend in BACKENDS.items() if key.replace("-", "_") in backend.options.model_fields]
    return "all" if len(owners) in (0, len(BACKENDS)) else ", ".join(owners)


def _values(setting: Mapping[str, Any]) -> str:
    """The allowed values, and `a,b` if there may be several."""
    kinds = [setting, *setting.get("anyOf", ())]
    lists = [kind["items"] for kind in kinds if kind.get("type") == "array"]
    names = dict.fromkeys(value for kind in (*kinds, *lists) for value in kind.get("enum", ()) if value != "int8")  # an alias of q8
    several = ", separated by commas" if lists else ""
    if names:
        return ", ".join(f"`{name}`" for name in names) + several
    types = {kind.get("type") for kind in (*kinds, *lists)}
    if "boolean" in types:
        return "`true`, `false`"
    if "integer" in types or "number" in types:
        bounds = [kind for kind in (*kinds, *lists) if "minimum" in kind]
        low, high = (bounds[0].get(name) for name in ("minimum", "maximum")) if bounds else (None, None)
        return (f"{low} to {high}" if high and high < 1000 else f"{low} or more" if low else "a number above 0") + several
    return "text"


def _text(setting: Mapping[str, Any]) -> str:
    default = setting.get("default")
    shown = f" Default: `{default}`." if isinstance(default, str) and default and "default" not in setting["description"] else ""
    return setting["description"].replace("|", "\\|").replace("<commit>", "COMMIT") + shown


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
