"""The cost of the largest inputs that are accepted, each read in a separate process.

`python -m bench.limits KIND FILE` is that process; it prints the bytes and CPU seconds of the reading.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.processes import run
from bench.table import Row
from converter.checkpoints import policy, stored
from converter.core.errors import ConverterError
from converter.manifest import read_manifest

_MODELS_TXT, _MODELS_YAML = 100_000, 75_000  # models, as docs/explanation/robustness.md has them


def _models_txt(path: Path) -> None:
    path.write_text("".join(f"org/name{number}\n" for number in range(_MODELS_TXT)), encoding="utf-8")


def _models_yaml(path: Path) -> None:
    path.write_text("models:\n" + "".join(f"- {{model: org/name{number}}}\n" for number in range(_MODELS_YAML)), encoding="utf-8")


def _config(path: Path) -> None:
    labels = {str(number): "" for number in range(policy.CONFIG_LIMIT // 20)}
    path.write_text(json.dumps({"model_type": "bert", "id2label": labels}), encoding="utf-8")


def _header(path: Path) -> None:
    tensors = {f"t{number}": {"dtype": "U8", "shape": [1], "data_offsets": [number, number + 1]} for number in range(460_000)}
    header = json.dumps(tensors, separators=(",", ":")).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(len(tensors)))


def _index(path: Path) -> None:
    names = {f"t{number}": "model-1.safetensors" for number in range(policy.INDEX_LIMIT // 36)}
    path.write_text(json.dumps({"weight_map": names}), encoding="utf-8")


_INDEX = "model.safetensors.index.json"
_KINDS: Mapping[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "models.txt": (_models_txt, read_manifest),
    "models.yaml": (_models_yaml, read_manifest),
    "config.json": (_config, lambda path: policy.check_config(path.read_text(encoding="utf-8"), "it")),
    "header of safetensors": (_header, stored.stored_tensors),
    "index of shards": (
        _index,
        lambda path: policy.weight_files("it", {_INDEX, "model-1.safetensors"}, lambda _: path.read_text(encoding="utf-8")),
    ),
}


def measure() -> Iterator[Row]:
    """Memory and CPU seconds above the imports. Nothing is demanded of them: they are for whoever changes a limit."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        for kind, (make, _) in _KINDS.items():
            path = Path(name, "models.yaml" if kind == "models.yaml" else "input.txt")
            make(path)
            cost = json.loads(run([sys.executable, "-m", "bench.limits", kind, path]).output.splitlines()[-1])
            yield Row(f"{kind}, {path.stat().st_size / 2**20:.0f} MiB", "MB", cost["bytes"] / 1e6)
            yield Row("… takes", "CPU s", cost["seconds"])


def _read(kind: str, path: Path) -> None:
    read = _KINDS[kind][1]
    import safetensors  # noqa: F401 - as are the imports that come late

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far belongs to the parent
    before, started = _peak_bytes(), time.process_time()
    try:
        read(path)
    except ConverterError as error:
        raise SystemExit(f"it is refused, and is none that fits: {error}") from None
    seconds = time.process_time() - started
    print(json.dumps({"bytes": _peak_bytes() - before, "seconds": seconds}))


def _peak_bytes() -> int:
    """The peak of this process's resident memory (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    _read(sys.argv[1], Path(sys.argv[2]))
