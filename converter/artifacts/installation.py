"""A staged artifact moves to its destination, whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from converter.artifacts.job_log import LOG, is_log
from converter.artifacts.record_file import RECORD, read_record
from converter.artifacts.staging import REPLACED
from converter.core.interruptions import defer_interruptions
from converter.core.output_errors import output_error
from converter.core.records import ArtifactRecord


def install(folder: Path, record: ArtifactRecord, destination: Path) -> None:
    """Write the record of a staged artifact and move it to `destination`, synced to the disk.

    An older artifact that is alone in its folder is moved aside whole. If a user has files there, the files are moved one by one: the
    old record goes first and the new one comes last. So a record never lies beside files that are not its own.

    Raises: OutputError.
    """
    destination = destination.resolve()  # a link stays, and its target is replaced
    try:
        (folder / RECORD).write_text(record.model_dump_json(indent=2), encoding="utf-8")
        _sync(folder)
        old = read_record(destination)
        with defer_interruptions():  # or the older artifact would be lost between two renames
            if not _install_folder(folder, old, destination):
                _install_files(folder, record, old, destination)
        _sync(destination.parent, "")
    except OSError as error:
        raise output_error(destination, error) from error


def _install_folder(folder: Path, old: ArtifactRecord | None, destination: Path) -> bool:
    """Move the `old` artifact aside and rename the staged folder; False if something else is in the way, as a mount is."""
    aside = folder.with_name(REPLACED)
    try:
        if old and _stands_alone(old, destination):
            destination.rename(aside)
        folder.rename(destination)  # succeeds over an empty folder too
    except OSError:
        if aside.exists():
            aside.rename(destination)
        if not destination.is_dir():
            raise
        return False
    return True


def _stands_alone(record: ArtifactRecord, folder: Path) -> bool:
    """Whether a folder has only the artifact's files, and is not the working folder."""
    own = {file.path for file in record.files} | {RECORD} | ({LOG} if is_log(folder / LOG) else set())
    own |= {parent.as_posix() for path in own for parent in Path(path).parents}
    links = any(path.is_symlink() for path in folder.rglob("*"))
    return not links and {path.relative_to(folder).as_posix() for path in folder.rglob("*")} <= own and folder != Path.cwd()


def _install_files(folder: Path, record: ArtifactRecord, old: ArtifactRecord | None, destination: Path) -> None:
    (destination / RECORD).unlink(missing_ok=True)
    if is_log(destination / LOG):
        (destination / LOG).unlink()
    for file in old.files if old else ():
        _remove(destination / file.path, destination)
    log = [LOG] if (folder / LOG).exists() and not os.path.lexists(destination / LOG) else []
    for name in (*reversed([file.path for file in record.files]), *log, RECORD):
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).replace(target)
    _sync(destination, "")


def _sync(folder: Path, pattern: str = "**/*") -> None:
    """Sync a folder to the disk, and the files in it that match the pattern."""
    for path in (*folder.glob(pattern), folder) if pattern else (folder,):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _UNSYNCED:
                raise
        finally:
            os.close(descriptor)


_UNSYNCED = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of file systems that cannot sync a folder, as some network mounts."""


def _remove(path: Path, folder: Path) -> None:
    """Delete a file below `folder`, and the folders between if they are empty."""
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder:
            return
        with suppress(OSError):  # not empty, or not there
            parent.rmdir()
