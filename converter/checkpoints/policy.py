"""The files of a checkpoint that a conversion uses, and their permissions. By default weights come from safetensors only, because a pickle
can run code, and a checkpoint's own code is not run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from converter.core.errors import CheckpointError
from converter.core.records import Allowed, Source
from converter.core.text import brief

NOTHING_ELSE = Allowed()

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
ADAPTER = "adapter_config.json"
CODE_MAPS = (CONFIG, "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""The files in which a checkpoint names its own code."""

CONFIG_LIMIT = 8 * 2**20
"""Bytes of the largest config.json that is read: one with 60,000 labels has 4 MB. Of the worst Python makes twenty times its size."""
INDEX_LIMIT = 32 * 2**20
"""The same of an index of shards, which has some hundred bytes for each tensor: these are 300,000."""
SIDECAR_LIMIT = 2**30
"""Bytes of the largest file that goes beside an artifact: the vocabularies of today have 35 MB."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    # SentencePiece's
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "spm_char.model",
    "source.spm",
    "tokenizer.model*",
    # tiktoken's and Mistral's
    "tiktoken.model",
    "tekken.json",
    # of one model type each
    "bpe.codes",
    "dict.txt",
    "vocab-src.json",
    "entity_vocab.json",
    "byte_maps.json",
    "prophetnet.tokenizer",
)
"""Files of which one is enough to know that there is a tokenizer: all vocabularies that a tokenizer of transformers reads."""
_SIDECARS = (
    "*.json",
    "*.txt",
    "*.model",
    "tokenizer.model.*",
    "*.tiktoken",
    "*.tokenizer",
    "*.codes",
    "*.jinja",
    "*.bpe",
    "*.spm",
    "additional_chat_templates/*.jinja",
    # sentence-transformers keeps a folder per module
    "[0-9]_*/config.json",
)
_LONGEST_NAME = 200  # characters of a model_type; the longest of transformers' own has 40
_NOT_SIDECARS = ("*.index.json", "converter.json", "report.json", "requirements*.txt", "LICENSE*", "trainer_state.json", "*_results.json")
_MOST_TOLD = 5  # files that are named in a sentence
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def is_sidecar(name: str) -> bool:
    """Whether a file is config, tokenizer or similar, to be copied beside the artifact."""
    depth = len(PurePosixPath(name).parts)
    return any(fnmatch(name, pattern) and depth == pattern.count("/") + 1 for pattern in _SIDECARS) and not any(
        fnmatch(name, pattern) for pattern in _NOT_SIDECARS
    )


def may_be_needed(name: str) -> bool:
    """Whether a conversion needs a file if it is there: a sidecar, or weights under a name that transformers writes."""
    return is_sidecar(name) or fnmatch(name, "model.safetensors*") or fnmatch(name, "model-*-of-*.safetensors")


def is_of_tokenizer(name: str) -> bool:
    """Whether a file is one of those by which a tokenizer is known."""
    return any(fnmatch(name, pattern) for pattern in TOKENIZER_FILES)


def is_code(name: str) -> bool:
    """Whether a file may be part of the code that a checkpoint brings."""
    return name.endswith(".py") and len(PurePosixPath(name).parts) <= 2


def may_be_read(name: str) -> bool:
    """Whether transformers or we may read a file, so that it has to be regular: all except files in hidden folders."""
    return not any(part.startswith(".") for part in PurePosixPath(name).parts)


def check_config(text: str, name: str, allowed: Allowed = NOTHING_ELSE) -> dict[str, Any]:
    """Parse config.json. Raises CheckpointError if it is no JSON object, or names code that is not `allowed`."""
    if text.startswith("\ufeff"):  # json refuses it, and so does transformers
        raise CheckpointError(f"{CONFIG} of {name} begins with a byte order mark", "save it as UTF-8 without one")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} of {name} is not JSON: {error}", "download the checkpoint again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG} of {name} is not a JSON object", "download the checkpoint again")
    if "auto_map" in config and not allowed.remote_code:
        raise CheckpointError(
            f"{name} has its own code (auto_map), which is not allowed",
            "take a checkpoint of an architecture that transformers has; or read the code, and give --trust-remote-code with its commit",
        )
    return config


def names_model_type(config: Mapping[str, Any]) -> bool:
    """Whether a config.json says which model it is of."""
    return isinstance(config.get("model_type"), str) and 0 < len(config["model_type"]) <= _LONGEST_NAME


def check_code(text: str, name: str) -> None:
    """Raise CheckpointError if one of CODE_MAPS names code of another repository, which no commit pins."""
    try:
        named = json.loads(text).get("auto_map")
    except (ValueError, AttributeError, RecursionError):
        return  # transformers reports the problem
    if "--" in json.dumps(named):
        raise CheckpointError(
            f"{name} names code of another repository, which its commit does not pin", "save it with its code beside it, and take that"
        )


def check_pin(source: Source, commit: str) -> None:
    """Raise CheckpointError for a repository whose code is to be run and that is not named by its commit."""
    if source.revision != commit:
        raise CheckpointError(
            f"{source} may bring other code tomorrow, so it is not run",
            f"read the code, then name it by its commit: {source.name}@{commit}",
        )


def weight_files(name: str, files: Collection[str], read_index: Callable[[str], str], allowed: Allowed = NOTHING_ELSE) -> tuple[str, ...]:
    """Name the files with the weights of a checkpoint, the index of a sharded one first; none if it has none that are allowed.

    `read_index` reads an index. Raises CheckpointError for one that cannot be read, and for missing shards.
    """
    for whole, index in ((WEIGHTS, WEIGHTS_INDEX), (PICKLED_WEIGHTS, PICKLED_INDEX)):
        if whole == PICKLED_WEIGHTS and not allowed.pickle:
            break
        if whole in files:
            return (whole,)
        if index in files:
            return (index, *_shards(name, files, index, read_index(index)))
    return ()


def _shards(name: str, files: Collection[str], index: str, text: str) -> tuple[str, ...]:
    """The files that an index names."""
    kind = PurePosixPath(index.removesuffix(".index.json")).suffix
    try:
        shards = sorted(set(json.loads(text)["weight_map"].values()))
        unsafe = [shard for shard in shards if PurePosixPath(shard).name != shard or not shard.endswith(kind)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} of {name} cannot be read: {error}", "download the checkpoint again") from error
    if not shards:
        raise CheckpointError(f"{index} of {name} names no weights", "download the checkpoint again")
    if unsafe:
        raise CheckpointError(f"{index} of {name} names {brief(unsafe[0])!r}, which is not a file beside it", "do not use this checkpoint")
    missing = [shard for shard in shards if shard not in files]
    if missing:
        names = f"{', '.join(map(brief, missing[:_MOST_TOLD]))}{', …' if len(missing) > _MOST_TOLD else ''}"
        raise CheckpointError(f"{name} lacks {len(missing)} of its {len(shards)} weight files: {names}", "download them")
    return tuple(shards)
