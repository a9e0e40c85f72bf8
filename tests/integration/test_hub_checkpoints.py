"""Checkpoints from a Hub: resolution, downloads, and the messages of failures."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.hub_server import OWNER_TOKEN, HubServer

TOKEN = "hf_secretsecretsecret"
CONFIG = {"model_type": "bert", "hidden_size": 8}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NEEDED: dict[str, bytes] = {
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "config.json": json.dumps(CONFIG).encode(),
    SHARDS[0]: save({"a": np.arange(1000, dtype=np.float32)}),
    SHARDS[1]: save({"b": np.arange(2000, dtype=np.float32)}),
    "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}).encode(),
    "tokenizer.json": b"{}",
    "vocab.txt": b"[PAD]\n",
}
NOT_NEEDED: dict[str, bytes] = {"README.md": b"# A model", "pytorch_model.bin": b"a pickle", "onnx/model.onnx": b"a graph"}
ONE_FILE = {"config.json": NEEDED["config.json"], "model.safetensors": NEEDED[SHARDS[0]]}

# Resolves argv[1] and prints the result.
_RESOLVE = """
import json, sys
from pathlib import Path
from converter.checkpoints.fetch import resolve
from converter.checkpoints.source import parse_source

found = resolve(parse_source(sys.argv[1], Path(".")))
print(json.dumps([found.identity, dict(found.config), dict(found.files), found.folder]))
"""

# Fetches the files argv[3] of argv[1] at the identity argv[2] and prints their folder.
_FETCH = """
import json, sys
from pathlib import Path
from converter.checkpoints.fetch import fetch
from converter.checkpoints.source import parse_source
from converter.core.records import Checkpoint

name, identity, files = sys.argv[1:]
print(fetch(Checkpoint(source=parse_source(name, Path(".")), identity=identity, config={}, files=json.loads(files))))
"""

# Resolves and fetches each source of {"case": [source, token]}; prints how each ended, with all that a traceback can show.
_FAIL = """
import json, os, sys, time, traceback
from pathlib import Path
from converter.checkpoints.fetch import fetch, resolve
from converter.checkpoints.source import parse_source

def everything(error):
    yield repr(error)
    while error is not None:  # what `from None` hides as well
        yield from traceback.format_exception(error)
        error = error.__cause__ or error.__context__

time.sleep = lambda seconds: None  # the client waits between its attempts
told = {}
for case, (name, token) in json.loads(sys.argv[1]).items():
    os.environ["HF_TOKEN"] = token
    try:
        found = resolve(parse_source(name, Path(".")))
        told[case] = {"kind": "none", "folder": str(fetch(found)), "notes": found.notes, "repository": found.repository}
    except Exception as error:
        shown = "".join(everything(error))
        told[case] = {"kind": type(error).__name__, "message": str(error), "hint": getattr(error, "hint", ""), "shown": shown}
