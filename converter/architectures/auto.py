"""The classes of transformers for a model type, from its own tables, parsed as text because an import takes seconds.

Relied on in transformers/models/auto/modeling_auto.py: tables are literals called MODEL_…MAPPING_NAMES, and each `AutoModel…` names its
table by `_model_mapping`. A test compares the result with the imported classes.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

LEFT = {
    "4.57": frozenset(
        {
            *(
                "deta",
                "efficientformer",
                "ernie_m",
                "gptsan-japanese",
                "graphormer",
                "jukebox",
                "mctct",
                "mega",
                "nat",
                "nezha",
                "open-llama",
            ),
            *("qdqbert", "realm", "retribert", "speech_to_text_2", "trajectory_transformer", "transfo-xl", "tvlt", "van", "vit_hybrid"),
            "xlm-prophetnet",
        }
    ),
}
"""Model types that left transformers, with the last version that has them: types in the tables of 4.57.1 and not of 5.23.0, except
names that no config.json has."""


def transformers_version() -> str:
    """The version of transformers that is installed."""
    return version("transformers")


def is_later(version: str, than: str) -> bool:
    """Whether a version, such as config.json names, is later than another; False for an invalid one."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) > Version(than)
    except InvalidVersion:
        return False


@cache
def auto_models() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """For each auto class, such as `AutoModelForCausalLM`, the classes that it has for each model type, the one it prefers first."""
    tables: dict[str, Mapping[str, tuple[str, ...]]] = {}
    classes: dict[str, str] = {}
    for statement in ast.parse(_source()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
            if name.endswith("_MAPPING_NAMES") and isinstance(value, ast.Call):
                tables[name] = _entries(value)
            elif name.endswith("_MAPPING") and isinstance(value, ast.Call) and isinstance(value.args[-1], ast.Name):
                classes[name] = value.args[-1].id  # MODEL_MAPPING = _LazyAutoMapping(CONFIG_MAPPING_NAMES, MODEL_MAPPING_NAMES)
        if isinstance(statement, ast.ClassDef):
            mapping = next((member.value for member in statement.body if isinstance(member, ast.Assign)), None)
            if isinstance(mapping, ast.Name):
                classes[statement.name] = mapping.id
    return {
        name: tables[classes[table]] for name, table in classes.items() if name.startswith("AutoModel") and classes.get(table) in tables
    }


@cache
def known_types() -> frozenset[str]:
    """Every model type that an auto class has a model for."""
    return frozenset(model_type for table in auto_models().values() for model_type in table)


def _source() -> str:
    spec = find_spec("transformers")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "models", "auto", "modeling_auto.py").read_text(encoding="utf-8")


def _entries(call: ast.Call) -> Mapping[str, tuple[str, ...]]:
    """The pairs of an `OrderedDict([(model type, class or classes), …])`, without those copied from another table."""
    pairs = call.args[0].elts if call.args and isinstance(call.args[0], ast.List) else []
    entries = (ast.literal_eval(pair) for pair in pairs if isinstance(pair, ast.Tuple))
    return {name: (classes,) if isinstance(classes, str) else tuple(classes) for name, classes in entries}
