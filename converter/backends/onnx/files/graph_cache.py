"""Cached graphs, by everything that shapes one. A checkpoint of a known configuration needs no capture.

The key has the configuration without settings that shape nothing, the names, shapes and ties of the loaded tensors, the options, and
all versions, our own sources included. A graph is kept after its artifact passed validation, and each later artifact passes the
same. After a failure the graph is dropped and captured again.
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
"""Graphs that an installation contains, as the image does; read only."""

SHAPES_NOTHING = frozenset(
    {
        *("_name_or_path", "name_or_path", "architectures", "finetuning_task", "transformers_version", "torch_dtype", "dtype"),
        *("gradient_checkpointing", "problem_type", "task_specific_params", "output_past"),
    }
)
"""Settings about source and storage, then those for training, loss and `generate`, or unused today. The loaded tensors' type counts
separately."""

_LABELS = {"id2label": len, "label2id": len}  # a head has as many shapes as labels, whatever their names
_SUFFIX = ".onnx.gz"
GRAPH_LIMIT = 2**28
"""Bytes of the largest graph that is read; without weights a BART with cache has 2 MB."""


def graph_key(
    model: LoadedModel, config: OnnxConfig, opset: int, versions: Mapping[str, str], file: str, optimize: Optimize = "none"
) -> str | None:
    """The sha256 of all inputs of a capture of the submodel of `model` for `file`: equal keys, equal graphs.

    None for remote code and custom configurations, since no version identifies them.
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
    """The uncompressed contents of `path`. Raises the errors of gzip, and ValueError above the limit."""
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
        """The graph of `key`, cached or shipped; None if there is no readable one."""
        for folder in (self.folder, SHIPPED):
            path = folder / f"{key}{_SUFFIX}"
            try:
                return Graph.from_bytes(_decompressed(path))
            except FileNotFoundError:
                continue
            except (OSError, EOFError, zlib.error, ValueError) as error:  # gzip has a checksum, so damage is noticed
                _logger.warning("the graph in %s cannot be read and is captured anew: %s", path, error)
        return None

    def keep(self, key: str, graph: Graph) -> None:
        """Keep a validated graph. If it cannot be written, a note is logged, and the next capture takes its time."""
        try:
            write_whole(self.folder / f"{key}{_SUFFIX}", gzip.compress(graph.to_bytes(), mtime=0))
        except OSError as error:
            _logger.warning("the captured graph cannot be kept in %s: %s", self.folder, error.strerror)

    def drop(self, key: str) -> None:
        """Forget a graph that was found wrong."""
        with suppress(OSError):
            (self.folder / f"{key}{_SUFFIX}").unlink()