print(json.dumps(told))
"""


def test_resolving_names_the_commit_and_the_needed_files_and_downloads_no_weight(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_repository("org/sharded", NEEDED | NOT_NEEDED)
    answer = json.loads(hub.run_client(_RESOLVE, "org/sharded@main", home=tmp_path, HF_TOKEN=TOKEN).stdout)
    assert answer == [f"commit:{commit}", CONFIG, {name: len(content) for name, content in sorted(NEEDED.items())}, None]
    asked = [request.rpartition("/")[2] for request in hub.requests if "/org/sharded/resolve/" in request]
    assert set(asked) == {"config.json", "model.safetensors.index.json"}


def test_resolving_a_repository_of_sentence_transformers_reads_what_its_model_is_loaded_for(hub: HubServer, tmp_path: Path) -> None:
    settings = {
        "modules.json": b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]',
        "sentence_bert_config.json": b'{"max_seq_length": 384}',
    }
    hub.add_repository("org/embedder", NEEDED | settings)
    asked = _RESOLVE.replace("found.folder]", "found.task]")
    *_, files, task = json.loads(hub.run_client(asked, "org/embedder", home=tmp_path, HF_TOKEN=TOKEN).stdout)
    assert task == "feature-extraction"
    assert settings.keys() <= files.keys()  # they are fetched with the others
    read = {request.rpartition("/")[2] for request in hub.requests if "/org/embedder/resolve/" in request}
    assert read == {"config.json", "model.safetensors.index.json", *settings}


def test_fetching_brings_the_files_of_the_resolved_commit_after_the_branch_has_moved(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_repository("org/moved", NEEDED | NOT_NEEDED)
    hub.add_repository("org/moved", {name: bytes(reversed(content)) for name, content in NEEDED.items()})
    sizes = json.dumps({name: len(content) for name, content in NEEDED.items()})
    hub.fail(f"HEAD /org/moved/resolve/{commit}/vocab.txt", status=503)  # once, which the client gets over
    done = hub.run_client(_FETCH, "org/moved@main", f"commit:{commit}", sizes, home=tmp_path, HF_TOKEN=TOKEN)
    folder = Path(done.stdout.strip())
    brought = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in brought.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in NEEDED.items()
    }


_CHECK = "check the network, HF_ENDPOINT and the cache's folder; HF_HUB_OFFLINE=1 uses the cache"
_HIDDEN = "check the spelling; for a private one set HF_TOKEN; a local path starts with ./"
FAILURES: Mapping[str, tuple[str, str, str, str]] = {
    "a missing repository": ("org/none@main", TOKEN, "org/none is not on the Hub, or is private", _HIDDEN),
    "a missing revision": ("org/plain@v9", TOKEN, "org/plain has no revision 'v9'", "name a branch, a tag or a commit that exists"),
    "a gated repository": ("org/gated", TOKEN, "org/gated is gated", "accept its terms on the Hub and set HF_TOKEN to a token of yours"),
    "a private repository, with no token": ("org/private", "", "org/private is not on the Hub, or is private", _HIDDEN),
    "a private repository, with a stranger's token": ("org/private", TOKEN, "org/private is not on the Hub, or is private", _HIDDEN),
    "a token that is not valid": ("org/expired", TOKEN, "the Hub answered org/expired with status 401", "check HF_TOKEN"),
    "a token that no header can hold": (
        "org/plain",
        f"{TOKEN}…",
        "HF_TOKEN holds a character that no token has",
        "copy the token again, whole",
    ),
    "a Hub that is broken": ("org/broken@main", TOKEN, "the Hub answered org/broken@main with status 500", "try again later"),
    "a file that is refused": ("org/refused", TOKEN, "the Hub answered org/refused@{commit} with status 403", "check HF_TOKEN"),
    "a file that breaks the Hub": ("org/halfway", TOKEN, "the Hub answered org/halfway@{commit} with status 500", "try again later"),
    "a file that is gone": ("org/gone", TOKEN, "a listed file of org/gone@{commit} is missing", "try again later"),
    "a login page": ("org/page", TOKEN, "the server that answered for org/page is not a Hub", "check the network and HF_ENDPOINT"),
    "a server that is down": ("org/down@main", TOKEN, "the Hub could not be reached for org/down@main: ConnectError", _CHECK),
}


@pytest.fixture(scope="module")
def failed(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The results of FAILURES, and of "the owner" of a private repository, who has access."""
    for name in ("plain", "expired", "broken", "refused", "halfway", "gone", "page"):
        hub.add_repository(f"org/{name}", ONE_FILE)
    hub.add_repository("org/gated", ONE_FILE, gated=True)
    hub.add_repository("org/private", ONE_FILE, private=True)
    hub.fail("/org/expired", status=401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
    hub.fail("/org/broken", status=500, times=99)
    hub.fail("HEAD /org/refused", status=403)
    hub.fail("HEAD /org/halfway", status=500, times=99)
    hub.fail("HEAD /org/gone", status=404, headers={"X-Error-Code": "EntryNotFound"})
    hub.fail("/org/page", status=200, times=99, headers={"Content-Type": "text/html"})
    cases = {case: (name, token) for case, (name, token, *_) in FAILURES.items()} | {"the owner": ("org/private", OWNER_TOKEN)}
    down = {"a server that is down": cases.pop("a server that is down")}
    answers: dict[str, Any] = {}
    with socket.create_server(("127.0.0.1", 0)) as server:  # bound, then closed: a port where nobody listens
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    for asked, variables in ((cases, {}), (down, {"HF_ENDPOINT": closed})):
        done = hub.run_client(_FAIL, json.dumps(asked), home=tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN, **variables)
        answers |= json.loads(done.stdout)
        answers["what the client logs"] = answers.get("what the client logs", "") + done.stderr
    return answers


@pytest.mark.parametrize("case", FAILURES)
def test_each_failure_is_a_sentence_with_a_hint(failed: dict[str, dict[str, str]], hub: HubServer, case: str) -> None:
    name, _, message, hint = FAILURES[case]
    repository = hub.repositories.get(name.partition("@")[0])
    answer = failed[case]
    assert (answer["kind"], answer.get("message"), answer.get("hint")) == (
        "CheckpointError",
        message.format(commit=repository.refs["main"] if repository else ""),
        hint,
    )


def test_the_token_stands_in_nothing_that_a_failure_shows(failed: dict[str, dict[str, str]]) -> None:
    assert "Traceback" in failed["a gated repository"]["shown"]
    assert [case for case, answer in failed.items() if "secret" in str(answer)] == []


def test_the_token_of_its_owner_opens_a_private_repository(failed: dict[str, dict[str, str]]) -> None:
    folder = Path(failed["the owner"]["folder"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == ONE_FILE


@pytest.fixture
def ask(hub: HubServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Resolves and fetches one source, with one cache for all of a test."""

    def run(name: str, **variables: str) -> dict[str, Any]:
        said = hub.run_client(_FAIL, json.dumps({"case": (name, TOKEN)}), home=tmp_path, HF_TOKEN=TOKEN, **variables)
        answer: dict[str, Any] = json.loads(said.stdout)["case"]
        return answer

    return run


def _contents(answer: Mapping[str, Any]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(answer["folder"]).iterdir()}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_arrives_with_other_contents_of_its_size_is_downloaded_again(
    hub: HubServer, ask: Callable[..., dict[str, Any]], name: str
) -> None:
    hub.add_repository("org/wrong", ONE_FILE)
    hub.send_wrong_bytes(name)
    assert _contents(ask("org/wrong")) == ONE_FILE
    hub.send_wrong_bytes(name, times=9)
    hub.add_repository("org/wrong", {file: content + b" " for file, content in ONE_FILE.items()})
    answer = ask("org/wrong")
    assert f"{name} of org/wrong@{hub.repositories['org/wrong'].refs['main']} arrives with other contents" in answer["message"]
    hub.send_wrong_bytes(name, times=0)


@pytest.mark.parametrize("variables", [{}, {"HF_HUB_DISABLE_SYMLINKS": "1"}], ids=["with symlinks", "without"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_was_spoilt_in_the_cache_is_downloaded_again(
    hub: HubServer, ask: Callable[..., dict[str, Any]], name: str, variables: dict[str, str]
) -> None:
    hub.add_repository("org/spoilt", ONE_FILE)
    spoilt = Path(ask("org/spoilt", **variables)["folder"], name)
    assert spoilt.is_symlink() == (not variables)
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    assert _contents(ask("org/spoilt", **variables)) == ONE_FILE
    requests = len(hub.requests)
    assert _contents(ask("org/spoilt", **variables)) == ONE_FILE  # for good: nothing but the listing is requested
    assert not [request for request in hub.requests[requests:] if "/resolve/" in request]


def test_without_symlinks_a_file_that_keeps_arriving_wrong_is_the_hubs(hub: HubServer, ask: Callable[..., dict[str, Any]]) -> None:
    hub.add_repository("org/unmended", ONE_FILE)
    hub.send_wrong_bytes("model.safetensors", times=9)
    answer = ask("org/unmended", HF_HUB_DISABLE_SYMLINKS="1")
    assert "model.safetensors of org/unmended@" in answer["message"] and "arrives with other contents" in answer["message"]
    hub.send_wrong_bytes("model.safetensors", times=0)
    assert _contents(ask("org/unmended", HF_HUB_DISABLE_SYMLINKS="1")) == ONE_FILE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda hub: hub.fail("/api/models/org/shaky", status=502, times=3),
        lambda hub: hub.fail("/api/models/org/shaky", status=429, headers={"Retry-After": "5"}),
        lambda hub: hub.reset("/api/models/org/shaky"),
        lambda hub: hub.reset("GET /org/shaky/resolve", after=50),
        lambda hub: hub.fail("/org/shaky/resolve", status=500, times=4),
        lambda hub: hub.say("GET /org/shaky/resolve", b"less than it should be", times=2),
    ],
)
def test_what_passes_is_waited_for(hub: HubServer, ask: Callable[..., dict[str, Any]], spoil: Callable[[HubServer], None]) -> None:
    hub.add_repository("org/shaky", ONE_FILE)
    spoil(hub)
    assert _contents(ask("org/shaky")) == ONE_FILE


def test_a_file_that_is_cut_off_is_taken_up_where_it_ended(hub: HubServer, ask: Callable[..., dict[str, Any]]) -> None:
    files = {**ONE_FILE, "model.safetensors": save({"a": np.arange(3 * 2**20, dtype=np.float32)})}
    commit = hub.add_repository("org/cut", files)
    hub.cut_off(f"GET /org/cut/resolve/{commit}/model.safetensors", 11 * 2**20)
    assert _contents(ask("org/cut")) == files
    assert hub.ranges == [f"bytes={10 * 2**20}-"]  # the client writes 10 MiB at a time


def test_without_the_hub_the_cache_is_taken_only_where_it_is_asked_for_and_that_is_said(
    hub: HubServer, ask: Callable[..., dict[str, Any]]
) -> None:
    commit = hub.add_repository("org/cached", ONE_FILE)
    ask("org/cached@main")
    asked = len(hub.requests)
    for name in ("org/cached@main", "org/cached", f"org/cached@{commit}"):
        answer = ask(name, HF_HUB_OFFLINE="1")
        assert answer["notes"] == [f"HF_HUB_OFFLINE is set: {name} is the cached commit {commit[:12]}, which may be old or incomplete"]
        assert _contents(answer) == ONE_FILE
    assert "is not in the cache" in ask("org/never", HF_HUB_OFFLINE="1")["message"]
    assert len(hub.requests) == asked
    hub.fail("/org/cached", status=503, times=99)
    answer = ask("org/cached@main")
    assert (answer["message"], answer["hint"]) == ("the Hub answered org/cached@main with status 503", "try again later")


def test_what_was_spoilt_in_the_cache_is_noticed_without_the_hub_too(hub: HubServer, ask: Callable[..., dict[str, Any]]) -> None:
    hub.add_repository("org/offline", ONE_FILE)
    weights = Path(ask("org/offline")["folder"], "model.safetensors").resolve()
    weights.write_bytes(bytes(weights.stat().st_size))
    answer = ask("org/offline", HF_HUB_OFFLINE="1")
    assert answer["kind"] == "CheckpointError" and answer["message"].endswith("model.safetensors changed after its download")
    assert answer["hint"] == "unset HF_HUB_OFFLINE to download it again"


def test_a_repository_that_has_moved_is_found_and_its_new_name_is_said(hub: HubServer, ask: Callable[..., dict[str, Any]]) -> None:
    hub.add_repository("org/new", ONE_FILE)
    hub.moved["org/old"] = "org/new"
    answer = ask("org/old")
    assert (answer["repository"], answer["notes"]) == ("org/new", ["org/old is called org/new on the Hub"])
    assert _contents(answer) == ONE_FILE
