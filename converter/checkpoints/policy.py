"""Which files of a checkpoint a conversion takes. Weights come from safetensors alone: a pickle can run code."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from converter.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"

_SIDECARS = (
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "*.bpe",
    "*.spm",
    # sentence-transformers keeps a folder per module
    "[0-9]_*/config.json",
)
_NOT_SIDECARS = ("*.index.json", "converter.json", "report.json", "requirements*.txt", "LICENSE*", "trainer_state.json", "*_results.json")
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def is_sidecar(name: str) -> bool:
    """Whether a file is the config, the tokenizer or the like, which goes beside the artifact as it is."""
    depth = len(PurePosixPath(name).parts)
    return any(fnmatch(name, pattern) and depth == pattern.count("/") + 1 for pattern in _SIDECARS) and not any(
        fnmatch(name, pattern) for pattern in _NOT_SIDECARS
    )


def check_config(text: str, name: str) -> dict[str, Any]:
    """Parse config.json and make sure that it says which model it is of."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} of {name} is not JSON: {error}", "download the checkpoint again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG} of {name} is not a JSON object", "download the checkpoint again")
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise CheckpointError(
            f"{CONFIG} of {name} has no model_type, so nothing says which architecture it is",
            'add "model_type": "bert" (or whichever it is) to it, as transformers\' save_pretrained does',
        )
    if "auto_map" in config:
        raise CheckpointError(
            f"{name} brings code of its own (auto_map), which is not run", "take a checkpoint of an architecture that transformers has"
        )
    return config


def weight_files(name: str, files: Collection[str], read_index: Callable[[], str]) -> tuple[str, ...]:
    """Name the safetensors files of a checkpoint, in order; `read_index` gives the text of the index of a sharded one."""
    if "adapter_config.json" in files:
        raise CheckpointError(f"{name} is an adapter, which changes what the model does", "merge it into its model with peft and save that")
    if WEIGHTS in files:
        return (WEIGHTS,)
    if WEIGHTS_INDEX not in files:
        if any(fnmatch(file, pattern) for file in files for pattern in _PICKLES):
            raise CheckpointError(
                f"{name} has its weights as a pickle only, which can run code when it is loaded",
                "save it with transformers' save_pretrained, which writes model.safetensors",
            )
        raise CheckpointError(f"{name} has no weights: there is no {WEIGHTS}", "name a folder or repository that holds them")
    try:
        shards = sorted(set(json.loads(read_index())["weight_map"].values()))
        unsafe = [shard for shard in shards if PurePosixPath(shard).name != shard or not shard.endswith(".safetensors")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{WEIGHTS_INDEX} of {name} cannot be read: {error}", "download the checkpoint again") from error
    if not shards:
        raise CheckpointError(f"{WEIGHTS_INDEX} of {name} names no weights", "download the checkpoint again")
    if unsafe:
        raise CheckpointError(f"{WEIGHTS_INDEX} of {name} names {unsafe[0]!r}, which is no file beside it", "do not use this checkpoint")
    missing = [shard for shard in shards if shard not in files]
    if missing:
        raise CheckpointError(f"{name} lacks {len(missing)} of its {len(shards)} weight files: {', '.join(missing)}", "download them")
    return tuple(shards)
