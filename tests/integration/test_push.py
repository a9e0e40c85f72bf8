"""`converter push` against a Hub on loopback: one commit, one pull request after any failure, and only validated files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from tests.hub_server import OWNER_TOKEN, READER_TOKEN, STRANGER_TOKEN, HubClient, HubServer, Said
from tests.support.checkpoints import save_tiny

CARD = "---\nlicense: mit  # as the paper says\nlanguage: en\n---\n# Tiny\n\nIts own words.\r\nAnd more of them.\n"
TITLE = "Add deployable artifacts made by converter"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"), "bert", "AutoModelForMaskedLM")
    return {**{path.name: path.read_bytes() for path in folder.iterdir()}, "README.md": CARD.encode()}


@pytest.fixture(scope="module")
def converted(hub: HubServer, client: HubClient, checkpoint: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder of a batch, with an ONNX artifact in it."""
    base = tmp_path_factory.mktemp("batch")
    hub.add_repository("org/tiny", checkpoint)
    (base / "models.txt").write_text("org/tiny\n")
    client("--manifest", base / "models.txt", "--output", base / "out")
    return base / "out" / "org" / "tiny"


@pytest.fixture
def source(hub: HubServer, converted: Path, checkpoint: dict[str, bytes]) -> str:
    """The checkpoint's repository on a Hub that has nothing else. Its commit is the one that was converted."""
    hub.forget()
    sha = hub.add_repository("org/tiny", checkpoint)
    assert sha == _record(converted)["source"]["identity"].removeprefix("commit:")
    return "org/tiny"


@pytest.fixture
def artifacts(converted: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(converted, tmp_path / "tiny"))


@pytest.fixture
def push(client: HubClient, artifacts: Path) -> Callable[..., Said]:
    def run(to: str, *flags: str, token: str = OWNER_TOKEN, **more: Any) -> Said:
        return client("push", artifacts, "--to", to, *flags, token=token, **more)

    return run


