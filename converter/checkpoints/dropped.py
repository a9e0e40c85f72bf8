"""Weights of a checkpoint that the loaded class does not have: from old versions, other heads, or unknown.

Only the name of a weight says its purpose, so the classes of transformers are searched for it.

Relied on in transformers, and not public: `conversion_mapping.get_model_conversion_mapping` and `core_model_loading.rename_source_key`,
by which from_pretrained renames weights of older files. GPT-NeoX in this module's test notices a change.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from converter.checkpoints.policy import INDEX_LIMIT, PICKLED_INDEX, PICKLED_WEIGHTS, WEIGHTS, WEIGHTS_INDEX
from converter.core.errors import CheckpointError
from converter.core.files import open_regular
from converter.core.text import brief

_CONSTANTS = re.compile(
    "|".join(
        (
            r"(^|\.)masked_bias$",  # GPT-2, GPT Neo and GPT-J: the number at masked positions
            r"(^|[._])inv_freq$",  # rotary positions: computed from config.json
            r"(^|\.)(encoder|decoder)\.version$",  # M2M100, mBART, OPT: fairseq's number of the file's format
            r"\.EncDecAttention\.relative_attention_bias\.weight$",  # T5: its cross-attention has no positions
        )
    )
)
"""Names of tensors that old versions stored, that are no weights, and that no module of today has."""

_PRETRAINING = re.compile(
    "|".join(
        (
            r"^cls\.seq_relationship\.",  # BERT's next sentence, also in files of types that have no such class
            r"^(lm|mask)_predictions\.",  # DeBERTa: transformers has no class for the second, and the first only in newer files
        )
    )
)
"""Names of heads that checkpoints were pretrained with, and that no class of their type has."""

_PACKED = re.compile(
    r"(weight_scale(_inv)?|(input|activation)_scale|_proj_(blocks|scales?|scale_inv)|\.(scales|qweight|qzeros|g_idx|SCB|absmax)|weight_packed)$"
)
"""Names of the parts of quantized weights: GPTQ's and AWQ's, bitsandbytes', compressed-tensors', fp8's, mxfp4's."""
_UNMERGED = re.compile(r"\.(lora_[AB]|lora_embedding_[AB]|base_layer)\b")
_MOST_NAMED = 3

Read = Callable[[str], torch.Tensor | None]
"""Gives the stored tensor of a name, None for a name that is not in the file: transformers renames some."""


@dataclass(frozen=True)
class DroppedWeights:
    """The names of trained weights that were not loaded: of another head of the same model, and of no known class."""

    of_heads: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def notes(self, folder: Path, class_name: str, may_drop: bool) -> tuple[str, ...]:
        """Notes for the user, a clause each. Raises CheckpointError for unknown ones, unless they `may_drop`."""
        if packed := [name for name in self.unknown if _PACKED.search(name)]:  # without them the others are other numbers
            raise CheckpointError(
                f"{folder} has quantized weights, and its config.json has no quantization_config that reads {named(packed)}",
                "convert the checkpoint that it was quantized from",
            )
        if unmerged := [name for name in self.unknown if _UNMERGED.search(name)]:
            raise CheckpointError(
                f"{folder} has a LoRA adapter that is not merged: {named(unmerged)}",
                "call peft's merge_and_unload, save that, and convert it",
            )
        if self.unknown and not may_drop:
            raise CheckpointError(
                f"{folder} has {counted(self.unknown)} that {class_name} does not load and no other head has: {named(self.unknown)}",
                "take a checkpoint of a class that transformers has, or leave them out with --drop-weights",
            )
        notes = []
        if self.of_heads:
            notes.append(f"{counted(self.of_heads)} of another head left out: {named(self.of_heads)}")
        if self.unknown:
            notes.append(f"{counted(self.unknown)} left out by --drop-weights: {named(self.unknown)}")
        return tuple(notes)


def dropped_weights(module: Any, config: Any, names: Collection[str], read: Read) -> DroppedWeights:
    """Sort the `names` that transformers found in a file and did not load into `module`.

    Args:
        module: the loaded model.
        config: the checkpoint's configuration; the module's own may be a part of it.
        names: `unexpected_keys` of from_pretrained's loading info.
        read: gives a stored tensor by its name.

    Returns: the trained ones; others are left out.
    """
    if not names:
        return DroppedWeights()
    tensors = dict(module.state_dict(keep_vars=True))
    trained = [name for name in sorted(names) if not (_CONSTANTS.search(name) or _is_constant(read(name), tensors))]
    known = _Known(module, config) if trained else None
    of_heads, unknown = [], []
    for name in trained:
        kind = known.kind(name) if known else None
        if kind == "parameter" or (kind is None and _PRETRAINING.search(name)):
            of_heads.append(name)
        elif kind is None:
            unknown.append(name)
    return DroppedWeights(tuple(of_heads), tuple(unknown))


def check_prefix(folder: Path, module: Any, unexpected: Collection[str], missing: Collection[str]) -> None:
    """Raise CheckpointError for weights whose names have a prefix that a wrapper gave them, such as `module.`.

    Args:
        folder: the checkpoint's folder, for the message.
        module: the loaded model.
        unexpected: the stored names that it does not have.
        missing: its own names that are not stored.
    """
    own = frozenset(missing)
    prefixes = Counter(name[:end] for name in unexpected for end in _after_dots(name) if name[end:] in own)
    prefix, count = next(iter(prefixes.most_common(1)), ("", 0))
    if module.base_model is module and prefix.endswith(f".{module.base_model_prefix}."):  # the file is of a model with a head
        prefix = prefix.removesuffix(f"{module.base_model_prefix}.")
    if prefix and 2 * count > len(module.state_dict()):
        raise CheckpointError(
            f"the weights of {folder} have names that begin with {brief(prefix)!r}, the mark of a wrapper around the model",
            f"call save_pretrained on the model inside the wrapper, or remove {brief(prefix)!r} from the names",
        )


def _after_dots(name: str) -> Iterator[int]:
    yield from (match.end() for match in re.finditer(r"\.", name))


def stored_weight(folder: Path, name: str, has_safetensors: bool) -> torch.Tensor | None:
    """The tensor `name` in the weights of `folder`, unconverted; None if there is none."""
    whole, index = (WEIGHTS, WEIGHTS_INDEX) if has_safetensors else (PICKLED_WEIGHTS, PICKLED_INDEX)
    file: str | None = whole
    if not (folder / whole).is_file():
        with open_regular(folder / index) as stream:
            file = json.loads(stream.read(INDEX_LIMIT))["weight_map"].get(name)
    if file is None:
        return None
    if has_safetensors:
        with safe_open(str(folder / file), framework="pt") as tensors:
            return tensors.get_tensor(name) if name in tensors.keys() else None  # noqa: SIM118 - not a mapping
    path = folder / file
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    tensor: torch.Tensor | None = stored.get(name)
    return tensor


def _is_constant(stored: torch.Tensor | None, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether a stored tensor is an index, a causal mask, or a matrix that was loaded under another name."""
    if stored is None:
        return False
    if not (stored.is_floating_point() or stored.is_complex()):
        return True
    shape = stored.shape
    if stored.dim() == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]:
        return bool(stored.equal(torch.ones_like(stored).tril()))
    # a vector of zeros is equal to many
    return stored.dim() > 1 and any(tensor.shape == shape and tensor.detach().equal(stored.to(tensor.dtype)) for tensor in tensors.values())


