"""Load a fetched checkpoint with transformers: mapped from safetensors; other contents only if allowed."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
import transformers
from transformers.core_model_loading import build_glob_alternation

from converter.architectures.embedders import COLBERT, COLBERT_WEIGHT, make_model, model_class
from converter.checkpoints.dropped import check_prefix, dropped_weights, stored_weight
from converter.checkpoints.policy import CONFIG, NOTHING_ELSE, WEIGHTS, WEIGHTS_INDEX, is_of_tokenizer
from converter.checkpoints.quantization import dequantize
from converter.checkpoints.rotary import check_rotary
from converter.checkpoints.size import check_model
from converter.core.errors import CheckpointError, ConversionError
from converter.core.reason import reason
from converter.core.records import Allowed, Dtype

_DTYPES: Mapping[Dtype, torch.dtype | str] = {"float32": torch.float32, "checkpoint": "auto"}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How `load_model` loaded a checkpoint.

    Args:
        folder: the checkpoint's folder.
        written: config.json as the checkpoint has it.
        made_up: the weights that the checkpoint lacks and transformers filled with random numbers.
        notes: notes for the user, a clause for one note.
    """

    folder: Path | None = None
    written: Mapping[str, Any] | None = None
    made_up: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


_UNKNOWN = Provenance()
_PROVENANCES: WeakKeyDictionary[Any, Provenance] = WeakKeyDictionary()
"""The provenance of each living module: a user may get one from `FeaturesManager` and pass it to `export`."""


@dataclass(frozen=True)
class LoadedModel:
    """A model of transformers in evaluation mode, however it was loaded."""

    module: Any
    provenance: Provenance = _UNKNOWN

    @classmethod
    def of(cls, module: Any) -> LoadedModel:
        """A user's module, with its provenance if `load_model` loaded it."""
        return cls(module, _PROVENANCES.get(module, _UNKNOWN))

    @property
    def config(self) -> Any:
        """Its configuration, as transformers loaded it."""
        return self.module.config

    @property
    def made_up(self) -> frozenset[str]:
        """The weights that the checkpoint lacks and transformers filled with random numbers, if `load_model` loaded it."""
        return self.provenance.made_up

    @property
    def written(self) -> Mapping[str, Any]:
        """config.json as the checkpoint has it if `load_model` loaded it; otherwise as transformers would write it."""
        settings: Mapping[str, Any] = self.provenance.written or json.loads(self.config.to_json_string())
        return settings

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder, if `load_model` loaded it."""
        return self.provenance.folder

    @property
    def has_head(self) -> bool:
        """Whether it is more than the base model of its family."""
        return getattr(self.module, "base_model", self.module) is not self.module

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how `load_model` loaded it, a clause each."""
        return self.provenance.notes

    @property
    def size(self) -> int:
        """How many weights it has, tied ones once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def dtype(self) -> str:
        """The floating point type of the weights, as numpy names it."""
        return str(next(self.module.parameters()).dtype).removeprefix("torch.")

    def float32_weights(self, dtype: str) -> frozenset[str]:
        """The weights that transformers keeps in float32 when it loads a model in `dtype`, under every name they go by.

        Relied on: `PreTrainedModel._get_dtype_plan`, the patterns that `_keep_in_fp32_modules` (float16) and
        `_keep_in_fp32_modules_strict` (bfloat16 too) are, and `core_model_loading.build_glob_alternation`, as which they are searched for.
        """
        plan = getattr(self.module, "_get_dtype_plan", None)
        patterns = [*plan(getattr(torch, dtype))] if plan else []
        if not patterns:
            return frozenset()
        searched, *_ = build_glob_alternation(patterns)
        tensors = self.tensors()
        pointers = {tensors[name].data_ptr() for name in tensors if searched.search(name)}
        return frozenset(name for name, tensor in tensors.items() if tensor.data_ptr() in pointers)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every parameter and buffer under every name it goes by; tied ones share their storage."""
        named = (*self.module.named_parameters(remove_duplicate=False), *self.module.named_buffers(remove_duplicate=False))
        return {name: tensor.detach() for name, tensor in named}

    def trained(self) -> list[str]:
        """The names, with all names of tied ones, of the checkpoint's parameters and stored buffers of several floats."""
        stored = self.module.state_dict(keep_vars=True)
        buffers = {name for name, tensor in stored.items() if tensor.is_floating_point() and tensor.numel() > 1}
        parameters = dict(self.module.named_parameters(remove_duplicate=False))
        return [name for name in self.tensors() if (name in parameters or name in buffers) and name not in self.made_up]


