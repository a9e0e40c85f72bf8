"""Compare the assertions of the tests with those of another commit: `python -m tests.support.assertions COMMIT`.

Prints each test function that is gone, or that has fewer assertions than before, and exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator


def sources(commit: str) -> Iterator[str]:
    """The Python files below tests/ at a commit."""
    git = ["git", "ls-tree", "-r", "--name-only", commit, "tests"]
    for path in subprocess.run(git, capture_output=True, text=True, check=True).stdout.splitlines():
        if path.endswith(".py"):
            yield subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, text=True, check=True).stdout


def assertions(commit: str) -> Counter[str]:
    """The number of assertions of each test function: `assert`, `raises`, `warns`, and calls of `assert_…`."""
    counts: Counter[str] = Counter()
    for text in sources(commit):
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                counts[function.name] += sum(map(_is_assertion, ast.walk(function)))
    return counts


def _is_assertion(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name in ("raises", "warns") or name.startswith("assert_")
    return isinstance(node, ast.Assert)


def main(commit: str) -> int:
    before, now = assertions(commit), assertions("HEAD")
    fewer = [name for name, count in before.items() if now.get(name, -1) < count]
    for name in fewer:
        print(f"{name}: {before[name]} before, {now.get(name, 'gone')}")
    print(f"{len(before)} tests with {before.total()} assertions before, {len(now)} with {now.total()} now; {len(fewer)} with fewer")
    return 1 if fewer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
