"""The image, built and run for real: by hand, and as GitHub runs the action."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.container.conftest import IMAGE, ROOT
from tests.container.engine import Engine, Result
from tests.container.runner import RUNNER, Runner
from tests.hub_server import OWNER_TOKEN, READER_TOKEN, HubServer

pytestmark = pytest.mark.container

MAX_BYTES = 1_600_000_000
ARTIFACT = "out/all-MiniLM-L6-v2/onnx"


def by_hand(docker: Engine, folder: Path, *args: str, options: tuple[str, ...] = ()) -> Result:
    """`docker run -v "$PWD:/work" -w /work converter …`."""
    return docker.run(IMAGE, *args, options=["--volume", f"{folder}:/work", "--workdir", "/work", *options])


def embedding(model: Path) -> np.ndarray:
    """What onnxruntime, of this machine and not of the image, makes of an artifact."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {"input_ids": [[101, 7592, 102]], "attention_mask": [[1, 1, 1]], "token_type_ids": [[0, 0, 0]]}
    (states,) = session.run(["last_hidden_state"], {name: np.array(ids, np.int64) for name, ids in inputs.items()})
    return np.asarray(states)


def test_the_image_is_small_and_says_what_it_is(docker: Engine) -> None:
    image = docker.inspect(IMAGE)
    assert isinstance(image["Size"], int)
    assert image["Size"] < MAX_BYTES
    config = image["Config"]
    assert isinstance(config, dict)
    assert (config["User"], config["WorkingDir"], config["Entrypoint"]) == ("", "", ["/usr/local/bin/converter-entrypoint"])
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["version"], labels["revision"], labels["licenses"]) == ("1.2.3", "0123456789abcdef", "Apache-2.0")
    assert labels["source"].startswith("https://")


def test_the_image_has_the_versions_of_the_lock_and_nothing_else(docker: Engine) -> None:
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions(path=__import__('sys').path[-1:])))"
    result = docker.run(IMAGE, "-c", code, options=["--entrypoint", "/opt/converter/bin/python"])
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {_pin(line) for line in lines if line and not line.startswith("#")}
    installed = {_pin(word) for word in result.out.split() if not word.startswith("converter==")}
    assert len(installed) > 20
    assert installed <= locked


