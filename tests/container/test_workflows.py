"""Workflows, ours and the examples: checks that no linter has."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container import inputs

ROOT = inputs.ROOT
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXAMPLES = sorted((ROOT / "examples" / "workflows").glob("*.yml"))
TESTS = [Path(__file__).with_name("workflow.yml")]


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in load(path)["jobs"].values():
        yield from job["steps"]


def script(path: Path, name: str) -> str:
    """The script of the step with this name or id."""
    (command,) = (step["run"] for step in steps(path) if name in (step.get("name"), step.get("id")))
    return str(command)


def bash(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script as GitHub does."""
    command = ["bash", "-e", "-c", text]
    return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", [*OURS, *EXAMPLES, *TESTS], ids=lambda path: path.name)
def test_the_action_is_given_inputs_and_asked_for_outputs_that_it_has(path: Path) -> None:
    spec = inputs.action()
    uses = [step for step in steps(path) if re.match(r"\./|OWNER/converter@", step.get("uses", ""))]
    for step in uses:
        names = step["with"].keys()
        assert names <= spec["inputs"].keys()
        assert {name for name, properties in spec["inputs"].items() if properties["required"]} <= names
    text = path.read_text(encoding="utf-8")
    for step in uses:
        asked = re.findall(rf"steps\.{step['id']}\.outputs\.([\w-]+)", text) if "id" in step else []
        assert set(asked) <= spec["outputs"].keys()


