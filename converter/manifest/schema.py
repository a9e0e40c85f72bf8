"""The JSON Schema of models.yaml, made from the same definitions that check it; `manifest.schema.json` is its published copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Union

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from converter.backends import BACKENDS
from converter.manifest.entries import EntrySettings


def json_schema() -> dict[str, Any]:
    """The JSON Schema of models.yaml, made from the settings and the options of every backend."""
    owners: dict[str, type[BaseModel]] = {"": EntrySettings, **{name: backend.options for name, backend in BACKENDS.items()}}
    fields: dict[str, dict[str, FieldInfo]] = {}
    for owner, options in owners.items():
        for name, info in options.model_fields.items():
            fields.setdefault(name, {})[owner] = info
    merged: dict[str, Any] = {name: _merged(infos) for name, infos in fields.items()}
    settings = pydantic.create_model("Settings", __config__=ConfigDict(extra="forbid"), __doc__="The settings of an entry.", **merged)
    described = Field(description="Hub id, with @revision if needed, or a path that starts with ./, / or ~.")
    entry = pydantic.create_model("ModelEntry", __base__=settings, __doc__="A model and its settings.", model=(str, described))
    manifest = pydantic.create_model(
        "Manifest",
        __config__=ConfigDict(extra="forbid"),
        __doc__="A manifest of the checkpoints to convert.",
        defaults=(settings | None, Field(None, description="Settings of every model, unless it has others.")),
        models=(list[str | entry], Field(min_length=1, description="The models.")),
    )
    schema = manifest.model_json_schema(by_alias=True)
    _hyphenate(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _merged(infos: dict[str, FieldInfo]) -> tuple[Any, Any]:
    """The field for settings of several owners by one name; required by one backend means optional for an entry with others."""
    first = next(iter(infos.values()))
    if all(str(info) == str(first) for info in infos.values()) and not first.is_required():
        return first.annotation, first
    description = " ".join(f"{owner}: {info.description}" for owner, info in infos.items())
    return Union[*map(_constrained, infos.values()), None], Field(None, description=description)


def _constrained(info: FieldInfo) -> Any:
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def _hyphenate(schema: dict[str, Any]) -> None:
    """Options are spelt with hyphens, as flags are; `to` may also be the comma-separated text that models.txt has."""
    for definition in schema["$defs"].values():
        definition["properties"] = {name.replace("_", "-"): value for name, value in definition["properties"].items()}
        properties = definition["properties"]
        choices = {"type": "string", "enum": list(BACKENDS)}
        properties["to"] |= {"anyOf": [{"type": "array", "items": choices, "minItems": 1}, {"type": "string"}]}
        for key in ("type", "items", "minItems"):
            properties["to"].pop(key, None)


PUBLISHED = Path(__file__).with_name("manifest.schema.json")

if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
