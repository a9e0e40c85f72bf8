"""The imports of the package, as its sources have them; `python -m tests.support.imports` counts its rooms, floors and circles.

A room is a package or a module at the top of `converter/`. Its floor is how many rooms it stands on, one upon the other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import converter

ROOT = Path(converter.__file__).parent


@dataclass(frozen=True)
class Import:
    """An import of `module`, a dotted name, by the module `by` of the package."""

    by: str
    module: str
    at_module_level: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name inside it, parsed."""
    trees = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


MODULES = modules()


def imports_of(by: str, tree: ast.Module) -> Iterator[Import]:
    """The imports of a module but those for type checkers; `from converter import x` is of converter.x."""
    pending: list[tuple[ast.AST, bool]] = [(tree, True)]
    while pending:
        node, at_module_level = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += [(child, at_module_level) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            yield from (Import(by, alias.name, at_module_level) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{by} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("converter.")
                is_module = inner in MODULES or node.module == "converter"
                yield Import(by, f"{node.module}.{alias.name}" if is_module else str(node.module), at_module_level)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending += [(child, at_module_level and not inside) for child in ast.iter_child_nodes(node)]


IMPORTS = [statement for name, tree in MODULES.items() for statement in imports_of(name, tree)]
OURS = [
    (statement.by, statement.module.removeprefix("converter."))
    for statement in IMPORTS
    if statement.module.startswith("converter.") and statement.by
]


def layer(name: str) -> str:
    """A package that can be run has its own `__main__`, which stands above all."""
    return "__main__" if name.endswith("__main__") else name.partition(".")[0]


def needs() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    rooms = {layer(name) for name in MODULES if name}
    return {room: {layer(module) for by, module in OURS if layer(by) == room} - {room} for room in rooms}


def floors(needed: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room, the lowest 1; a room of a circle, and what stands on one, has none."""
    heights: dict[str, int] = {}
    while free := [room for room, others in needed.items() if room not in heights and others <= heights.keys()]:
        heights |= {room: 1 + max((heights[other] for other in needed[room]), default=0) for room in free}
    return heights


def main() -> None:
    needed = needs()
    heights = floors(needed)
    for floor in range(max(heights.values()), 0, -1):
        print(f"{floor}: {', '.join(sorted(room for room, height in heights.items() if height == floor))}")
    between = sum(len(others) for others in needed.values())
    circular = ", ".join(sorted(needed.keys() - heights.keys())) or "none"
    print(f"{len(needed)} rooms on {max(heights.values())} floors, {between} imports between rooms, in circles: {circular}")


if __name__ == "__main__":
    main()
