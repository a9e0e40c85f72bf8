"""Whether a node sees the output folder: the command puts a file into it, and the node reads that."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converter.core.output_errors import output_error


@dataclass(frozen=True, kw_only=True)
class SharedFolderProbe:
    """A file with a token in the driver's output folder: a node that reads the token sees the same folder."""

    folder: Path
    name: str
    token: str

    def is_seen(self) -> bool:
        """Whether this machine sees the driver's folder by this path, and not another one."""
        try:
            return (self.folder / self.name).read_text(encoding="ascii") == self.token
        except (OSError, UnicodeDecodeError):
            return False


@contextmanager
def put_probe(output: Path) -> Iterator[SharedFolderProbe]:
    """Put a file into the output folder, by which a node knows that it sees the same, and remove it at the end."""
    token = secrets.token_hex(16)
    probe = SharedFolderProbe(folder=output.absolute(), name=f".converter-shared-{token[:8]}", token=token)
    path = probe.folder / probe.name
    try:
        path.write_text(token, encoding="ascii")
    except OSError as error:
        raise output_error(output, error) from error
    try:
        yield probe
    finally:
        path.unlink(missing_ok=True)
