"""Graphs that were captured before, by everything that shapes one. A checkpoint of a known configuration costs no capture.

A graph is found by all of the configuration but what is known to shape nothing, by the names, shapes and ties of the loaded model's
tensors, by the options, and by every version that takes part, our own sources included. It is kept only after its artifact has passed
the validation, and one that it serves later passes the same; where that fails, the graph is dropped and captured anew.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import converter
from converter.architectures import OnnxConfig
from converter.backends.cache import Cache
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.options import Optimize
from converter.checkpoints.loading import LoadedModel
from converter.core.files import open_regular, write_whole

_logger = logging.getLogger(__name__)

SHIPPED = Path(sys.prefix, "share", "converter", "graphs")
"""Where an installation may bring graphs of its own, as the image does; only read."""

SHAPES_NOTHING = frozenset(
    {
        *("_name_or_path", "name_or_path", "architectures", "finetuning_task", "transformers_version", "torch_dtype", "dtype"),
        *("gradient_checkpointing", "problem_type", "task_specific_params", "output_past"),
    }
)
"""What a configuration says of where it is from and how it is stored, then what only training, its loss, `generate` or nothing reads today.
The type of the loaded tensors is counted by itself."""

_LABELS = {"id2label": len, "label2id": len}  # as many as there are shape a head, and what they are called does not
_SUFFIX = ".onnx.gz"
GRAPH_LIMIT = 2**28
"""Bytes of the largest graph that is read; they hold no weights, and that of a BART with its cache has 2 MB."""


def graph_key(
    model: LoadedModel, config: OnnxConfig, opset: int, versions: Mapping[str, str], file: str, optimize: Optimize = "none"
) -> str | None:
    """The sha256 of all that decides what a capture of the part of `model` that `file` has gives: equal keys, equal graphs.

    None where no version says what that is: for code that a checkpoint brings, and for a configuration that is not of this package.
    """
    module = type(model.module)
    if not (module.__module__.startswith("transformers.models.") and type(config).__module__.startswith("converter.architectures.")):
        return None
    facts = {
        "config": shaping(model.config.to_dict()),
        "attention": config.attn_implementation,
        "module": f"{module.__module__}.{module.__qualname__}",
        "tensors": _tensors(model),
        "export": [
            file,
            type(config).__qualname__,
            config.feature.name,
            [*config.inputs.items()],
            [*config.outputs.items()],
            [sorted(config.fixed_dims(name).items()) for name in config.inputs],
            config.values_override,
        ],
        "opset": opset,
        "optimize": optimize,
        "versions": {**versions, "sources": _sources()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def shaping(value: Any) -> Any:
    """A configuration without what shapes no graph, however deep it is nested."""
    if isinstance(value, Mapping):
        return {
            str(name): _LABELS[name](part) if name in _LABELS and isinstance(part, Mapping) else shaping(part)
            for name, part in value.items()
            if name not in SHAPES_NOTHING
        }
    return [shaping(part) for part in value] if isinstance(value, list | tuple) else value


def _tensors(model: LoadedModel) -> Sequence[tuple[str, str, tuple[int, ...], str]]:
    """Each tensor's name, dtype and shape, and the first name of those that share its memory."""
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    records = []
    for name, tensor in model.tensors().items():
        shape = tuple(tensor.shape)
        records.append((name, str(tensor.dtype), shape, first.setdefault((tensor.data_ptr(), shape), name) if tensor.numel() else name))
    return records


@cache
def _sources() -> str:
    """The sha256 over this package's own sources: in a checkout they change and the version does not."""
    root = Path(converter.__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def _decompressed(path: Path) -> bytes:
    """What was compressed to `path`. Raises as gzip does, and ValueError for what no graph comes to."""
    with open_regular(path) as file, gzip.open(file) as stream:
        data = stream.read(GRAPH_LIMIT + 1)
    if len(data) > GRAPH_LIMIT:
        raise ValueError("it is larger than any graph")
    return data


class GraphCache:
    """Graphs in a folder, which many processes may use at once; a graph appears there whole or not at all."""

    def __init__(self, cache: Cache) -> None:
        self.folder = cache.folder / "graphs"

    def find(self, key: str) -> Graph | None:
        """The graph of `key`, here or among those that were shipped; None where there is none that can be read."""
        for folder in (self.folder, SHIPPED):
            path = folder / f"{key}{_SUFFIX}"
            try:
                return Graph.from_bytes(_decompressed(path))
            except FileNotFoundError:
                continue
            except (OSError, EOFError, zlib.error, ValueError) as error:  # gzip has a checksum, so that what is spoilt is noticed
                _logger.warning("the graph in %s cannot be read and is captured anew: %s", path, error)
        return None

    def keep(self, key: str, graph: Graph) -> None:
        """Keep a graph that was found right. Where nothing can be written it is told, and costs nothing but the next capture."""
        try:
            write_whole(self.folder / f"{key}{_SUFFIX}", gzip.compress(graph.to_bytes(), mtime=0))
        except OSError as error:
            _logger.warning("the captured graph cannot be kept in %s: %s", self.folder, error.strerror)

    def drop(self, key: str) -> None:
        """Forget a graph that was found wrong."""
        with suppress(OSError):
            (self.folder / f"{key}{_SUFFIX}").unlink()
