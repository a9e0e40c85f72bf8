"""The JSON Schema of models.yaml, made from the same definitions that check it; `manifest.schema.json` is its published copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from converter.backends import BACKENDS
from converter.manifest.entries import EntrySettings


def json_schema() -> dict[str, Any]:
    """The JSON Schema of models.yaml, made from the settings and the options of every backend."""
    owners: tuple[type[BaseModel], ...] = (EntrySettings, *(backend.options for backend in BACKENDS.values()))
    fields: dict[str, Any] = {name: (info.annotation, info) for owner in owners for name, info in owner.model_fields.items()}
    settings = pydantic.create_model("Settings", __config__=ConfigDict(extra="forbid"), __doc__="The settings of an entry.", **fields)
    described = Field(description="A Hub id, with @revision where wanted, or a path that starts with ./ or /.")
    entry = pydantic.create_model("ModelEntry", __base__=settings, __doc__="A model and its settings.", model=(str, described))
    manifest = pydantic.create_model(
        "Manifest",
        __config__=ConfigDict(extra="forbid"),
        __doc__="A manifest of the checkpoints to convert.",
        defaults=(settings | None, Field(None, description="Settings of every model that does not say otherwise.")),
        models=(list[str | entry], Field(min_length=1, description="The models.")),
    )
    schema = manifest.model_json_schema(by_alias=True)
    _hyphenate(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


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
