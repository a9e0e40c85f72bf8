"""A digest is the one that the Hub, and git, know a file by."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub.utils.sha import git_hash

from converter.hub.digests import digest_of


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(3_000_000)])
def test_the_digest_of_a_file_and_of_its_contents_are_the_hubs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for source in (path, content):
        assert digest_of(source, "sha256:x") == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert digest_of(source, "git:x") == f"git:{git_hash(content)}"