@pytest.mark.parametrize("path", [*OURS, *EXAMPLES], ids=lambda path: path.name)
def test_permissions_are_named_and_every_job_has_a_time_limit(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", [*OURS, *EXAMPLES], ids=lambda path: path.name)
def test_every_action_of_others_is_pinned_by_its_commit_and_the_version_told(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*(- )?uses: (?!\./)", line):
            assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # (v\d+\.\d+\.\d+|with the owner and the commit that you trust)$", line)


def test_two_workflows_name_the_same_commit_of_an_action() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (*OURS, *EXAMPLES))
    pins = set(re.findall(r"uses: (\S+)@([0-9a-f]{40})", text))
    assert len(pins) == len(dict(pins))


def test_an_archive_of_each_model_is_packed_for_a_release(tmp_path: Path) -> None:
    for name in ("out/org/name with spaces#/onnx", "out/org/name with spaces#/torchscript", "out/-ours/onnx"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "converter.json").write_text("{}", encoding="utf-8")
    (tmp_path / "out/-ours/config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "out/report.md").write_text("# Conversions", encoding="utf-8")
    done = bash(script(ROOT / "examples/workflows/release.yml", "Pack each model's folder"), tmp_path, ARTIFACTS="out")
    assert (done.returncode, done.stderr) == (0, "")
    packed = tmp_path / "packed"
    assert sorted(path.name for path in packed.iterdir()) == ["-ours.tar.gz", "org-name-with-spaces-.tar.gz", "report.md"]
    with tarfile.open(packed / "-ours.tar.gz") as archive:
        assert {"-ours/config.json", "-ours/onnx/converter.json"} <= set(archive.getnames())


def test_two_models_that_would_be_one_archive_are_an_error(tmp_path: Path) -> None:
    for name in ("out/a-b/onnx", "out/a/b/onnx"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "converter.json").write_text("{}", encoding="utf-8")
    done = bash(script(ROOT / "examples/workflows/release.yml", "Pack each model's folder"), tmp_path, ARTIFACTS="out")
    assert (done.returncode, "::error::" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("tag", "version", "tags"),
    [
        ("", "c0ffee", ["c0ffee"]),
        ("v1.10.0", "1.10.0", ["1.10.0", "1"]),
        ("v1.9.3", "1.9.3", ["1.9.3"]),  # late, of an older line
        ("v2.0.0-rc.1", "2.0.0-rc.1", ["2.0.0-rc.1"]),
        ("v3.0.0", "3.0.0", ["3.0.0"]),  # a prerelease by its mark alone
    ],
)
def test_an_image_is_called_by_its_commit_or_its_version_and_the_latest_of_a_major_version_by_that_too(
    tmp_path: Path, tag: str, version: str, tags: list[str]
) -> None:
    done = name_image(tmp_path, tag)
    assert done.returncode == 0, done.stderr
    outputs = dict(line.split("=") for line in (tmp_path / "outputs").read_text(encoding="utf-8").splitlines())
    assert (outputs["image"], outputs["version"]) == ("ghcr.io/org/converter", version)
    assert outputs["tags"] == ",".join(f"ghcr.io/org/converter:{name}" for name in tags)
    assert outputs["major"] == (tags[1] if len(tags) > 1 else "")


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3;ls", "latest"])
def test_a_release_by_another_name_is_refused_before_anything_is_built(tmp_path: Path, tag: str) -> None:
    done = name_image(tmp_path, tag)
    assert (done.returncode, done.stdout) == (1, f"::error::a release is called v1.2.3, or v1.2.3-rc.1, not {tag}\n")


def name_image(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run the step that names the image, in a repository with some releases."""
    for command in ("init --quiet", "-c user.name=t -c user.email=t@localhost commit --quiet --allow-empty --message x"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    for name in ("v1.9.2", "v1.9.3", "v1.10.0", "v2.0.0-rc.1", "v3.0.0"):
        subprocess.run(["git", "tag", name], cwd=folder, check=True)
    variables = {"TAG": tag, "PRERELEASE": "true" if tag == "v3.0.0" else "false"}
    github = {"GITHUB_REPOSITORY": "Org/Converter", "GITHUB_SHA": "c0ffee", "GITHUB_OUTPUT": str(folder / "outputs")}
    return bash(script(ROOT / ".github/workflows/release.yml", "names"), folder, **variables, **github)


def test_the_major_tag_has_an_action_that_names_the_image_of_the_release(tmp_path: Path) -> None:
    def git(*words: str, folder: Path = tmp_path / "work") -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout

    (tmp_path / "work").mkdir()
    git("init", "--quiet", "--bare", "../origin")
    git("init", "--quiet")
    git("remote", "add", "origin", "../origin")
    (tmp_path / "work" / "action.yml").write_bytes((ROOT / "action.yml").read_bytes())
    git("add", "--all")
    git("-c", "user.name=tests", "-c", "user.email=tests@localhost", "commit", "--quiet", "--message", "Sources")
    (tmp_path / "gh").write_text("#!/bin/sh\n", encoding="utf-8")  # a double: logs in to GitHub
    (tmp_path / "gh").chmod(0o755)
    run = script(ROOT / ".github/workflows/release.yml", "Name the image in action.yml, and move the tag")
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "IMAGE": "ghcr.io/org/converter"}
    for tag, digest in (("v1.2.3", "sha256:abc"), ("v1.3.0", "sha256:def")):
        done = bash(run, tmp_path / "work", TAG=tag, MAJOR="1", DIGEST=digest, **variables)
        assert done.returncode == 0, done.stderr
        action = yaml.safe_load(git("show", "v1:action.yml", folder=tmp_path / "origin"))
        assert action["runs"]["image"] == f"docker://ghcr.io/org/converter@{digest}"
        assert {**action, "runs": {**action["runs"], "image": "Dockerfile"}} == inputs.action()
        git("checkout", "--quiet", "HEAD~1")


@pytest.mark.parametrize(("there", "command"), [("", "create --title The newest releases break a conversion"), ("7", "comment 7")])
def test_the_canary_opens_one_issue_and_adds_to_it_as_long_as_it_is_open(tmp_path: Path, there: str, command: str) -> None:
    double = f'#!/bin/sh\necho "$@" >> calls\n[ "$2" = list ] && echo "{there}"\nexit 0\n'  # a double of GitHub's command
    (tmp_path / "gh").write_text(double, encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)
    path = ROOT / ".github/workflows/canary.yml"
    (step,) = load(path)["jobs"]["issue"]["steps"]
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TITLE": step["env"]["TITLE"], "RUN": "https://localhost/actions/runs/1"}
    done = bash(step["run"], tmp_path, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[0].startswith("issue list --state open --search")
    assert calls[1].startswith(f"issue {command}")
    assert "https://localhost/actions/runs/1" in calls[1]
    assert len(calls) == 2