def _record(model: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((model / "onnx" / "converter.json").read_bytes())
    return loaded


def _commits(hub: HubServer) -> int:
    return sum("/commit/" in request for request in hub.requests if request.startswith("POST"))


def _front_matter(card: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(card.split("---")[1])
    return loaded


def test_a_new_repository_has_the_layout_that_clients_read_and_a_card_in_one_commit(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    assert "owner/tiny-ONNX: pushed" in push("tiny-ONNX").out
    assert hub.repositories["owner/tiny-ONNX"].log() == [TITLE, "initial commit"]
    assert set(hub.files("owner/tiny-ONNX")) == {".gitattributes", "README.md", "config.json", "onnx/converter.json", "onnx/model.onnx"}
    assert hub.read("owner/tiny-ONNX", "onnx/model.onnx") == (artifacts / "onnx" / "model.onnx").read_bytes()
    assert hub.read("owner/tiny-ONNX", "config.json") == checkpoint["config.json"]
    card = hub.read("owner/tiny-ONNX", "README.md").decode()
    base = {"library_name": "transformers.js", "base_model": source, "license": "mit", "language": "en", "tags": ["onnx"]}
    assert _front_matter(card) == base
    record = _record(artifacts)
    errors = [comparison["max_abs_error"] for case in record["verdict"]["cases"] for comparison in case["comparisons"]]
    size = f"{(artifacts / 'onnx' / 'model.onnx').stat().st_size / 1000:.1f} kB"
    for phrase in (record["source"]["identity"][7:19], f"{max(errors):.1e} (atol 1e-05)", "100.0%", "onnxruntime 1.", size):
        assert phrase in card
    assert not hub.repositories["owner/tiny-ONNX"].private


def test_what_the_card_says_loads_the_artifact(hub: HubServer, source: str, push: Callable[..., Said], tmp_path: Path) -> None:
    push("tiny-ONNX")
    code = hub.read("owner/tiny-ONNX", "README.md").decode().partition("```python\n")[2].partition("```")[0]
    said = hub.run_client(f"{code}\nprint([each.name for each in session.get_inputs()])", home=tmp_path).stdout
    assert "input_ids" in said


def test_what_was_pushed_can_be_validated_by_who_downloads_it(
    hub: HubServer, source: str, client: HubClient, push: Callable[..., Said], tmp_path: Path
) -> None:
    push("tiny-ONNX")
    for path in hub.files("owner/tiny-ONNX"):
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(hub.read("owner/tiny-ONNX", path))
    assert "matches the checkpoint" in client("validate", tmp_path / "copy", "--reference", source).out


def test_pushing_again_commits_nothing(hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]) -> None:
    push("tiny-ONNX")
    record = _record(artifacts)  # another conversion differs in its cost and by a rounding
    record["stages"][0]["seconds"] += 1
    record["verdict"]["cases"][0]["comparisons"][0]["max_abs_error"] *= 1.5
    (artifacts / "onnx" / "converter.json").write_text(json.dumps(record))
    before = _commits(hub)
    assert "owner/tiny-ONNX: on the Hub already" in push("tiny-ONNX").out
    assert _commits(hub) == before


def test_a_pull_request_to_the_checkpoint_brings_the_artifacts_and_our_section_and_leaves_main(
    hub: HubServer, source: str, push: Callable[..., Said]
) -> None:
    said = push(source, "--create-pr")
    (request,) = hub.repositories[source].pull_requests
    assert (request.title, request.author, request.status) == (TITLE, "owner", "open")
    assert f"{source}, pull request 1: pushed, {hub.url}/{source}/discussions/1" in said.out
    for phrase in ("`onnx/model.onnx`", "org/tiny@", "torch 2.", "(atol 1e-05)", 'revision="refs/pr/N"'):
        assert phrase in request.text
    added = set(hub.files(source, "refs/pr/1")) - set(hub.files(source))
    assert added == {"onnx/model.onnx", "onnx/converter.json"}
    assert hub.repositories[source].log() == ["a commit"]
    card = hub.read(source, "README.md", "refs/pr/1").decode()
    own = card.replace("library_name: transformers\ntags:\n- onnx\n", "")
    begin, end = own.index("\n<!-- converter: begin -->"), own.index("<!-- converter: end -->") + len("<!-- converter: end -->\n")
    assert _front_matter(card) == {"license": "mit", "language": "en", "library_name": "transformers", "tags": ["onnx"]}
    assert own[:begin] + own[end:] == CARD


def test_one_pull_request_is_enough_be_it_open_merged_or_closed(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    push(source, "--create-pr")
    assert "pull request 1: on the Hub already" in push(source, "--create-pr").out
    hub.repositories[source].pull_requests[0].status = "closed"
    said = push(source, "--create-pr").out
    assert "pull request 1: on the Hub already" in said and "pull request 1 had all of it and was closed" in said
    hub.repositories[source].merge(1)
    assert "on the Hub already" in push(source, "--create-pr").out
    assert len(hub.repositories[source].pull_requests) == _commits(hub) == 1


def test_an_open_pull_request_of_ours_is_added_to_and_one_of_somebody_elses_is_not_touched(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]
) -> None:
    push(source, "--create-pr", token=STRANGER_TOKEN)
    push(source, "--create-pr")
    record = _record(artifacts)
    (artifacts / "onnx" / "converter.json").write_text(json.dumps({**record, "key": "another"}))
    push(source, "--create-pr")
    assert [pull_request.author for pull_request in hub.repositories[source].pull_requests] == ["stranger", "owner"]
    assert hub.repositories[source].log("refs/pr/1") == [TITLE, "a commit"]
    assert hub.repositories[source].log("refs/pr/2") == [TITLE, TITLE, "a commit"]


def test_a_branch_that_is_not_there_begins_at_the_commit_that_was_converted(
    hub: HubServer, source: str, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    converted = hub.repositories[source].refs["main"]
    hub.add_repository(source, {**checkpoint, "config.json": b'{"model_type": "bert", "other": 1}'})
    push(source, "--branch", "release/onnx")
    branch = hub.repositories[source].refs["release/onnx"]
    assert hub.repositories[source].parents[branch] == converted
    assert "on the Hub already" in push(source, "--branch", "release/onnx").out


def test_a_file_that_the_new_artifact_has_no_more_goes_and_nobody_elses_does(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]
) -> None:
    push(source)
    record = json.loads(hub.read(source, "onnx/converter.json"))
    record["files"].append({**record["files"][0], "path": "model.onnx_data"})
    old = {path: hub.read(source, path) for path in hub.files(source)} | {
        "onnx/converter.json": json.dumps({**record, "key": "old"}).encode()
    }
    hub.add_repository(source, {**old, "onnx/model.onnx_data": b"weights", "onnx/notes.txt": b"somebody's"})
    push(source)
    assert "onnx/model.onnx_data" not in hub.files(source) and "onnx/notes.txt" in hub.files(source)


FAULTS: dict[str, Callable[[HubServer, str], None]] = {
    "a 500": lambda hub, where: hub.fail(where, status=500),
    "a 429 with Retry-After": lambda hub, where: hub.fail(where, status=429, headers={"Retry-After": "7"}),
    "three 503s": lambda hub, where: hub.fail(where, status=503, times=3),
    "a reset": lambda hub, where: hub.reset(where, after=100),
    "a lost reply": lambda hub, where: hub.lose_reply(where),
    "a slow answer": lambda hub, where: hub.delay(where, 0.2),
}
PLACES = {
    "the look": "GET /api/models/org/tiny/revision/main",
    "the first question": "/preupload/",
    "the card": "/api/validate-yaml",
    "the batch": "/info/lfs/objects/batch",
    "the upload": "PUT /lfs/",
    "the commit": "POST /api/models/org/tiny/commit/",
    "the pull requests": "/discussions",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_push_that_is_disturbed_ends_in_one_commit_and_one_pull_request(
    hub: HubServer, source: str, push: Callable[..., Said], fault: str, place: str
) -> None:
    FAULTS[fault](hub, PLACES[place])
    said = push(source, "--create-pr")
    assert "pull request 1: pushed" in said.out
    if fault == "a 429 with Retry-After":
        assert sum(said.slept) >= 7
    (request,) = hub.repositories[source].pull_requests
    assert hub.repositories[source].log(request.revision) == [TITLE, "a commit"]
    assert hub.repositories[source].log() == ["a commit"]


@pytest.mark.parametrize("place", ["/api/repos/create", "/info/lfs/objects/batch", "PUT /lfs/", "POST /api/models/owner/tiny-ONNX/commit/"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_new_repository_is_made_once_with_one_commit_through_any_fault(
    hub: HubServer, source: str, push: Callable[..., Said], fault: str, place: str
) -> None:
    FAULTS[fault](hub, place)
    assert "owner/tiny-ONNX: pushed" in push("tiny-ONNX").out
    assert hub.repositories["owner/tiny-ONNX"].log() == [TITLE, "initial commit"]


def test_a_hub_that_stays_broken_is_told_in_a_sentence_and_the_next_push_does_it(
    hub: HubServer, source: str, push: Callable[..., Said]
) -> None:
    hub.fail("/commit/", status=500, times=99)
    said = push(source, expect=1)
    assert "error: the Hub answered org/tiny with status 500\n  to do: try again later" in said.err
    assert "Hub request failed (status 500); retrying in 1 s" in said.err
    assert hub.repositories[source].log() == ["a commit"]
    assert "again in" not in push(source, "--quiet", expect=1).err
    hub.end_faults()
    push(source)
    assert hub.repositories[source].log() == [TITLE, "a commit"]


def test_an_artifact_in_the_repository_that_nothing_validated_is_not_told_of_as_if_it_were(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    record = _record(artifacts)
    record |= {"backend": "neuron", "verdict": {"atol": 1e-5, "rtol": 1e-5, "runtime": "", "unvalidated": "nothing ran it"}}
    hub.add_repository(source, {**checkpoint, "neuron/converter.json": json.dumps(record).encode(), "neuron/model.neuron": b""})
    push(source)
    assert "neuron" not in hub.read(source, "README.md").decode() and "neuron/model.neuron" in hub.files(source)


def test_a_commit_of_somebody_else_in_between_is_kept_and_ours_comes_upon_it(
    hub: HubServer, source: str, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    changed = {**checkpoint, "README.md": b"# Another card\n"}
    hub.meanwhile("POST /api/models/org/tiny/commit/", lambda: hub.add_repository(source, changed))
    push(source)
    assert hub.repositories[source].log() == [TITLE, "a commit", "a commit"]
    assert "# Another card" in hub.read(source, "README.md").decode()


def test_a_checkpoint_that_has_moved_on_gets_no_artifacts_of_the_old_one(
    hub: HubServer, source: str, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    hub.add_repository(source, {**checkpoint, "config.json": checkpoint["config.json"] + b" "})
    for flags in ((), ("--create-pr",)):
        assert "main of org/tiny has another checkpoint than commit:" in push(source, *flags, expect=1).err
    assert _commits(hub) == 0


def test_ten_pushes_that_are_killed_leave_one_commit(hub: HubServer, source: str, artifacts: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "converter", "push", str(artifacts), "--to", source, "--create-pr"]
    environment = {**hub.environment(tmp_path), "HF_TOKEN": OWNER_TOKEN}
    places = (
        "GET /api/whoami", "GET /api/models/org/tiny", "/preupload/", "/revision/main", "/resolve/",
        "/discussions", "/batch", "PUT /lfs/", "/validate-yaml", "/commit/main",
    )  # fmt: skip
    for place in places:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hub.meanwhile(place, lambda process=process: os.kill(process.pid, signal.SIGKILL))  # type: ignore[misc]
        assert process.wait(timeout=60) == -signal.SIGKILL, place
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (request,) = hub.repositories[source].pull_requests
    assert hub.repositories[source].log(request.revision) == [TITLE, "a commit"]


def test_a_card_with_a_broken_front_matter_is_kept_and_told(
    hub: HubServer, source: str, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    broken = b"---\nlicense: [mit\n---\n# Words\n"
    hub.add_repository(source, {**checkpoint, "README.md": broken})
    assert "the card of org/tiny stays unchanged: its metadata is not YAML" in push(source).out
    assert hub.read(source, "README.md") == broken
    assert "onnx/model.onnx" in hub.files(source)


def test_a_card_that_begins_with_a_blank_line_keeps_its_metadata(
    hub: HubServer, source: str, push: Callable[..., Said], checkpoint: dict[str, bytes]
) -> None:
    card = "\n---\nlicense: mit\nlanguage: en\npipeline_tag: text-classification\n---\n# Title\n"
    hub.add_repository(source, {**checkpoint, "README.md": card.encode()})
    push(source, "--create-pr")
    own = {"license": "mit", "language": "en", "pipeline_tag": "text-classification"}
    changed = hub.read(source, "README.md", "refs/pr/1").decode()
    assert ModelCard(changed).data.to_dict() == {**own, "library_name": "transformers", "tags": ["onnx"]}
    assert ModelCard(changed).text.startswith("# Title\n") and changed.count("---\n") == 2


INHERITED_LINKS: dict[str, tuple[str, dict[str, bytes], str | None]] = {
    "a file beside the card": ("LICENSE", {"LICENSE": b"Our terms.\n"}, "LICENSE"),
    "a file in a folder": ("./terms/USE%20POLICY.md#4", {"terms/USE POLICY.md": b"Our terms.\n"}, "terms/USE POLICY.md"),
    "an address": ("https://example.org/license", {}, None),
}
LEFT_LINKS: dict[str, tuple[str, dict[str, bytes]]] = {
    "a file that is missing": ("LICENSE", {}),
    "a file above the repository": ("../../etc/passwd", {}),
    "an absolute path": ("/etc/passwd", {}),
    "a hidden file": (".gitattributes", {".gitattributes": b"* binary\n"}),
    "the card itself": ("README.md", {}),
    "code": ("modeling.py", {"modeling.py": b"import os\n"}),
    "weights": ("other.safetensors", {"other.safetensors": b"weights"}),
    "a file that is too large": ("LICENSE", {"LICENSE": bytes(2**20 + 1)}),
    "another scheme": ("file:LICENSE", {"LICENSE": b"Our terms.\n"}),
    "a list": ("[LICENSE]", {"LICENSE": b"Our terms.\n"}),
}


@pytest.fixture
def push_with_card(
    hub: HubServer, client: HubClient, artifacts: Path, checkpoint: dict[str, bytes]
) -> Callable[[bytes, dict[str, bytes]], Said]:
    """Pushes to a new repository as if the checkpoint had had this card and these files when it was converted."""

    def run(card: bytes, files: dict[str, bytes]) -> Said:
        hub.forget()
        sha = hub.add_repository("org/tiny", {**checkpoint, **files, "README.md": card})
        record = _record(artifacts)
        record["source"]["identity"] = f"commit:{sha}"
        (artifacts / "onnx" / "converter.json").write_text(json.dumps(record))
        return client("push", artifacts, "--to", "tiny-ONNX", token=OWNER_TOKEN)

    return run


def _with_link(link: str) -> bytes:
    return f"---\nlicense: other\nlicense_name: ours\nlicense_link: {link}\n---\n# Tiny\n".encode()


@pytest.mark.parametrize("case", INHERITED_LINKS)
def test_the_license_that_a_card_links_to_comes_along(hub: HubServer, push_with_card: Callable[..., Said], case: str) -> None:
    link, files, path = INHERITED_LINKS[case]
    push_with_card(_with_link(link), files)
    metadata = _front_matter(hub.read("owner/tiny-ONNX", "README.md").decode())
    assert {"license": "other", "license_name": "ours", "license_link": link}.items() <= metadata.items()
    assert {name for name in hub.files("owner/tiny-ONNX") if "/" not in name or name == path} == {
        *(".gitattributes", "README.md", "config.json"),
        *([path] if path else []),
    }
    if path:
        assert hub.read("owner/tiny-ONNX", path) == files[path]


@pytest.mark.parametrize("case", LEFT_LINKS)
def test_a_license_link_to_anything_else_is_left_out_with_a_note(hub: HubServer, push_with_card: Callable[..., Said], case: str) -> None:
    link, files = LEFT_LINKS[case]
    said = push_with_card(_with_link(link), files)
    assert "of org/tiny is left out: it is neither a web address nor a license file there" in said.out
    metadata = _front_matter(hub.read("owner/tiny-ONNX", "README.md").decode())
    assert metadata["license_name"] == "ours" and "license_link" not in metadata
    assert {name for name in hub.files("owner/tiny-ONNX") if not name.startswith("onnx/")} == {".gitattributes", "README.md", "config.json"}
    assert b"binary" not in hub.read("owner/tiny-ONNX", ".gitattributes")


def test_a_license_of_the_new_repositorys_own_is_not_replaced_nor_mixed_with_the_checkpoints(
    hub: HubServer, push_with_card: Callable[..., Said], push: Callable[..., Said]
) -> None:
    push_with_card(_with_link("LICENSE"), {"LICENSE": b"Our terms.\n"})
    assert "owner/tiny-ONNX: on the Hub already" in push("tiny-ONNX").out
    own = {**{name: hub.read("owner/tiny-ONNX", name) for name in hub.files("owner/tiny-ONNX")}, "LICENSE": b"Theirs.\n"}
    hub.add_repository("owner/tiny-ONNX", own)
    assert "owner/tiny-ONNX: on the Hub already" in push("tiny-ONNX").out
    hub.add_repository("owner/own", {"README.md": b"---\nlicense: mit\n---\n# Mine\n"})
    push("own")
    metadata = _front_matter(hub.read("owner/own", "README.md").decode())
    assert (
        metadata["license"] == "mit" and not metadata.keys() & {"license_name", "license_link"} and "LICENSE" not in hub.files("owner/own")
    )


def test_a_card_that_the_hub_refuses_is_left_out_and_told(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    hub.refused_metadata.add("license")
    said = push(source).out
    assert "org/tiny: on the Hub already" in push(source).out
    assert "the Hub refuses the card of org/tiny:" in said and "it stays unchanged" in said
    assert hub.read(source, "README.md") == CARD.encode()
    assert hub.repositories[source].log() == [TITLE, "a commit"]


def _spoil(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        record = _record(model)
        change(record)
        (model / "onnx" / "converter.json").write_text(json.dumps(record))

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file that was changed": (
        lambda model: (model / "onnx" / "model.onnx").write_bytes(b"x" * (model / "onnx" / "model.onnx").stat().st_size),
        "model.onnx of {folder} is not the file that was validated",
    ),
    "a config that was changed": ((lambda model: (model / "config.json").write_bytes(b"{}")), "config.json of {folder} is not the file"),
    "an artifact without its record": (
        lambda model: (model / "onnx" / "converter.json").unlink(),
        "there is no converter.json of an artifact in {folder}",
    ),
    "one that was not validated": (
        _spoil(lambda record: record["verdict"].update(unvalidated="nothing here runs it")),
        "{folder} was not validated: nothing here runs it",
    ),
    "one that failed": (
        _spoil(lambda record: record["verdict"]["cases"][0]["comparisons"][0].update(close=False)),
        "{folder} has not passed its validation: logits differs by",
    ),
    "one whose record names files elsewhere": (
        _spoil(lambda record: record["files"][0].update(path="../../secret")),
        "there is no converter.json of an artifact",
    ),
    "one whose record has no files": (_spoil(lambda record: record.update(files=[])), "there is no converter.json of an artifact"),
    "one whose record is of another backend": (
        _spoil(lambda record: record.update(backend="torchscript")),
        "there is no converter.json of an artifact",
    ),
    "one whose record brings weights along": (
        _spoil(lambda record: record["sidecars"][0].update(path="model.safetensors")),
        "model.safetensors of {folder} is not the file that was validated",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_only_what_was_validated_is_pushed(hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said], case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(artifacts)
    assert message.format(folder=artifacts / "onnx") in push("tiny-ONNX", expect=1).err
    assert "owner/tiny-ONNX" not in hub.repositories and not hub.storage


def test_what_is_committed_is_what_was_validated_though_the_file_changes_meanwhile(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]
) -> None:
    model = artifacts / "onnx" / "model.onnx"
    validated = model.read_bytes()
    hub.meanwhile("preupload/main", lambda: None)  # the permissions' message
    hub.meanwhile("preupload/main", lambda: model.write_bytes(bytes(model.stat().st_size)))
    push(source)
    assert hub.read(source, "onnx/model.onnx") == validated


def test_a_large_file_that_changes_while_it_is_pushed_is_not_committed(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]
) -> None:
    data = artifacts / "onnx" / "model.onnx_data"
    data.write_bytes(bytes(11 * 2**20))
    record = _record(artifacts)
    sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
    status = data.stat()
    record["files"].append({"path": data.name, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256})
    (artifacts / "onnx" / "converter.json").write_text(json.dumps(record))
    hub.meanwhile("preupload/main", lambda: None)
    hub.meanwhile("preupload/main", lambda: data.write_bytes(b"x" * (11 * 2**20)))
    assert "onnx/model.onnx_data was changed while it was pushed" in push(source, expect=1).err
    assert _commits(hub) == 0


LATE = {"discussions": [], "count": 0, "start": 0}


def test_a_pull_request_that_comes_to_light_late_is_waited_for(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    hub.say("/discussions", LATE, times=3)
    hub.lose_reply("/commit/main")
    said = push(source, "--create-pr")
    assert "pull request 1: pushed" in said.out and len(hub.repositories[source].pull_requests) == 1
    assert said.slept == [1, 2, 4]


def test_a_new_repository_and_a_new_branch_that_come_to_light_late_are_waited_for(
    hub: HubServer, source: str, push: Callable[..., Said]
) -> None:
    hub.fail("GET /api/models/owner/new", status=404, headers={"X-Error-Code": "RepoNotFound"}, times=4)
    assert "owner/new: pushed" in push("new").out
    hub.fail("GET /api/models/owner/new/revision/b?", status=404, headers={"X-Error-Code": "RevisionNotFound"}, times=2)
    assert "owner/new: on the Hub already" in push("new", "--branch", "b").out


def test_a_closed_pull_request_whose_branch_is_gone_is_passed_over(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    push(source, "--create-pr")
    hub.repositories[source].pull_requests[0].status = "closed"
    del hub.repositories[source].refs["refs/pr/1"]
    assert "pull request 2: pushed" in push(source, "--create-pr").out


PAUSES: dict[str, tuple[str, str, int]] = {
    "seconds": ("Retry-After", "40", 40),
    "a date": ("Retry-After", "in 100 s", 90),
    "a rate limit": ("RateLimit", '"api";r=0;t=50', 50),
    "a rate limit that is not used up": ("RateLimit", '"api";r=9;t=50', 1),
}


@pytest.mark.parametrize("kind", PAUSES)
@pytest.mark.parametrize("place", ["/commit/", "/preupload/", "PUT /lfs/"])
def test_the_pause_that_the_hub_asks_for_is_made(hub: HubServer, source: str, push: Callable[..., Said], kind: str, place: str) -> None:
    header, value, seconds = PAUSES[kind]
    if kind == "a date":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    hub.fail(place, status=429, headers={header: value})
    (slept,) = push(source).slept
    assert seconds <= slept < seconds + 15


@pytest.mark.parametrize("place", ["/preupload/", "/info/lfs/objects/batch", "PUT /lfs/", "/commit/", "/api/validate-yaml"])
def test_a_pause_that_nobody_would_sit_through_is_told_and_not_slept(
    hub: HubServer, source: str, push: Callable[..., Said], place: str
) -> None:
    hub.fail(place, status=429, headers={"Retry-After": "7200"}, times=9)
    said = push(source, expect=1)
    assert "the Hub requests a pause of 7200 s for org/tiny" in said.err
    assert said.slept == []


@pytest.mark.parametrize("place", ["GET /api/models/org/tiny", "/commit/", "/api/validate-yaml", "/preupload/"])
@pytest.mark.parametrize("page", [b"<html>Zeit\xfcberschreitung</html>", '"Bad Gateway"', ""])
def test_whatever_page_a_gateway_sends_the_push_goes_on(
    hub: HubServer, source: str, push: Callable[..., Said], place: str, page: str | bytes
) -> None:
    hub.say(place, page, status=502)
    push(source)
    assert hub.repositories[source].log() == [TITLE, "a commit"]


def test_the_hubs_own_words_are_told_where_it_refuses_and_without_the_token(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    hub.say("/commit/", {"error": f"no more room, {OWNER_TOKEN}"}, status=422)
    assert "the Hub refused the request for org/tiny (status 422): no more room, …" in push(source, expect=1).err
    oid = _oid_of_the_model(hub, source, push)
    hub.storage.clear()
    hub.say("/objects/batch", {"objects": [{"oid": oid, "size": 1, "error": {"code": 507, "message": "storage limit reached"}}]})
    assert "the Hub refuses an upload to org/tiny:" in (said := push(source, expect=1).err) and "storage limit reached" in said


def _oid_of_the_model(hub: HubServer, source: str, push: Callable[..., Said]) -> str:
    """The sha256 of the model, after which everything is as before."""
    push(source)
    oid = hub.files(source)["onnx/model.onnx"].sha256
    repository = hub.repositories[source]
    parent = repository.parents[repository.refs["main"]]
    assert parent
    repository.refs["main"] = parent
    return oid


RIGHTS = {
    "no token": (("org/tiny",), "", "no token found, which a push needs"),
    "a token that only reads": (("org/tiny",), READER_TOKEN, "the token of reader may only read"),
    "a token that is none": (("org/tiny",), "hf_nobodynobody", "the Hub does not know the token (status 401)"),
    "somebody else's repository": (("org/tiny",), STRANGER_TOKEN, "you may not write to org/tiny: the Hub answered with status 403"),
    "somebody else's name": (("other/tiny",), OWNER_TOKEN, "no repository other/tiny, and owner may not create it"),
    "a name that escapes": (("../tiny",), OWNER_TOKEN, "'../tiny' cannot be a repository"),
    "a name that is a path": (("a/b/c",), OWNER_TOKEN, "'a/b/c' cannot be a repository"),
    "a branch that is none": (("tiny", "--branch", "refs/pr/1"), OWNER_TOKEN, "'refs/pr/1' cannot be a branch"),
    "a branch that escapes": (("tiny", "--branch", "../x"), OWNER_TOKEN, "'../x' cannot be a branch"),
    "a pull request to nowhere": (("none", "--create-pr"), OWNER_TOKEN, "no repository owner/none to open a pull request in"),
}


@pytest.mark.parametrize("case", RIGHTS)
def test_what_may_not_be_written_to_is_told_before_anything_is_sent(
    hub: HubServer, source: str, push: Callable[..., Said], case: str
) -> None:
    arguments, token, message = RIGHTS[case]
    assert message in push(*arguments, token=token, expect=2 if "cannot be" in message else 1).err
    assert not hub.storage and set(hub.repositories) == {source}


def test_the_artifacts_of_a_private_checkpoint_stay_private(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    hub.repositories[source].private = True
    push("new")
    assert hub.repositories["owner/new"].private
    hub.add_repository("owner/open", {})
    assert "owner/open is open to all, and org/tiny, the checkpoint's, is not" in push("open", expect=1).err


def test_a_repository_that_is_to_be_private_is_private(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    push("asked", "--private")
    assert hub.repositories["owner/asked"].private
    hub.add_repository("owner/open", {})
    assert "owner/open is open to all, and --private was given" in push("open", "--private", expect=1).err


def test_a_repository_that_has_moved_is_pushed_to_by_its_name_of_today(hub: HubServer, source: str, push: Callable[..., Said]) -> None:
    hub.moved["org/former"] = source
    push("org/former", "--create-pr")
    assert set(hub.files(source, "refs/pr/1")) - set(hub.files(source)) == {"onnx/model.onnx", "onnx/converter.json"}


def test_a_repository_that_holds_another_model_is_not_written_to(
    hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]
) -> None:
    hub.add_repository("owner/other", {"config.json": b"{}", "model.safetensors": b""})
    assert "owner/other holds a config.json of another model" in push("other", expect=1).err
    push("tiny-ONNX")
    record = _record(artifacts)
    record["source"] |= {"repository": None, "model": "./ours"}
    (artifacts / "onnx" / "converter.json").write_text(json.dumps(record))
    assert "owner/tiny-ONNX holds the artifacts of org/tiny" in push("tiny-ONNX", expect=1).err


def test_nothing_of_this_machine_is_in_what_is_published(hub: HubServer, source: str, artifacts: Path, push: Callable[..., Said]) -> None:
    record = _record(artifacts)
    record["source"] |= {"repository": None, "model": f"{artifacts}/secret/ours", "identity": "sha256:" + "0" * 64, "revision": None}
    record["options"]["config"] = f"{artifacts}/secret/mine.py:Mine"
    (artifacts / "onnx" / "converter.json").write_text(json.dumps(record))
    push("ours")
    published = b"".join(hub.read("owner/ours", path) for path in ("README.md", "onnx/converter.json"))
    assert b"secret" not in published and str(artifacts).encode() not in published
    assert b"mine.py:Mine" in published


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda hub: None, 0),
        (lambda hub: hub.fail("/commit/", status=500, times=99), 1),
        (lambda hub: hub.fail("PUT /lfs/", status=403, times=99), 1),
        (lambda hub: hub.reset("PUT /lfs/", after=10, times=99), 1),
        (lambda hub: hub.say("/commit/", {"error": f"no, {OWNER_TOKEN}"}, status=400, times=99), 1),
    ],
)
def test_neither_the_token_nor_a_signed_address_is_ever_said(
    hub: HubServer, source: str, push: Callable[..., Said], spoil: Callable[[HubServer], None], code: int
) -> None:
    spoil(hub)
    for flags in (("--debug",), ("--debug", "--json")):
        said = push(source, *flags, expect=code)
        assert "ownerowner" not in said.out + said.err
        assert "Amz-Signature" not in said.out + said.err
    assert json.loads(said.out)["repository"] == source
    assert OWNER_TOKEN in hub.tokens


def test_the_clients_own_debug_log_has_no_token_either(hub: HubServer, source: str, artifacts: Path, tmp_path: Path) -> None:
    hub.fail("/commit/", status=403)
    command = [sys.executable, "-m", "converter", "push", str(artifacts), "--to", source, "--debug"]
    variables = {"HF_TOKEN": OWNER_TOKEN, "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    said = subprocess.run(command, env=hub.environment(tmp_path) | variables, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1 and "Send: curl" in said.stderr and "Traceback" in said.stderr
    assert "ownerowner" not in said.stdout + said.stderr


def test_uploads_by_xet_end_in_one_commit_too(hub: HubServer, source: str, artifacts: Path, tmp_path: Path) -> None:
    hub.xet_storage = tmp_path / "xet"
    hub.xet_storage.mkdir()
    with HubClient(hub, tmp_path / "home", HF_HUB_DISABLE_XET="0") as client:
        for phrase in ("pull request 1: pushed", "pull request 1: on the Hub already"):
            assert phrase in client("push", artifacts, "--to", source, "--create-pr", token=OWNER_TOKEN).out
    assert not any("/lfs/" in request for request in hub.requests)
    blob = hub.files(source, "refs/pr/1")["onnx/model.onnx"]
    (file,) = _record(artifacts)["files"]
    assert (blob.sha256, blob.size) == (file["sha256"], file["size"])
    assert sum(path.stat().st_size for path in hub.xet_storage.rglob("*") if path.is_file()) > 10_000
    hub.xet_storage = None