def _pin(text: str) -> str:
    """A pin as the lock has it: the name normalised, the build of torch left out."""
    name, _, version = text.partition("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version.partition('+')[0]}"


def test_the_version_and_the_help_are_the_packages(docker: Engine) -> None:
    assert re.fullmatch(r"converter, version \d+\.\d+\.\d+\n", docker.run(IMAGE, "--version", options=[]).out)
    assert docker.run(IMAGE, "--help", options=[]).out.startswith("Usage: converter ")


def test_a_manifest_of_real_weights_is_converted_by_hand_with_no_network_on_a_read_only_file_system(docker: Engine, runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/all-MiniLM-L6-v2\n", encoding="utf-8")
    options = ("--read-only", "--network=none", "--tmpfs", "/tmp")
    result = by_hand(docker, runner.workspace, "--manifest", "models.txt", options=options)
    assert (result.code, result.out.splitlines()[-1]) == (0, "1 converted, 0 unchanged, 0 failed; report: out/report.json")
    assert embedding(runner.workspace / ARTIFACT / "model.onnx").shape == (1, 3, 384)
    again = by_hand(docker, runner.workspace, "--manifest", "models.txt", options=options)
    assert again.out.splitlines()[-1] == "0 converted, 1 unchanged, 0 failed; report: out/report.json"


def test_precisions_are_made_and_measured_in_the_image_with_the_texts_that_it_brings(docker: Engine, runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/all-MiniLM-L6-v2 precision=fp16,w8\n", encoding="utf-8")
    options = ("--read-only", "--network=none", "--tmpfs", "/tmp")
    result = by_hand(docker, runner.workspace, "--manifest", "models.txt", options=options)
    assert result.code == 0, result.err
    record = json.loads((runner.workspace / ARTIFACT / "converter.json").read_bytes())
    assert [variant["accuracy_drop"]["cosine_min"] > 0.999 for variant in record["verdict"]["variants"]] == [True, True]
    half, eight = (embedding(runner.workspace / ARTIFACT / f"model_{name}.onnx") for name in ("fp16", "w8"))
    assert 0 < np.abs(half - eight).max() < 0.2


def test_a_checkpoint_of_a_configuration_that_the_image_knows_costs_no_capture(docker: Engine, runner: Runner) -> None:
    """Captured graphs are kept in the folder of `--cache`: of the two, the small one's graph only."""
    (runner.workspace / "models.txt").write_text("./checkpoints/all-MiniLM-L6-v2\n", encoding="utf-8")
    options = ("--read-only", "--network=none", "--tmpfs", "/tmp")
    known = by_hand(docker, runner.workspace, "--manifest", "models.txt", "--cache", "cache", options=options)
    assert (known.code, known.out.splitlines()[-1]) == (0, "1 converted, 0 unchanged, 0 failed; report: out/report.json"), known.err
    assert not [*(runner.workspace / "cache").rglob("*.onnx.gz")]
    (runner.workspace / "models.txt").write_text("./checkpoints/tiny\n", encoding="utf-8")
    assert by_hand(docker, runner.workspace, "--manifest", "models.txt", "--cache", "cache", options=options).code == 0
    assert len([*(runner.workspace / "cache").rglob("*.onnx.gz")]) == 1


def test_a_user_who_is_not_root_and_has_no_home_converts_into_a_folder_of_theirs(docker: Engine, runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/tiny to=onnx,torchscript\n", encoding="utf-8")
    for path in (runner.workspace, *runner.workspace.rglob("*")):
        os.chown(path, *RUNNER)
    user, group = RUNNER
    result = by_hand(docker, runner.workspace, "--manifest", "models.txt", options=("--user", f"{user}:{group}"))
    assert (result.code, result.out.splitlines()[-1]) == (0, "2 converted, 0 unchanged, 0 failed; report: out/report.json"), result.err
    assert {path.stat().st_uid for path in (runner.workspace / "out").rglob("*")} == {user}


def test_a_stopped_container_ends_in_a_moment_with_130_and_leaves_nothing_half_done(docker: Engine, runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/all-MiniLM-L6-v2\n", encoding="utf-8")
    mount = ["--volume", f"{runner.workspace}:/work", "--workdir", "/work"]
    container = docker.do("run", "--detach", *mount, docker.image(IMAGE), "--manifest", "models.txt").strip()
    try:
        log = ""
        while "convert" not in log:
            output = docker.docker("logs", container)
            log = output.out + output.err
            assert "record" not in log
        docker.docker("stop", "--time", "30", container)
        assert docker.do("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "130"
    finally:
        docker.docker("rm", "--force", container)
    left = sorted(path.name for path in (runner.workspace / "out").rglob("*") if path.is_file())
    assert left == ["onnx.converter.log", "report.html", "report.json", "report.md"]


def test_the_action_converts_real_weights_and_tells_the_next_steps(runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/all-MiniLM-L6-v2\n", encoding="utf-8")
    step = runner.uses({"manifest": "models.txt", "token": "hf_secret_of_the_workflow"})
    assert (step.code, step.annotations) == (0, [])
    assert step.outputs == {
        "report": "out/report.json",
        "artifacts": "out",
        "converted": "1",
        "unvalidated": "0",
        "failed": "0",
        "skipped": "0",
        "pushed": "0",
    }
    assert step.summary == (runner.workspace / "out" / "report.md").read_text(encoding="utf-8")
    assert "| ./checkpoints/all-MiniLM-L6-v2 |" in step.summary
    record = json.loads((runner.workspace / ARTIFACT / "converter.json").read_text(encoding="utf-8"))
    (file,) = record["files"]
    assert file["sha256"] == hashlib.sha256((runner.workspace / ARTIFACT / "model.onnx").read_bytes()).hexdigest()
    assert step.log.startswith("::add-mask::hf_secret_of_the_workflow\n")
    everything = [step.log.partition("\n")[2], step.summary, *(path.read_text("utf-8") for path in runner.workspace.rglob("*.json"))]
    assert not [text for text in everything if "hf_secret_of_the_workflow" in text]


def test_what_the_action_leaves_belongs_to_the_owner_of_the_workspace(runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/tiny\n", encoding="utf-8")
    runner.uses({"manifest": "models.txt", "output": "build/converted", "cache": "build/graphs"})
    assert (runner.workspace / "build/converted/tiny/onnx/model.onnx").exists()
    assert [*(runner.workspace / "build/graphs").rglob("*.onnx.gz")]
    paths = [runner.workspace, *runner.workspace.rglob("*")]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in paths} == {RUNNER}


def test_a_manifest_whose_third_line_fails_is_annotated_there_and_converts_the_others(runner: Runner) -> None:
    lines = ["# ours", "./checkpoints/all-MiniLM-L6-v2", "./checkpoints/missing to=onnx", "./checkpoints/tiny to=onnx,torchscript"]
    (runner.workspace / "models.txt").write_text("\n".join(lines), encoding="utf-8")
    step = runner.uses({"manifest": "models.txt", "jobs": "2"})
    assert step.code == 1
    (annotation,) = step.annotations
    assert annotation.startswith("::error file=models.txt,line=3,col=1,title=./checkpoints/missing to onnx::no folder ")
    assert (step.outputs["converted"], step.outputs["failed"]) == ("3", "1")
    assert "❌ failed" in step.summary


def test_a_batch_is_divided_converted_in_parts_and_told_as_one(runner: Runner) -> None:
    manifest = "./checkpoints/all-MiniLM-L6-v2\n./checkpoints/tiny\n./checkpoints/missing\n"
    (runner.workspace / "models.txt").write_text(manifest, encoding="utf-8")
    matrix = json.loads(runner.uses({"command": "plan", "manifest": "models.txt", "matrix": "2"}).outputs["matrix"])
    assert [shard["lines"] for shard in matrix["include"]] == ["1", "2,3"]
    for shard in matrix["include"]:
        runner.uses({"manifest": "models.txt", "lines": shard["lines"], "output": f"parts/{shard['shard']}"})
    step = runner.uses({"command": "report", "manifest": "models.txt", "merge": "parts"})
    assert (step.code, step.outputs["converted"], step.outputs["failed"]) == (1, "2", "1")
    assert [text.partition(",col")[0] for text in step.annotations] == ["::error file=models.txt,line=3"]
    assert step.summary.count("| ./checkpoints/") == 3


@pytest.mark.parametrize(
    ("inputs", "variables", "message"),
    [
        ({}, {}, "Missing option '--manifest'. It is the input 'manifest' of the action."),
        ({"manifest": "no-such.txt"}, {}, "the manifest no-such.txt cannot be read: No such file or directory. To do: check --manifest"),
        ({"manifest": "models.txt", "jobs": "many"}, {}, "It is the input 'jobs' of the action."),
        ({"manifest": "models.txt"}, {"INPUT_FAIL-FST": "true"}, "the action has no input 'fail-fst', did you mean 'fail-fast'?"),
        ({"manifest": "models.txt", "command": "convert"}, {}, "No such command 'convert'"),
    ],
    ids=["no manifest", "a missing manifest", "no number", "an unknown input", "an unknown command"],
)
def test_what_is_wrong_with_the_inputs_is_an_annotation_and_exit_code_2(
    runner: Runner, inputs: dict[str, str], variables: dict[str, str], message: str
) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/tiny\n", encoding="utf-8")
    step = runner.uses(inputs, **variables)
    assert step.code == 2
    (annotation,) = step.annotations
    assert annotation.startswith("::error title=converter::")
    assert message in annotation


def test_a_workspace_that_cannot_be_written_is_an_annotation_and_exit_code_1(runner: Runner) -> None:
    (runner.workspace / "models.txt").write_text("./checkpoints/tiny\n", encoding="utf-8")
    step = runner.uses({"manifest": "models.txt"}, read_only=True)
    assert step.code == 1
    (annotation,) = step.annotations
    assert "cannot write to out: the file system is read-only. To do: choose an output folder that you may write to" in annotation


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """A Hub on loopback, which the container reaches by the network of this machine."""
    with HubServer() as server:
        server.add_repository("org/name", {"README.md": b"# Words\n"})
        yield server


def test_a_token_that_may_not_write_is_told_before_anything_is_converted(runner: Runner, hub: HubServer) -> None:
    (runner.workspace / "models.txt").write_text("org/name\n", encoding="utf-8")
    step = runner.uses(
        {"manifest": "models.txt", "push": "commit", "token": READER_TOKEN}, "--network=host", HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1"
    )
    assert step.code == 2
    assert READER_TOKEN not in step.log.partition("\n")[2]
    assert step.annotations == [
        "::error title=converter::the token of reader may only read; nothing was started. To do: set HF_TOKEN to a token with write access"
    ]


def test_a_checkpoint_of_the_hub_is_fetched_converted_and_pushed(runner: Runner, hub: HubServer) -> None:
    tiny = runner.workspace / "checkpoints" / "tiny"
    hub.add_repository("org/tiny", {path.name: path for path in tiny.iterdir()})
    (runner.workspace / "models.txt").write_text("org/tiny@main\n", encoding="utf-8")
    step = runner.uses(
        {"manifest": "models.txt", "push": "pr", "token": OWNER_TOKEN}, "--network=host", HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1"
    )
    assert (step.code, step.outputs.get("pushed")) == (0, "1"), step.log
    (request,) = hub.repositories["org/tiny"].pull_requests
    assert "onnx/model.onnx" in hub.files("org/tiny", request.revision)
