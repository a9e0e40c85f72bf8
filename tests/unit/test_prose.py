"""Messages, help texts, descriptions and headings are plain: some turns of phrase do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PATTERNS = {
    r"\b[Ww]hat (is|it|has|a|an|the|they|was|are|can|may|others|no|we|this)\b": "name the thing",
    r"\b[Ww]here (it|there|the|a|an|nothing|no|one|they|that|this|its|some|others|something)\b": "write if or when",
    r"\b(is|are|be|was) told\b": "write is reported, logged or printed",
    r"\b(that|those) of\b": "repeat the noun",
    r"\bis no [a-z]+": "write is not a …",
    r"\bof (its|one's|their|a user's|the user's|our|your) own\b": "write its own … or a custom …",
}
SOURCES = sorted((ROOT / "converter").rglob("*.py"))
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


def problems(text: str) -> list[str]:
    """The turns of phrase in a text, each with the advice on it."""
    matches = ((match, advice) for pattern, advice in PATTERNS.items() for match in re.finditer(pattern, text))
    return [f"{match[0]!r} in {text[max(0, match.start() - 30) : match.end() + 30]!r}: {advice}" for match, advice in matches]


def messages(tree: ast.AST) -> Iterator[str]:
    """The strings of several words in a module, docstrings excepted."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings and node.value.count(" ") > 1:
            yield node.value


def test_the_test_sees_messages_and_no_docstrings() -> None:
    tree = ast.parse('"""What is this?"""\nraise ValueError(f"{name} is no number", "see what it says")\n')
    assert [len(problems(text)) for text in messages(tree)] == [1, 1]


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_messages_and_help_texts_are_plain(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [problem for text in messages(tree) for problem in problems(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_headings_are_plain_nouns(path: Path) -> None:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S), re.M)
    assert [problem for heading in headings for problem in problems(heading)] == []


def test_the_descriptions_of_the_action_are_plain() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    texts = [action["description"], *(value["description"] for key in ("inputs", "outputs") for value in action[key].values())]
    assert [problem for text in texts for problem in problems(text)] == []


def test_pages_are_wrapped_at_100_characters() -> None:
    long = []  # of pages that people write; `make coverage-table` writes the other
    for path in (page for page in PAGES if page.name != "model-types.md"):
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        lines = [line for line in text.splitlines() if len(line) > 100 and not line.lstrip().startswith(("|", "#", "<!--"))]
        long += [f"{path.name}: {line}" for line in lines]
    assert long == []
