"""The steps of an export as text files: the exported program, and the graph before and after each pass."""

from __future__ import annotations

from pathlib import Path

from converter.core.output_errors import output_error


class Intermediates:
    """Writes numbered files, or nothing.

    Args:
        folder: the folder of the files; None to write none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._count = 0

    def write(self, name: str, step: object) -> None:
        """Write `NUMBER-NAME.txt`. Raises OutputError if it cannot be written."""
        if self._folder is None:
            return
        path = self._folder / f"{self._count:02}-{name}.txt"
        self._count += 1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{step}\n", encoding="utf-8")
        except OSError as error:
            raise output_error(path, error) from error
