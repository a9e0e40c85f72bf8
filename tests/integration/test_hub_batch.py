"""A manifest of Hub ids, against a Hub on loopback: the commit is in the record, and a new commit is converted anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hub_server.server import HubServer

_RUN = """
import sys
from converter.cli import main
main(sys.argv[1:])
"""


def test_a_repository_is_converted_at_its_commit_and_again_only_when_that_moves(tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("org/tiny@main  feature=fill-mask\norg/missing\n")
    arguments = ("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"), "--json")

    with HubServer() as hub:

        def run(command: str = "run") -> tuple[Any, str]:
            """The second entry is not there, so that every run ends with 1."""
            result = hub.run_client(_RUN, command, *arguments, home=tmp_path / "home", expect=1, HF_TOKEN="hf_secretsecretsecret")
            return json.loads(result.stdout), result.stdout + result.stderr

        first = hub.add_repository("org/tiny", _files(tiny("bert", "AutoModelForMaskedLM")))
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

        assert run()[0]["outcomes"][0]["status"] == "skipped"

        second = hub.add_repository("org/tiny", _files(tiny("bert", "AutoModelForMaskedLM", 1)))
        again = run()[0]["outcomes"][0]
        assert again["status"] == "converted"
        assert again["artifact"]["source"]["identity"] == f"commit:{second}" != f"commit:{first}"
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix in (".json", ".md")]
    assert written and not any("hf_secret" in path.read_text(encoding="utf-8") for path in written)


def _files(folder: Path) -> dict[str, bytes | Path]:
    return {path.name: path for path in folder.iterdir()}
