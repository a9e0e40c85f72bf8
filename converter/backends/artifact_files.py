"""The names of an artifact's files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


def _any_file(_: Path) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class ArtifactFiles:
    """The names of a backend's files.

    Args:
        layouts: the files of each kind of artifact, in the order of their calls. Users are shown the last one of a layout.
        client_patterns: patterns of the names of files that its clients load, whoever made them.
        data_patterns: patterns of the files that these read their tensors from.
        sidecars: files in the model's folder that `Backend.generated_sidecars` writes and no checkpoint has. They go with the artifact.
        is_loadable: whether clients load a file whose name fits, by its contents.
    """

    layouts: tuple[tuple[str, ...], ...]
    client_patterns: tuple[str, ...] = ()
    data_patterns: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    is_loadable: Callable[[Path], bool] = _any_file

    @property
    def main(self) -> str:
        """The file to show to users, of the usual layout."""
        return self.layouts[0][-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The files of all layouts."""
        return tuple(name for layout in self.layouts for name in layout)

    def layout_of(self, names: Collection[str]) -> tuple[str, ...]:
        """The files to load, in their order, among the `names` of an artifact; empty for other names."""
        return next((layout for layout in self.layouts if {*names} >= {*layout}), ())

    def main_of(self, names: Collection[str]) -> str | None:
        """The file to show to users, among `names` of one artifact; None for other names."""
        return next(reversed(self.layout_of(names)), None)

    def layout_in(self, folder: Path) -> tuple[str, ...]:
        """The files to load in a folder, in their order; empty without an artifact."""
        return self.layout_of([name for name in self.names if (folder / name).is_file()])

    def main_in(self, folder: Path) -> str | None:
        """The same in a folder; None without an artifact."""
        return next(reversed(self.layout_in(folder)), None)

    def shown_in(self, folder: Path) -> str:
        """The file to show to users in a folder; the usual one without an artifact."""
        return self.main_in(folder) or self.main

    def is_client_file(self, path: Path) -> bool:
        """Whether clients load the file as they load its artifacts."""
        return any(fnmatch(path.name, pattern) for pattern in self.client_patterns) and self.is_loadable(path)
