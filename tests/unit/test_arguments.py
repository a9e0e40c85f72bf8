"""Functions are small in what they take."""

from __future__ import annotations

import ast

from tests.support.imports import MODULES

MOST = 6


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("click." in ast.unparse(decorator) for decorator in node.decorator_list)


def test_no_function_but_a_command_takes_more_than_six_arguments() -> None:
    functions = {
        f"{module}.{node.name}": len(_arguments(node))
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_command(node)
    }
    assert len(functions) > 1000
    assert {name: count for name, count in functions.items() if count > MOST} == {}
