"""An artifact appears whole or not at all: it is written beside its place, checked there, and renamed into it.

Who writes one has claimed its place. So two runs never make the same artifact at once, and what a process left that was killed is
swept away by whoever claims the place next.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from converter.artifacts.job_log import is_log
from converter.artifacts.store import LOG, RECORD, RECORD_LIMIT, describe_files, read_record
from converter.checkpoints.policy import CONFIG, CONFIG_LIMIT
from converter.core.files import leftovers, read_at_most, temporary_name, write_whole
from converter.core.locks import file_lock
from converter.core.output_errors import output_error
from converter.core.records import ArtifactRecord, FileRecord, Verdict

_logger = logging.getLogger(__name__)

REJECTED = ".rejected"
VERDICT = "converter.rejected.json"
"""Why an artifact was rejected, beside its files. By it a later rejection knows the folder for ours."""
STAGED, REPLACED = "artifact", "replaced"
"""What is made in a staging folder: the new artifact, and the older one on its way out."""


def hand_over(folder: Path) -> None:
    """Give what root has made in `folder`, and the folders above it, to the owner of the working folder.

    A container works as root in somebody's folder; what it leaves there shall be theirs. Does nothing for anyone but root, nor
    outside of the working folder. What cannot be given is told and left: the artifacts are what they are.
    """
    here, inside = Path.cwd().resolve(), folder.resolve()
    owner = here.stat()
    if os.geteuid() != 0 or owner.st_uid == 0 or not inside.is_relative_to(here):
        return
    above = [parent for parent in inside.parents if here in parent.parents]
    for path in (*above, inside, *inside.rglob("*")):
        try:
            status = path.lstat()
            shared = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)  # by another name it may lie anywhere
            if status.st_uid == 0 and not shared:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except FileNotFoundError:  # nothing was made, or it has gone since
            continue
        except OSError as error:
            _logger.warning("what was made in %s stays root's own: %s", folder, error.strerror)
            return


@contextmanager
def staging_folder(destination: Path, waits: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """An empty folder on the disk of `destination`, removed at the end with whatever is left in it; nobody else has one for it meanwhile.

    `waits` is called where another job for the same destination has to be waited for. The folders above that were made for it go too,
    where nothing has come into them. A destination that is the mount point of a disk of its own is staged in it, as no rename leads
    from one disk to another. Raises OutputError.
    """
    claim = _lock(destination)
    place = temporary_name(claim)
    made = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(claim, waits))
                _remove_leftovers(claim)
                place.mkdir(parents=True)  # made by this process, whatever else lies there
                stack.callback(shutil.rmtree, place, ignore_errors=True)
                staged = place / STAGED
                staged.mkdir()
            except OSError as error:
                raise output_error(destination, error) from error
            yield staged
    finally:
        for empty in made:
            with suppress(OSError):  # not empty: something else is there to stay
                empty.rmdir()


def sweep(destination: Path) -> None:
    """Remove what a job that was killed had staged for `destination`, and the folder above where it is empty."""

    def leave() -> NoReturn:
        raise BlockingIOError("another job is there, and it has swept")

    claim = _lock(destination)
    if leftovers(claim):
        with suppress(OSError), file_lock(claim, leave):
            _remove_leftovers(claim)
    with suppress(OSError):  # not empty, or not there
        claim.parent.rmdir()


def _lock(destination: Path) -> Path:
    """What is claimed by who writes to a destination; it is staged beside that."""
    destination = destination.resolve()
    parent = destination if destination.is_mount() else destination.parent
    return parent / destination.name


def _remove_leftovers(claim: Path) -> None:
    """Remove what was staged by a process that was killed: a folder with a name of ours and nothing in it but what we put there."""
    for place in leftovers(claim):
        if stat.S_ISDIR(place.lstat().st_mode) and {path.name for path in place.iterdir()} <= {STAGED, REPLACED}:
            shutil.rmtree(place, ignore_errors=True)


def install(folder: Path, record: ArtifactRecord, destination: Path) -> None:
    """Write the record last of all and move the staged artifact to its place; nothing of it is lost with the machine's power then.

    An older artifact that stands there alone is moved aside whole. Where others have files there, the old artifact's record goes first
    and the new one's comes last, so that at no moment a record stands beside files that are not its own.
    """
    destination = destination.resolve()  # a link stays one, and what it leads to is replaced
    try:
        (folder / RECORD).write_text(record.model_dump_json(indent=2), encoding="utf-8")
        _sync(folder)
        old = read_record(destination)
        if not _install_folder(folder, old, destination):
            _install_files(folder, record, old, destination)
        _sync(destination.parent, "")
    except OSError as error:
        raise output_error(destination, error) from error


def _install_folder(folder: Path, old: ArtifactRecord | None, destination: Path) -> bool:
    """Rename the staged folder to its place, the `old` artifact aside before; False where something else is in the way, as a mount is."""
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
    """Whether an artifact's folder holds nothing but what it came with, and is nobody's working folder."""
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
    """Have the disk hold what the kernel still has to write of a folder: itself, and what in it fits the pattern."""
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
"""Of a file system that cannot be asked for it, as some that are mounted from elsewhere cannot for a folder."""


def _remove(path: Path, folder: Path) -> None:
    """Delete a file below `folder`, and the folders between that it leaves empty."""
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder:
            return
        with suppress(OSError):  # not empty, or not there
            parent.rmdir()


def keep_rejected(folder: Path, verdict: Verdict, destination: Path) -> Path:
    """Move a staged artifact that failed its validation to `.rejected/` beside its place, with its verdict; return where it is.

    It takes the place of the last one that was rejected. A folder of somebody else's by that name stays, and another name is taken.
    Raises OutputError.
    """
    parent = destination.parent / REJECTED
    kept = parent / destination.name
    try:
        if parent.is_symlink():
            raise OSError(errno.EINVAL, f"{parent} is a link; move it elsewhere")
        parent.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).write_text(verdict.model_dump_json(indent=2), encoding="utf-8")
        names = itertools.chain([destination.name], (f"{destination.name}-{number}" for number in itertools.count(2)))
        kept = next(parent / name for name in names if _is_free_for_rejected(parent / name))
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    except OSError as error:
        raise output_error(kept, error) from error
    return kept


def _is_free_for_rejected(path: Path) -> bool:
    """Whether nothing has this name, or an artifact that was rejected before."""
    if not os.path.lexists(path):
        return True
    try:
        return not path.is_symlink() and bool(Verdict.model_validate_json(read_at_most(path / VERDICT, RECORD_LIMIT)))
    except (OSError, ValidationError):
        return False


def copy_sidecars(source: Path, names: Iterable[str], folder: Path, made: Mapping[str, bytes]) -> tuple[FileRecord, ...]:
    """Copy config and tokenizer files as the checkpoint has them, each whole or not at all; return what they are there.

    With them go those that were `made`, unless the checkpoint has one by the name; but config.json as it was made, where it was. Where it
    was not, what another artifact of the model says there to its clients stays.
    """
    copied = tuple(names)
    made = {name: content for name, content in made.items() if name not in copied or name == CONFIG}
    for name in dict.fromkeys((*copied, *made)):
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            content = made[name] if name in made else (source / name).read_bytes()
            content = _with_client_settings(content, target) if name == CONFIG and name not in made else content
            if not target.is_file() or target.stat().st_size != len(content) or target.read_bytes() != content:
                write_whole(target, content)
        except OSError as error:
            raise output_error(target, error) from error
    return describe_files(folder, dict.fromkeys((*copied, *made)))


_CLIENT_SETTINGS = "transformers.js_config"


def _with_client_settings(config: bytes, target: Path) -> bytes:
    """config.json with what `target`, which it replaces, says to transformers.js and it does not."""
    try:
        there, ours = (json.loads(text) for text in (read_at_most(target, CONFIG_LIMIT), config))
    except (OSError, ValueError, RecursionError):
        return config
    if not isinstance(there, dict) or not isinstance(ours, dict) or _CLIENT_SETTINGS not in there or _CLIENT_SETTINGS in ours:
        return config
    return target.read_bytes() if {**ours, _CLIENT_SETTINGS: there[_CLIENT_SETTINGS]} == there else config
