"""A manifest of Hub ids, against a Hub on loopback: the commit is in the record, and other contents are converted anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converter.hub.retry import ATTEMPTS
from tests.hub_server import HubClient, HubServer


def test_a_repository_is_converted_at_its_commit_and_again_only_when_its_contents_change(
    hub: HubServer, client: HubClient, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "models.txt").write_text("org/tiny@main  feature=fill-mask\norg/missing\n")
    arguments = ("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--json")

    def run(command: str = "run") -> tuple[Any, str]:
        """The second entry is not there, so that every run ends with 1."""
        said = client(command, *arguments, expect=1, token="hf_secretsecretsecret")
        return json.loads(said.out), said.out + said.err

    files = _files(tiny("bert", "AutoModelForMaskedLM"))
    first = hub.add_repository("org/tiny", files)
    planned, _ = run("plan")
    assert [row["action"] for row in planned] == ["convert", "cannot"]
    assert planned[0]["source"] == f"commit:{first}" and planned[0]["weight_bytes"] > 40_000
    assert not any(".safetensors" in request for request in hub.requests)

    report, said = run()
    good, missing = report["outcomes"]
    assert good["status"] == "converted", good["failure"]
    assert good["artifact"]["source"]["identity"] == f"commit:{first}"
    assert "org/missing is not on the Hub" in missing["failure"]["message"]
    assert "hf_secret" not in said
    assert (tmp_path / "out" / "org" / "tiny" / "onnx" / "model.onnx").is_file()

    hub.add_repository("org/tiny", {**files, "README.md": b"# Another commit, the same checkpoint"})
    assert run()[0]["outcomes"][0]["status"] == "skipped"

    other = hub.add_repository("org/tiny", _files(tiny("bert", "AutoModelForMaskedLM", 1)))
    again = run()[0]["outcomes"][0]
    assert again["status"] == "converted"
    assert again["artifact"]["source"]["identity"] == f"commit:{other}" != f"commit:{first}"
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix in (".json", ".md", ".html", ".log")]
    assert {path.suffix for path in written} == {".json", ".md", ".html", ".log"}
    assert not any("hf_secret" in path.read_text(encoding="utf-8") for path in written)


def test_a_model_whose_hub_does_not_answer_has_another_attempt_after_the_others(
    hub: HubServer, client: HubClient, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("org/late", "org/soon"):
        hub.add_repository(name, _files(tiny("bert")))
    (tmp_path / "models.txt").write_text("org/late\norg/soon\norg/missing\n")
    arguments = ("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--log-format", "json")
    hub.fail("/api/models/org/late", status=503, times=ATTEMPTS)
    said = client("run", *arguments, "--retries", "1", expect=1)
    events = [json.loads(line) for line in said.err.splitlines()]
    (retry,) = [event for event in events if event["event"] == "retry"]
    assert (retry["model"], retry["attempt"], retry["seconds"]) == ("org/late", 2, 5.0)
    assert "status 503" in retry["message"]
    ended = [(event["model"], event["status"], event.get("attempt")) for event in events if event["event"] == "job-ended"]
    assert sorted(ended) == [("org/late", "converted", 2), ("org/missing", "failed", None), ("org/soon", "converted", None)]
    assert ended[-1][0] == "org/late"
    hub.fail("/api/models/org/late", status=503, times=ATTEMPTS)
    given_up = client("run", *arguments, "--retries", "0", expect=1)
    assert "retry" not in {json.loads(line)["event"] for line in given_up.err.splitlines()}
    hub.end_faults()


def _files(folder: Path) -> dict[str, bytes | Path]:
    return {path.name: path for path in folder.iterdir()}