def made_up_error(names: Iterable[str], has_head: bool) -> ConversionError:
    """The error for weights that the checkpoint lacks and an artifact needs."""
    base = ", such as feature=default (--feature default), the model without a head"
    return ConversionError(
        f"the checkpoint has no weights for {', '.join(sorted(names))}: they would be random numbers",
        f"choose a feature that the checkpoint was trained for{base if has_head else ''}; if it should have them, download it again",
    )


def load_config(folder: Path) -> Any:
    """The checkpoint's configuration as transformers reads it."""
    with _plain_errors("configuration", folder):
        return _read_config(folder, NOTHING_ELSE)


def _read_config(folder: Path, allowed: Allowed) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=allowed.remote_code, local_files_only=True)
    _forget_attention(config)
    dequantize(config)
    return config


_EVERYWHERE = (None, "eager", "sdpa")
"""The attention implementations that run on any machine."""


def _forget_attention(config: Any) -> None:
    """Leave the choice of attention to transformers if config.json names one that needs a GPU, such as flash_attention_2."""
    for part in (config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", ()))):
        if getattr(part, "_attn_implementation", None) not in _EVERYWHERE:
            part._attn_implementation = {"": None}  # of this part alone


def load_model(
    folder: Path, auto_class: str, dtype: Dtype, attn_implementation: str | None = None, allowed: Allowed = NOTHING_ELSE
) -> LoadedModel:
    """Load the weights of `folder` into `auto_class`; parameters are views of the mapped file if the dtype allows it.

    `attn_implementation` None is transformers' default. Raises CheckpointError if transformers refuses, and for trained weights of no
    class, unless `allowed` drops them.
    """
    has_safetensors = (folder / WEIGHTS).is_file() or (folder / WEIGHTS_INDEX).is_file()
    stored = sum(path.stat().st_size for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    with _plain_errors("configuration", folder), torch.device("meta"):  # which has no memory: 5 ms for BERT
        config = _read_config(folder, allowed)
        shell = make_model(auto_class, deepcopy(config), trust_remote_code=allowed.remote_code)
    check_model(shell, folder, stored)
    check_rotary(shell.config)
    with _plain_errors("weights", folder):
        read = partial(stored_weight, folder, has_safetensors=has_safetensors)
        module, info = _class(auto_class, config, read).from_pretrained(
            folder,
            config=deepcopy(config),
            dtype=_DTYPES[dtype],
            **({"attn_implementation": attn_implementation} if attn_implementation else {}),  # None would override config.json
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that we can name them: transformers tells them in a log alone
            use_safetensors=has_safetensors or not allowed.pickle,
            weights_only=True,
            trust_remote_code=allowed.remote_code,
            local_files_only=True,
        )
    if info["mismatched_keys"]:
        problems = ", ".join(f"{name} is {tuple(shape)}, not {tuple(wanted)}" for name, shape, wanted in sorted(info["mismatched_keys"]))
        raise CheckpointError(f"the weights of {folder} do not fit its config.json: {problems}", "one of the two is of another model")
    check_prefix(folder, module, info["unexpected_keys"], info["missing_keys"])
    with _plain_errors("weights", folder):
        dropped = dropped_weights(module, config, info["unexpected_keys"], read)
    written = json.loads((folder / CONFIG).read_bytes())
    _PROVENANCES[module] = Provenance(
        folder=folder,
        written=written,
        made_up=frozenset(info["missing_keys"]),
        notes=(*_unheeded(written), *dropped.notes(folder, type(module).__name__, allowed.drop_weights)),
    )
    return LoadedModel.of(module.eval())


def _unheeded(written: Mapping[str, Any]) -> Iterator[str]:
    """A note for each setting of config.json that asks for outputs beyond those of a feature."""
    for name in ("output_hidden_states", "output_attentions"):
        if written.get(name) is True:
            yield f"config.json sets {name}, which the artifact does not output"


def _class(name: str, config: Any, read: Callable[[str], torch.Tensor | None]) -> Any:
    """The class that `name` stands for. Raises CheckpointError for a ColBERT without its projection."""
    if name != COLBERT:
        return model_class(name, config)
    projection = read(COLBERT_WEIGHT)
    if projection is None or projection.dim() != 2:
        raise CheckpointError(f"config.json names {COLBERT}, and the matrix {COLBERT_WEIGHT} is missing", "download the checkpoint again")
    return model_class(name, config, len(projection))


def save_random(folder: Path, config: Mapping[str, Any], auto_class: str) -> None:
    """Write a checkpoint of random weights to the new `folder`: `config` as its config.json, with the head of `auto_class`.

    Raises CheckpointError where transformers makes no model of it.
    """
    folder.mkdir()
    text = json.dumps(config)
    (folder / CONFIG).write_text(text, encoding="utf-8")
    with _plain_errors("configuration", folder), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        make_model(auto_class, load_config(folder)).save_pretrained(folder)
    (folder / CONFIG).write_text(text, encoding="utf-8")  # transformers has written its own


def load_tokenizer(folder: Path, allowed: Allowed = NOTHING_ELSE) -> Any | None:
    """The checkpoint's tokenizer, or None without one. Raises CheckpointError for one that cannot be loaded."""
    if not any(path.is_file() and is_of_tokenizer(path.name) for path in folder.iterdir()):
        return None
    with _plain_errors("tokenizer", folder), _unprinted(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")  # Marian's does without
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=allowed.remote_code, local_files_only=True)
        except Exception as error:
            missing = _missing_package(folder, error)
            if not missing:
                raise
            raise CheckpointError(
                f"the tokenizer of {folder} needs the package {missing}, which is not installed", f"install it: pip install {missing}"
            ) from error


_PACKAGES = (
    ("tiktoken", ("tiktoken.model", "*.tiktoken")),
    ("sentencepiece", ("*.model", "*.spm")),
    ("tiktoken", ("tokenizer.model*",)),
)
"""The packages that read a tokenizer's files, for one that has no tokenizer.json. A tokenizer.model may be of either kind."""


def _missing_package(folder: Path, error: BaseException) -> str:
    """The missing package that a tokenizer needs; empty if there is another reason.

    transformers confuses the packages if one is missing, so its message is not enough.
    """
    if not (folder / "tokenizer.json").is_file():
        for package, patterns in _PACKAGES:
            if find_spec(package) is None and any(path for pattern in patterns for path in folder.glob(pattern)):
                return package
    links: BaseException | None = error
    while links is not None and not isinstance(links, ModuleNotFoundError):
        links = links.__cause__ or links.__context__
    return (links.name or "").partition(".")[0] if isinstance(links, ModuleNotFoundError) else ""


@contextmanager
def _unprinted() -> Iterator[None]:
    """Keep libraries from standard output, which is for results: the tokenizers' Rust prints names from a file unescaped."""
    sys.stdout.flush()
    with open(os.devnull, "wb") as nowhere:
        kept = os.dup(1)
        try:
            os.dup2(nowhere.fileno(), 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


_PANIC = "PanicException"
"""The class of a panic in the tokenizers' Rust: a BaseException that cannot be imported."""


_CONVERSION = "issues during automatic conversion of the weights"
"""transformers' words for stored tensors that do not go together, such as experts or scales; its details are in a log."""
_MENDED = {"configuration": f"correct {CONFIG}; ", "weights": f"check that the weights are of this {CONFIG}; "}


class _plain_errors:  # noqa: N801 - a context manager, named like a function
    """Turn whatever transformers raises over a checkpoint into a CheckpointError with its first line."""

    def __init__(self, what: str, folder: Path) -> None:
        self.what, self.folder = what, folder

    def __enter__(self) -> None:
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own lacks types
        logging.getLogger("transformers").setLevel(logging.ERROR)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, MemoryError | CheckpointError):
            return
        if not (isinstance(error, Exception) or type(error).__name__ == _PANIC):
            return  # it is what ends the process
        why = "a tensor is missing or has another shape" if _CONVERSION in str(error) else reason(error)
        raise CheckpointError(
            f"transformers cannot load the {self.what} of {self.folder}: {why}",
            f"{_MENDED.get(self.what, '')}--debug shows the whole message",
        ) from error
