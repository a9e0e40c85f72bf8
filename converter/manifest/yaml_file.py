"""`models.yaml`, for programs: the same keys under `models:`, and `defaults:` for all of them.

Values are taken as text (a commit of digits stays a string, 1e-4 is a number), so they mean the same as in models.txt. The document
is composed and never constructed, so YAML tags have no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from converter.core.records import Position
from converter.core.text import brief
from converter.manifest.tokens import LONGEST, MOST_PROBLEMS, Problem, RawEntry, Token

MAX_CHARACTERS = 4 * 2**20
"""PyYAML reads a quarter of a megabyte in a second: so many are some 75,000 models."""
MAX_NODES = 500_000
"""Limit of words, lists and mappings in a document. Each takes a kilobyte."""
_DEEPEST = 20
"""Levels of nesting; a manifest has five."""


def read_yaml(file: str, text: str, problems: list[Problem]) -> Iterator[RawEntry]:
    """The entries of a YAML manifest; its problems are added to `problems`."""
    reader = _Reader(file, problems)
    root = reader.compose(text)
    if root is None:
        return
    top = reader.mapping(root)
    problems += [
        (reader.at(node), f"{brief(key)!r} is not known here; there are: defaults, models")
        for key, node in top.items()
        if key not in _TOP_KEYS
    ]
    defaults = reader.settings(reader.mapping(top["defaults"])) if "defaults" in top else {}
    models = top.get("models")
    if isinstance(models, yaml.SequenceNode):
        for item in models.value[: None if len(problems) < MOST_PROBLEMS else 0]:
            yield from reader.entry(item, defaults)
    else:
        problems.append((reader.at(models or root), "a list of models belongs under 'models:'"))


_TOP_KEYS = ("defaults", "models")


class _Composer(yaml.SafeLoader):
    """Composes no more than a manifest can be."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > _DEEPEST:
            what = "nested too deeply" if self._depth > _DEEPEST else f"it has more than {MAX_NODES:,} values"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]  # PyYAML's own lacks types
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    """The nodes of one document as tokens with their places."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems

    def compose(self, text: str) -> yaml.Node | None:
        if len(text) > MAX_CHARACTERS:
            problem = f"a manifest in YAML has at most {MAX_CHARACTERS >> 20} MB; divide it, or write it as models.txt"
            self._problems.append((Position(file=self._file, line=1), problem))
            return None
        try:
            node: yaml.Node | None = yaml.compose(text, Loader=_Composer)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self._problems.append((Position(file=self._file, line=line, column=column), f"this is not YAML: {brief(str(error.problem))}"))
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            self._problems.append((Position(file=self._file, line=1), f"this is not YAML: {brief(str(error).splitlines()[0])}"))
        else:
            return node
        return None

    def at(self, node: yaml.Node) -> Position:
        return Position(file=self._file, line=node.start_mark.line + 1, column=node.start_mark.column + 1)

    def entry(self, item: yaml.Node, defaults: Mapping[str, Token]) -> Iterator[RawEntry]:
        nodes = {"model": item} if isinstance(item, yaml.ScalarNode) else self.mapping(item)
        model = self._token(nodes.pop("model")) if "model" in nodes else None
        if model is not None and model.text:
            yield RawEntry(model, {**defaults, **self.settings(nodes)})
        elif not isinstance(item, yaml.SequenceNode):
            self._problems.append((self.at(item), "this entry has no 'model:'"))

    def settings(self, nodes: Mapping[str, yaml.Node]) -> dict[str, Token]:
        """The settings that have a value; null and nothing leave one unset."""
        return {key: token for key, node in nodes.items() if (token := self._token(node)) is not None and token.text}

    def mapping(self, node: yaml.Node) -> dict[str, yaml.Node]:
        nodes: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            self._problems.append((self.at(node), "a mapping of keys to values belongs here"))
            return nodes
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problems.append((self.at(key), "a key is a single word"))
            elif key.value in nodes:
                self._problems.append((self.at(key), f"{brief(key.value)!r} is set twice"))
            else:
                nodes[key.value] = value
        return nodes

    def _token(self, node: yaml.Node) -> Token | None:
        if isinstance(node, yaml.ScalarNode):
            return Token("" if node.tag.endswith(":null") else node.value, self.at(node))
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
            if sum(len(item.value) for item in node.value) > LONGEST:  # an alias makes a long one of a short one
                self._problems.append((self.at(node), f"this list has more than {LONGEST} characters"))
                return None
            return Token(",".join(item.value for item in node.value), self.at(node))
        self._problems.append((self.at(node), "a single value or a list of such belongs here"))
        return None
