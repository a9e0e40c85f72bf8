"""The tests that need no torch: `make check` runs only these, and blocks the import of torch."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

from tests.support.imports import imports_of

ROOT = Path(__file__).parents[2]
LIBRARIES = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "ray")
"""torch, and the libraries that are as slow to import."""


def block() -> None:
    """Let every import of torch and the other libraries fail in this process."""
    sys.modules.update(dict.fromkeys(LIBRARIES))  # type: ignore[arg-type]  # None is Python's mark for such a module


def needs_torch(path: Path) -> bool:
    """Whether a file of tests imports one of the libraries when it is imported, by the sources."""
    pending, seen = {".".join(path.relative_to(ROOT).with_suffix("").parts)}, set[str]()
    while pending:
        module = pending.pop()
        if module.partition(".")[0] in LIBRARIES:
            return True
        seen.add(module)
        pending |= _imports(module) - seen
    return False


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """The modules that a module of ours imports at its top, and the packages around it."""
    base = ROOT.joinpath(*module.split("."))
    path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    if module.partition(".")[0] not in ("converter", "tests") or path is None:
        return frozenset()
    statements = imports_of(module, ast.parse(path.read_text(encoding="utf-8")))
    parts = module.split(".")
    packages = (".".join(parts[:count]) for count in range(1, len(parts)))
    return frozenset((*packages, *(statement.module for statement in statements if statement.at_module_level)))
