"""Recognise a folder or repository that is no checkpoint of transformers, so that the error says which other thing it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from converter.checkpoints.modules import MODULES, folder_of_model
from converter.checkpoints.policy import ADAPTER, CONFIG, CONFIG_LIMIT, PICKLES, WEIGHTS, WEIGHTS_INDEX
from converter.core.errors import CheckpointError
from converter.core.text import brief

_PIPELINE = "model_index.json"
_MOST_NAMED = 3
_LONGEST_NUMBER = 20  # digits; Python refuses to read thousands
_VARIANT = re.compile(r"model\.[\w-]+?(-\d{5}-of-\d{5})?\.safetensors")
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_OTHER_FRAMEWORKS = (
    ("tf_model.h5", "TensorFlow"),
    ("model.ckpt*", "TensorFlow"),
    ("saved_model.pb", "TensorFlow"),
    ("flax_model.msgpack", "Flax"),
    ("*.keras", "Keras"),
    ("rust_model.ot", "Rust"),
)
_NOT_LOADED = ("Tokenizer", "TokenizerFast", "Processor", "ImageProcessor", "FeatureExtractor")
"""How the class names of a pipeline's parts end that have no weights."""


@dataclass(frozen=True)
class Place:
    """A folder or repository to recognise.

    Args:
        name: its name, as the user gave it.
        files: the paths of its files.
        read: gives the text of a file of at most so many bytes.
        is_local: whether it is a folder of this machine.
    """

    name: str
    files: Collection[str]
    read: Callable[[str, int], str]
    is_local: bool

    def matching(self, *patterns: str) -> list[str]:
        """The files outside of subfolders that match a pattern."""
        return sorted(file for file in self.files if "/" not in file and any(fnmatch(file, pattern) for pattern in patterns))

    def json(self, file: str) -> Mapping[str, Any]:
        """The object in a JSON file; empty if there is none."""
        try:
            loaded = json.loads(self.read(file, CONFIG_LIMIT)) if file in self.files else {}
        except (ValueError, RecursionError):
            return {}
        return loaded if isinstance(loaded, Mapping) else {}

    def naming(self, *folders: str) -> str:
        """What to do if the model is in one of `folders` of this place."""
        if self.is_local:
            return f"name {' or '.join(f'{self.name}/{folder}' for folder in folders)}"
        return f"download the repository, and name its folder {' or '.join(folders)}"


def check_adapter(place: Place) -> None:
    """Raise CheckpointError for an adapter: its weights are only a difference from another model's."""
    if ADAPTER not in place.files:
        return
    settings = place.json(ADAPTER)
    kind, base = settings.get("peft_type"), settings.get("base_model_name_or_path")
    named = "a LoRA adapter" if kind == "LORA" else f"an adapter ({brief(kind)})" if isinstance(kind, str) and kind else "an adapter"
    of = f" of {brief(base)}" if isinstance(base, str) and base else ""
    whole = f"; or delete {ADAPTER} if {WEIGHTS} is the whole model" if WEIGHTS in place.files else ""
    raise CheckpointError(
        f"{place.name} is {named}{of}, not a whole model",
        f"merge it into that model with peft's merge_and_unload, save it, and name that{whole}",
    )


def without_config(place: Place) -> CheckpointError:
    """The error for a place without config.json."""
    folder = folder_of_model(place.name, place.files, place.read)
    if folder:
        return CheckpointError(
            f"{place.name} has no {CONFIG}: {MODULES} says that its model is in {brief(folder)}", place.naming(brief(folder))
        )
    return (
        _pipeline(place)
        or _original(place)
        or _of_other_runtimes(place, f"{place.name} has no {CONFIG}")
        or _in_subfolders(place)
        or CheckpointError(
            f"{place.name} has no {CONFIG}{_weights_alone(place)}",
            "name a folder or repository as transformers' save_pretrained writes it",
        )
    )


def without_model_type(name: str, config: Mapping[str, Any]) -> CheckpointError:
    """The error for a config.json that does not say its architecture."""
    diffusers, timm = config.get("_class_name"), config.get("architecture")
    if isinstance(diffusers, str):
        return CheckpointError(
            f"{name} is a {brief(diffusers)} of diffusers, not a model of transformers", "export it with a tool for diffusers"
        )
    if isinstance(timm, str) and ("pretrained_cfg" in config or "num_features" in config):
        return CheckpointError(
            f"{name} is the timm model {brief(timm)}, not a model of transformers",
            "export it with timm's onnx_export.py, or name a checkpoint of transformers of the same architecture",
        )
    if "model_cfg" in config and "preprocess_cfg" in config:
        return CheckpointError(f"{name} is a model of OpenCLIP, not of transformers", "name the checkpoint in the format of transformers")
    if "word_embedding_dimension" in config or "pooling_mode_mean_tokens" in config:
        return CheckpointError(f"{name} is a module of sentence-transformers without a model", "name the folder above it")
    if "keras_version" in config or "class_name" in config:
        return CheckpointError(f"{name} is a Keras model, not a model of transformers", "export it with tf2onnx")
    return CheckpointError(
        f"{CONFIG} of {name} has no model_type, so nothing says which architecture it is",
        'add "model_type": "bert" (or whichever it is) to it, as transformers\' save_pretrained does',
    )


