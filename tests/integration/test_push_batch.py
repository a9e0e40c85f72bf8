"""`--push` of a batch: each model is pushed as soon as it is validated, and a second run does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub_server import OWNER_TOKEN, READER_TOKEN, STRANGER_TOKEN, HubClient, HubServer, Said
from tests.support.checkpoints import save_tiny

TITLE = "Add deployable artifacts made by converter"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | Path]:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"), "bert", "AutoModelForMaskedLM")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def source(hub: HubServer, checkpoint: dict[str, bytes | Path]) -> str:
    hub.forget()
    hub.add_repository("org/tiny", checkpoint)
    return "org/tiny"


class Batch:
    """A manifest and its output folder."""

    def __init__(self, client: HubClient, folder: Path) -> None:
        self._client, self.folder = client, folder

    def __call__(self, manifest: str, *flags: str, output: str = "out", expect: int | None = 0, token: str = OWNER_TOKEN) -> Said:
        (self.folder / "models.txt").write_text(manifest)
        arguments = ("--manifest", self.folder / "models.txt", "--output", self.folder / output, *flags)
        return self._client(*arguments, expect=expect, token=token)


@pytest.fixture
def batch(client: HubClient, tmp_path: Path) -> Batch:
    return Batch(client, tmp_path)


def test_a_pull_request_is_opened_once_even_where_the_second_run_begins_with_nothing(hub: HubServer, source: str, batch: Batch) -> None:
    said = batch("org/tiny\norg/missing\n", "--push", "pr", expect=1)
    assert "1 converted, 0 unchanged, 1 failed; 1 pushed, 0 on the Hub already, 0 not pushed" in said.out
    report = json.loads((batch.folder / "out" / "report.json").read_bytes())
    (pushed,) = report["pushes"]
    assert (pushed["repository"], pushed["status"], pushed["pull_request"]) == (source, "pushed", 1)
    assert "[pull request 1](" in (batch.folder / "out" / "report.md").read_text(encoding="utf-8")
    for output in ("out", "elsewhere"):  # the second converts again, as a new runner of a workflow does
        said = batch("org/tiny\n", "--push", "pr", output=output)
        assert "; 0 pushed, 1 on the Hub already, 0 not pushed" in said.out
    (request,) = hub.repositories[source].pull_requests
    assert hub.repositories[source].log(request.revision) == [TITLE, "a commit"]


def test_a_commit_to_the_checkpoint_does_not_make_it_a_new_one(hub: HubServer, source: str, batch: Batch) -> None:
    batch("org/tiny\n", "--push", "commit")
    assert hub.repositories[source].log() == [TITLE, "a commit"]
    said = batch("org/tiny\n", "--push", "commit")
    assert "0 converted, 1 unchanged, 0 failed; 0 pushed, 1 on the Hub already" in said.out
    assert hub.repositories[source].log() == [TITLE, "a commit"]


def test_a_new_repository_is_named_by_the_pattern(hub: HubServer, source: str, batch: Batch, checkpoint: dict[str, bytes | Path]) -> None:
    local = batch.folder / "ours"
    local.mkdir()
    for name, path in checkpoint.items():
        assert isinstance(path, Path)
        (local / name).write_bytes(path.read_bytes())
    batch("org/tiny\n./ours\n", "--push", "repo", "--private")
    assert hub.repositories["owner/tiny-ONNX"].private and hub.repositories["owner/ours-ONNX"].private
    batch("org/tiny\n", "--push", "repo", "--push-to", "org/{owner}-{name}")
    assert hub.repositories["org/org-tiny"].log() == [TITLE, "initial commit"]
    assert hub.repositories[source].log() == ["a commit"]


def test_what_failed_is_not_pushed_and_what_did_not_is(hub: HubServer, source: str, batch: Batch) -> None:
    batch("org/tiny to=torchscript\norg/tiny to=onnx atol=1e-12\n", "--push", "pr", expect=1)  # a trace may be exact
    pushed = set(hub.files(source, "refs/pr/1")) - set(hub.files(source))
    assert pushed == {"README.md", "torchscript/model.pt", "torchscript/converter.json"}


def test_a_push_that_fails_is_told_at_its_line_and_the_others_go_on(
    hub: HubServer, source: str, batch: Batch, checkpoint: dict[str, bytes | Path]
) -> None:
    hub.add_repository("org/second", checkpoint)
    hub.fail("POST /api/models/org/tiny/commit/", status=500, times=99)
    said = batch("org/tiny\norg/second\n", "--push", "commit", expect=1)
    assert "2 converted, 0 unchanged, 0 failed; 1 pushed, 0 on the Hub already, 1 not pushed" in said.out
    assert f"{batch.folder}/models.txt:1:1: org/tiny: the Hub answered org/tiny with status 500" in said.err
    assert hub.repositories["org/second"].log() == [TITLE, "a commit"]


REFUSED = {
    "a folder has no repository": (
        "org/tiny\n./ours\n",
        ("--push", "pr"),
        OWNER_TOKEN,
        "models.txt:2:1: ./ours is a folder and has no repository",
    ),
    "somebody else's repository": ("org/tiny\n", ("--push", "commit"), STRANGER_TOKEN, "models.txt:1:1: you may not write to org/tiny"),
    "a token that only reads": ("org/tiny\n", ("--push", "pr"), READER_TOKEN, "the token of reader may only read; nothing was started"),
    "no token": ("org/tiny\n", ("--push", "pr"), "", "no token found, which a push needs; nothing was started"),
    "two models to one name": (
        "org/tiny\nowner/tiny output=b\n",
        ("--push", "repo"),
        OWNER_TOKEN,
        "models.txt:2:1: its onnx artifact would go to tiny-ONNX, where line 1 has its own",
    ),
    "one backend twice": (
        "org/tiny\norg/tiny output=b feature=default\n",
        ("--push", "pr"),
        OWNER_TOKEN,
        "models.txt:2:1: its onnx artifact would go to org/tiny, where line 1 has its own",
    ),
    "a pattern that is none": ("org/tiny\n", ("--push", "repo", "--push-to", "{x}"), OWNER_TOKEN, "'{x}' is not a pattern of names"),
    "a pattern without a name": ("org/tiny\n", ("--push", "repo", "--push-to", "all"), OWNER_TOKEN, "'all' is not a pattern of names"),
    "a name that escapes": ("org/tiny\n", ("--push", "repo", "--push-to", "../{name}"), OWNER_TOKEN, "'../tiny' cannot be a repository"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pushed_is_told_before_anything_is_converted(hub: HubServer, source: str, batch: Batch, case: str) -> None:
    manifest, flags, token, message = REFUSED[case]
    said = batch(manifest, *flags, token=token, expect=2)
    assert message in said.err
    assert not any("/resolve/" in request for request in hub.requests)
    assert not (batch.folder / "out").exists()


def test_a_hub_that_does_not_say_what_is_at_the_new_name_is_told_before_anything_is_converted(
    hub: HubServer, source: str, batch: Batch
) -> None:
    hub.fail("GET /api/models/owner/tiny-ONNX", status=500, times=99)
    assert "the Hub answered owner/tiny-ONNX with status 500" in batch("org/tiny\n", "--push", "repo", expect=1).err
    assert not (batch.folder / "out").exists()
