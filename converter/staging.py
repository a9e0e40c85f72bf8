"""An artifact appears whole or not at all: it is written beside its place, checked there, and renamed into it."""

from __future__ import annotations

import glob
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from converter.errors import output_error
from converter.ledger import RECORD, describe_files, read_record
from converter.records import ArtifactRecord, FileRecord

_logger = logging.getLogger(__name__)

_PREFIX = ".converter-"
REJECTED = ".rejected"


def check_writable(folder: Path) -> None:
    """Find out before any work is done that `folder` cannot be written. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise output_error(folder, error) from error


def hand_over(folder: Path) -> None:
    """Give what root has made in `folder`, and the folders above it, to the owner of the working folder.

    A container works as root in somebody's folder; what it leaves there shall be theirs. Does nothing for anyone but root, nor
    outside of the working folder. What cannot be given is told and left: the artifacts are what they are.
    """
    here, inside = Path.cwd().resolve(), folder.resolve()
    owner = here.stat()
    if os.geteuid() != 0 or owner.st_uid == 0 or not inside.is_relative_to(here):
        return
    above = [each for each in inside.parents if here in each.parents]
    for path in (*above, inside, *inside.rglob("*")):
        try:
            found = path.lstat()
            shared = found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)  # by another name it may lie anywhere
            if found.st_uid == 0 and not shared:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except FileNotFoundError:  # nothing was made, or it has gone since
            continue
        except OSError as error:
            _logger.warning("what was made in %s stays root's own: %s", folder, error.strerror)
            return


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """An empty folder on the disk of `destination`, removed at the end with whatever is left in it.

    The folders above it that were made for it go too, where nothing has come into them. A destination that is the mount
    point of a disk of its own is staged in it, as no rename leads from one disk to another.
    """
    parent, prefix = _staging_place(destination, os.getpid())
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        folder = _make_below(parent, prefix)
    except OSError as error:
        raise output_error(destination, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in made:
            with suppress(OSError):  # not empty: something else is there to stay
                empty.rmdir()


def sweep(destination: Path, process: int) -> None:
    """Remove what a process of this machine, now dead, had staged for `destination`, and the folder above where it is empty."""
    parent, prefix = _staging_place(destination, process)
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # not empty, or not there
        parent.rmdir()


def _staging_place(destination: Path, process: int) -> tuple[Path, str]:
    """The folder that a process stages in, and how its own staging folders' names begin."""
    destination = destination.resolve()
    parent = destination if destination.is_mount() else destination.parent
    return parent, f"{_PREFIX}{destination.name}-{process}-"


def _make_below(parent: Path, prefix: str) -> Path:
    """A new folder in `parent`, made anew where another job has just found it empty and removed it."""
    for last in (False, True):
        parent.mkdir(parents=True, exist_ok=True)
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        except FileNotFoundError:
            if last:
                raise
            continue
        folder.chmod(0o755)  # mkdtemp's 0700 would lock others out of the artifact
        return folder
    raise AssertionError("unreachable")


def publish(folder: Path, record: ArtifactRecord, destination: Path) -> None:
    """Write the record last of all and move the staged artifact to its place.

    Where the destination stands already (an older artifact, a folder of the user's), the old artifact's record goes first
    and the new one's comes last, so that at no moment a record stands beside files that are not its own.
    """
    destination = destination.resolve()  # a link stays one, and what it leads to is replaced
    try:
        _write_synced(folder / RECORD, record.model_dump_json(indent=2))
        try:
            folder.rename(destination)  # succeeds over an empty folder too
            return
        except OSError:
            if not destination.is_dir():
                raise
        old = read_record(destination)
        (destination / RECORD).unlink(missing_ok=True)
        for file in old.files if old else ():
            _remove(destination / file.path, destination)
        for name in (*reversed([file.path for file in record.files]), RECORD):
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target)
    except OSError as error:
        raise output_error(destination, error) from error


def _remove(path: Path, folder: Path) -> None:
    """Delete a file below `folder`, and the folders between that it leaves empty."""
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder:
            return
        with suppress(OSError):  # not empty, or not there
            parent.rmdir()


def keep_rejected(folder: Path, destination: Path) -> Path:
    """Move a staged artifact that failed its validation to `.rejected/` beside its place; return where it is."""
    kept = destination.parent / REJECTED / destination.name
    try:
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(kept)
    except OSError as error:
        raise output_error(kept, error) from error
    return kept


def copy_sidecars(source: Path, names: Iterable[str], folder: Path) -> tuple[FileRecord, ...]:
    """Copy config and tokenizer files as the checkpoint has them, each whole or not at all; return what they are there."""
    names = tuple(names)
    for name in names:
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{_PREFIX}{os.getpid()}-{target.name}")
            try:
                shutil.copyfile(source / name, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(target, error) from error
    return describe_files(folder, names)


def _write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