def without_weights(place: Place) -> CheckpointError:
    """The error for a place with a config.json and no weights that may be read."""
    lacks = f"{place.name} has no {WEIGHTS}"
    if variants := [file for file in place.matching("*.safetensors") if _VARIANT.fullmatch(file)]:
        return CheckpointError(
            f"{lacks}, only the variant {_listed(variants)}",
            f"rename {brief(variants[0])} to {WEIGHTS}"
            if len(variants) == 1 and "-of-" not in variants[0]
            else "load it with transformers' variant= and save it again without",
        )
    if shards := [file for file in place.matching("*.safetensors") if _SHARD.fullmatch(file)]:
        return CheckpointError(f"{place.name} has the shards {_listed(shards)} and no {WEIGHTS_INDEX}", f"download {WEIGHTS_INDEX} too")
    if place.matching(PICKLES[0]):
        return CheckpointError(
            f"{place.name} has its weights as a pickle only, which can run code when it is loaded",
            "save it with transformers' save_pretrained, which writes model.safetensors; or trust it, and give --allow-pickle",
        )
    if others := place.matching("*.safetensors"):
        return CheckpointError(
            f"{lacks}, and transformers does not read {_listed(others)}",
            f"if {brief(others[0])} holds the whole model, rename it to {WEIGHTS}",
        )
    if others := place.matching(*PICKLES):
        return CheckpointError(
            f"{lacks}, and transformers does not read {_listed(others)}",
            "if one of these holds the whole model, load it as its training does, and save it with save_pretrained",
        )
    return _of_other_runtimes(place, lacks) or CheckpointError(lacks, "name a folder or repository that holds the weights")


def _pipeline(place: Place) -> CheckpointError | None:
    """The error for a pipeline of diffusers, with its folders that transformers loads."""
    if _PIPELINE not in place.files:
        return None
    parts = place.json(_PIPELINE)
    folders = [
        name
        for name, part in parts.items()
        if isinstance(part, Sequence) and [*part[:1]] == ["transformers"] and not str(part[-1]).endswith(_NOT_LOADED)
    ]
    kind = parts.get("_class_name")
    named = f" ({brief(kind)})" if isinstance(kind, str) else ""
    return CheckpointError(
        f"{place.name} is a pipeline of diffusers{named}, not a model of transformers",
        place.naming(*map(brief, folders[:_MOST_NAMED])) if folders else "export it with a tool for diffusers",
    )


def _original(place: Place) -> CheckpointError | None:
    """The error for the format in which Meta and Mistral release their models."""
    weights = place.matching("consolidated*.pth", "consolidated*.safetensors")
    if "params.json" not in place.files or not weights:
        return None
    return CheckpointError(
        f"{place.name} has {brief(weights[0])} and params.json, a format that transformers does not read",
        "name the checkpoint in the format of transformers, with config.json and model.safetensors",
    )


def _of_other_runtimes(place: Place, lacks: str) -> CheckpointError | None:
    """The error for files that were made from a checkpoint, or by another framework."""
    if files := place.matching("*.gguf"):
        return CheckpointError(f"{lacks}, only GGUF files: {_listed(files)}", "name the checkpoint that they were made from")
    if files := sorted(file for file in place.files if PurePosixPath(file).suffix == ".onnx"):
        return CheckpointError(f"{lacks}, only ONNX files: {_listed(files)}", "name the checkpoint that they were made from")
    for pattern, framework in _OTHER_FRAMEWORKS:
        if files := place.matching(pattern):
            return CheckpointError(
                f"{lacks}, only {_listed(files)} of {framework}", "name a checkpoint with model.safetensors; transformers 5 reads no other"
            )
    return None


def _in_subfolders(place: Place) -> CheckpointError | None:
    """The error for a folder of checkpoints, such as a training's output."""
    folders = sorted((file.partition("/")[0] for file in place.files if file.count("/") == 1 and file.endswith(f"/{CONFIG}")), key=_steps)
    if not folders:
        return None
    have = "its folder {} has one" if len(folders) == 1 else "its folders {} have one"
    return CheckpointError(f"{place.name} has no {CONFIG}; {have.format(_listed(folders))}", place.naming(brief(folders[-1])))


def _steps(folder: str) -> tuple[int, str]:
    """Sort a training's checkpoints by their steps, the latest last."""
    number = folder.rpartition("-")[2]
    return (int(number) if number.isascii() and number.isdigit() and len(number) < _LONGEST_NUMBER else -1, folder)


def _weights_alone(place: Place) -> str:
    weights = place.matching("*.safetensors", *PICKLES)
    return f", only {_listed(weights)}" if weights else ""


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
    return f"{', '.join(map(brief, files[:_MOST_NAMED]))}{more}"