@dataclass(frozen=True)
class _Names:
    """The names of a class's parameters and buffers, and the renaming of older files by from_pretrained."""

    parameters: frozenset[str] = frozenset()
    buffers: frozenset[str] = frozenset()
    renamings: tuple[Any, ...] = ()

    @classmethod
    def of(cls, model: Any) -> _Names:
        """Those of `model`, which may be without memory."""
        return cls(
            frozenset(name for name, _ in model.named_parameters(remove_duplicate=False)),
            frozenset(name for name, _ in model.named_buffers(remove_duplicate=False)),
            tuple(get_model_conversion_mapping(model)),
        )

    def renamed(self, name: str) -> str:
        """What from_pretrained takes a name of a file for."""
        renamings = [entry for entry in self.renamings if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in self.renamings if isinstance(entry, WeightConverter)]
        return rename_source_key(name, renamings, converters)[0]


@dataclass
class _Known:
    """The names in the classes of a model's type and in the models inside. Classes are built without memory, on demand."""

    module: Any
    config: Any
    _names: dict[type, _Names] = field(default_factory=dict)

    def kind(self, name: str) -> str | None:
        """Whether another class has `name` as a `parameter` or a `buffer`; None if none does."""
        for model, rest in self._owners(name):
            prefix = f"{model.base_model_prefix}."
            spellings = {rest, f"{prefix}{rest}", rest.removeprefix(prefix)}
            own = {spelling for spelling, _ in model.named_parameters(remove_duplicate=False)}
            for kind in self._classes(model):
                names = self._of(kind, model)
                there = {*spellings, *map(names.renamed, spellings)}
                if there & names.buffers:
                    return "buffer"
                if there & names.parameters and not there & own:
                    return "parameter"
        return None

    def _owners(self, name: str) -> Iterator[tuple[Any, str]]:
        """The models of transformers that may have `name`, the innermost first, each with its own name for the weight."""
        prefix = getattr(self.module, "base_model_prefix", "")
        for spelling in dict.fromkeys((name, name.removeprefix(f"{prefix}."), f"{prefix}.{name}")):
            parts = spelling.split(".")
            for depth in range(len(parts) - 1, 0, -1):
                try:
                    model = self.module.get_submodule(".".join(parts[:depth]))
                except AttributeError:
                    continue
                if isinstance(model, transformers.PreTrainedModel):
                    yield model, ".".join(parts[depth:])
        yield self.module, name

    def _classes(self, model: Any) -> Iterator[type]:
        """The classes in config.json, and all others in the files of `model`'s class and its bases."""
        files = dict.fromkeys(base.__module__ for base in type(model).__mro__)
        beside = [member for file in files for member in vars(sys.modules[file]).values() if isinstance(member, type)]
        named = [getattr(transformers, str(name), None) for name in self.config.architectures or ()]
        for kind in dict.fromkeys((*named, *type(model).__mro__, *beside)):
            if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel) and self._config(kind, model) is not None:
                yield kind

    def _config(self, kind: Any, model: Any) -> Any:
        return next((config for config in (model.config, self.config) if kind.config_class is type(config)), None)

    def _of(self, kind: type, model: Any) -> _Names:
        if kind not in self._names:
            try:
                with torch.device("meta"):
                    self._names[kind] = _Names.of(kind(copy.deepcopy(self._config(kind, model))))
            except Exception:  # a class may want settings that this config.json lacks, and then it explains nothing
                self._names[kind] = _Names()
        return self._names[kind]


def counted(names: Collection[str]) -> str:
    """How many weights there are, in words."""
    return f"{len(names)} weight{'s' if len(names) > 1 else ''}"


def named(names: Collection[str]) -> str:
    """The first names, and how many more there are."""
    first = ", ".join(brief(name) for name in [*names][:_MOST_NAMED])
    return f"{first} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else first
