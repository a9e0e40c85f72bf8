"""The Hugging Face Hub. The only module that imports huggingface_hub, always late: the import reads HF_* once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from converter.errors import CheckpointError


def files_at(repository: str, revision: str | None) -> tuple[str, Mapping[str, int]]:
    """Resolve a revision to its commit; return the commit's sha and the size in bytes of each file it holds."""
    from huggingface_hub import HfApi

    with _told_plainly(repository, revision):
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    return str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()}


def download(repository: str, commit: str, names: Collection[str]) -> Path:
    """Download files of a repository at a commit into the Hub's cache; return the folder that holds them by name."""
    from huggingface_hub import hf_hub_download

    with _told_plainly(repository, commit):
        paths = [Path(hf_hub_download(repository, name, revision=commit)) for name in names]
        depths = [name.count("/") for name in names]
    return paths[0].parents[depths[0]]


@contextmanager
def _told_plainly(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the client raises into a sentence. Nothing of the request is quoted: its headers hold the token."""
    import httpx2
    from huggingface_hub import errors

    named = f"{repository}@{revision}" if revision else repository
    try:
        yield
    except errors.GatedRepoError:  # a subclass of RepositoryNotFoundError, so it comes first
        raise CheckpointError(f"{repository} is gated", "accept its terms on the Hub and set HF_TOKEN to a token of yours") from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            f"{repository} is not on the Hub, or is private",
            "check the spelling; for a private one set HF_TOKEN; a local path starts with ./",
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"{repository} has no revision {revision!r}", "name a branch, a tag or a commit that exists") from None
    except errors.LocalEntryNotFoundError as error:  # a subclass of EntryNotFoundError; its cause is why the file could not be had
        raise _unanswered(named, error.__cause__ or error) from None
    except errors.EntryNotFoundError:
        raise CheckpointError(f"{named} lacks a file that it lists", "try again later") from None
    except UnicodeEncodeError:  # a header is ASCII, and all else in it is ours
        raise CheckpointError("HF_TOKEN holds a character that no token has", "copy the token again, whole") from None
    except JSONDecodeError:  # a login page of the network's, say
        raise CheckpointError(f"what answered for {named} is no Hub", "check the network and HF_ENDPOINT") from None
    except (httpx2.HTTPError, OSError) as error:
        raise _unanswered(named, error) from None


def _unanswered(named: str, error: BaseException) -> CheckpointError:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return CheckpointError(f"{named} was asked for, but HF_HUB_OFFLINE is set", "unset it, or name a local folder")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        hint = "check HF_TOKEN" if status in (401, 403) else "try again later"
        return CheckpointError(f"the Hub answered {named} with status {status}", hint)
    return CheckpointError(
        f"the Hub could not be reached for {named}: {type(error).__name__}", "check the network, HF_ENDPOINT and the cache's folder"
    )
