"""`make demo-hub`: a whole round against a Hub on loopback, to look at.

A repository with a checkpoint, a batch, a pull request with the artifact and its card, and a second run that does nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hub_server import OWNER_TOKEN, HubServer
from tests.support.checkpoints import MINILM

NAME = "org/all-MiniLM-L6-v2"
CARD = b"---\nlicense: apache-2.0  # of the weights\ntags:\n- sentence-similarity\n---\n# all-MiniLM-L6-v2\n\nThe authors' own words.\n"


def main() -> None:
    files = {path.relative_to(MINILM).as_posix(): path for path in MINILM.rglob("*") if path.is_file()}
    with HubServer() as hub, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        commit = hub.add_repository(NAME, {**files, "README.md": CARD})
        _title(f"A Hub at {hub.url} has {NAME} at commit {commit[:12]}: {', '.join(sorted(hub.files(NAME)))}")
        (folder / "models.txt").write_text(f"{NAME}@main  to=onnx\n", encoding="utf-8")
        environment = {**hub.environment(folder / "home"), "HF_TOKEN": OWNER_TOKEN}
        for heading in ("The first run", "The second run"):
            requests = len(hub.requests)
            _title(f"{heading}: converter --manifest models.txt --push pr")
            _run(["--manifest", "models.txt", "--push", "pr"], environment, folder)
            _title(f"{len(hub.requests) - requests} requests to the Hub; these wrote to it:")
            print("\n".join(request for request in hub.requests[requests:] if not request.startswith(("GET", "HEAD"))))
        (request,) = hub.repositories[NAME].pull_requests
        added = sorted(set(hub.files(NAME, request.revision)) - set(hub.files(NAME)))
        _title(f"Pull request {request.number} of {request.author}, {request.title!r}, adds {', '.join(added)}. It says:")
        print(request.text)
        _title("The card in it, which was three lines of the authors':")
        print(hub.read(NAME, "README.md", request.revision).decode())


def _run(arguments: list[str], environment: dict[str, str], folder: Path) -> None:
    """Run the command as a user does; its own output comes through."""
    sys.stdout.flush()
    path = os.pathsep.join(filter(None, (str(Path.cwd()), environment.get("PYTHONPATH"))))
    subprocess.run([sys.executable, "-m", "converter", *arguments], env={**environment, "PYTHONPATH": path}, cwd=folder, check=True)


def _title(text: str) -> None:
    print(f"\n=== {text}\n")


if __name__ == "__main__":
    main()
