"""Read modules.json of sentence-transformers: the class of transformers that the repository's model is loaded into.

config.json names the class of the pretraining, such as MPNetForMaskedLM, whose head the repository may lack. The names follow
sentence-transformers 5.7, which reads the files of all earlier versions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from converter.checkpoints.policy import CONFIG, CONFIG_LIMIT
from converter.core.errors import CheckpointError

MODULES = "modules.json"
_REPOSITORY = "config_sentence_transformers.json"
_MODULE = tuple(f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"))
"""The settings of a Transformer module, by the names that versions gave them."""
_TASKS = {"Transformer": "feature-extraction", "MLMTransformer": "fill-mask"}
"""The task that a module loads a model for if its settings name none."""

Read = Callable[[str, int], str]
"""Gives the text of a file of at most so many bytes."""


def declared_task(name: str, files: Collection[str], read: Read) -> str:
    """The task, by the Hub's name, that the model beside config.json is loaded for; empty if modules.json does not say it.

    A CrossEncoder of an older version names no task: config.json does. Raises CheckpointError for a file that is not JSON.
    """
    first = _first_module(name, files, read)
    kind = str(first.get("type", "")).rpartition(".")[2]
    if kind not in _TASKS or first.get("path") not in ("", "."):
        return ""
    settings: Any = next((_read(name, file, read) for file in _MODULE if file in files), {})
    task = settings.get("transformer_task") if isinstance(settings, Mapping) else None
    if isinstance(task, str):
        return task
    repository = _read(name, _REPOSITORY, read) if _REPOSITORY in files else {}
    is_cross_encoder = isinstance(repository, Mapping) and repository.get("model_type") == "CrossEncoder"
    return "" if is_cross_encoder else _TASKS[kind]


def folder_of_model(name: str, files: Collection[str], read: Read) -> str:
    """The folder of the repository that modules.json says the model is in, as older versions saved it; empty for any other."""
    path = _first_module(name, files, read).get("path")
    return path if isinstance(path, str) and f"{path}/{CONFIG}" in files else ""


def _first_module(name: str, files: Collection[str], read: Read) -> Mapping[str, Any]:
    modules = _read(name, MODULES, read) if MODULES in files else []
    first = modules[0] if isinstance(modules, list) and modules else {}
    return first if isinstance(first, Mapping) else {}


def _read(name: str, file: str, read: Read) -> Any:
    try:
        return json.loads(read(file, CONFIG_LIMIT))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} of {name} is not JSON: {error}", "download the checkpoint again") from error
