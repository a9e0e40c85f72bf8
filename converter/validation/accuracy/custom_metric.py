"""A custom metric: a user's function that compares an artifact with its checkpoint and returns figures."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from converter.core.errors import ConversionError, NotSupportedError
from converter.core.reason import reason
from converter.core.text import printable

if TYPE_CHECKING:
    from converter.core.typing import Array

Call = Callable[[Mapping[str, "Array"]], Mapping[str, "Array"]]
Evaluate = Callable[[Call, Call, Any], Mapping[str, float | bool]]
"""Called with the artifact and the checkpoint, each a function from arrays by name to arrays by name, and the tokenizer, or None.

It returns figures by name; `passed` says whether they are good enough. An exception fails the job.
"""

PASSED = "passed"
_HINT = "docs/how-to/precision.md describes the function"


def load(name: str) -> Evaluate:
    """The function `module:function` or `file.py:function`. Raises NotSupportedError if it is missing; its module is run."""
    where, _, function = name.rpartition(":")
    try:
        with _working_folder():
            module = _run(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # the user's own code runs here, and may raise anything
        raise NotSupportedError(f"the metric {name} cannot be loaded: {reason(error)}", _HINT) from error
    metric = getattr(module, function, None)
    if not callable(metric):
        raise NotSupportedError(f"{where} has no function {function}", _HINT)
    evaluate: Evaluate = metric
    return evaluate


def origin(name: str | None) -> dict[str, str]:
    """The digest of a metric's file, if there is one. Raises NotSupportedError if it cannot be loaded."""
    if not name:
        return {}
    where = name.rpartition(":")[0]
    try:
        with _working_folder():
            spec = None if where.endswith(".py") else importlib.util.find_spec(where)
        file = where if where.endswith(".py") else spec and spec.origin
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except (OSError, ImportError, ValueError) as error:
        raise NotSupportedError(f"the metric {name} cannot be read: {reason(error)}", _HINT) from error
    if not digest:
        raise NotSupportedError(f"no module {where} for the metric {name}", _HINT)
    load(name)
    return {f"{Path(where).name}:{name.rpartition(':')[2]}": f"sha256:{digest}"}


def measure(name: str, artifact: Call, checkpoint: Call, tokenizer: Any) -> Mapping[str, float | bool]:
    """The figures of the metric `name`. Raises ConversionError for its exceptions and for invalid figures."""
    evaluate = load(name)
    try:
        result = evaluate(artifact, checkpoint, tokenizer)
    except (Exception, SystemExit) as error:  # as above
        raise ConversionError(f"the metric {name} failed: {reason(error)}", "mend it; --debug shows where") from error
    if not isinstance(result, Mapping) or not result:
        raise ConversionError(f"the metric {name} gave {type(result).__name__} in place of figures by name", _HINT)
    figures: dict[str, float | bool] = {}
    for key, value in result.items():
        number = value if isinstance(value, bool) else _number(value)
        if number is None or not isinstance(key, str):
            raise ConversionError(
                f"the metric {name} returned {printable(repr(value))[:60]} for {key!r}, which is not a finite number", _HINT
            )
        figures[key] = number
    if not isinstance(figures.get(PASSED, True), bool):
        raise ConversionError(f"the metric {name} gave {figures[PASSED]} for {PASSED!r}, which is neither true nor false", _HINT)
    return figures


@contextmanager
def _working_folder() -> Iterator[None]:
    """While it lasts, a module of the working folder can be imported, as by `python -m`."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _run(path: Path) -> ModuleType:
    """The module in a file, run anew."""
    name = f"converter_metric_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
