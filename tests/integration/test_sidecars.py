"""What lies beside an artifact: a fault that is planted in a sidecar file, in the folder or in the record is found.

Each kind of fault in a sidecar file is planted in tests/unit/validation/test_sidecars.py; here some go through the command.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.checkpoints import save_tiny, save_tokenizer

Command = Callable[..., subprocess.CompletedProcess[str]]


def save_checkpoint(folder: Path) -> Path:
    """A GPT-2 with labels, generation settings, and a tokenizer."""
    save_tiny(folder, "gpt2", "AutoModelForCausalLM", id2label={0: "no", 1: "yes"}, pad_token_id=0)
    return save_tokenizer(folder, "input_ids", "attention_mask")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "gpt2")


@pytest.fixture(scope="module")
def batch(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a batch: both backends in the profile of the Hub, ONNX in the documented one too."""
    from converter.cli import main

    folder = tmp_path_factory.mktemp("batch")
    lines = f"{checkpoint} output=hub to=onnx,torchscript feature=causal-lm\n{checkpoint} output=cached\n"
    lines += f"{checkpoint} output=documented profile=documented\n"
    (folder / "models.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["--manifest", str(folder / "models.txt"), "--output", str(folder / "out"), "--jobs", "1", "--quiet"])
    assert ended.value.code == 0
    return folder / "out"


def validate(command: Command, folder: Path, checkpoint: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return command("validate", folder, "--reference", checkpoint, "--json", *options)


def problems(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [problem for row in json.loads(result.stdout) for problem in row["verdict"]["problems"]]


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")


def adopt(record: Path) -> None:
    """Write the current sizes and sha256 of the files into a record, as anybody can."""
    content = json.loads(record.read_bytes())
    for group, folder in (("files", record.parent), ("sidecars", record.parent.parent)):
        for file in content[group]:
            data = (folder / file["path"]).read_bytes()
            file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    record.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("with_record", [True, False])
@pytest.mark.parametrize("name", ["hub", "cached", "documented"])
def test_good_artifacts_pass(name: str, with_record: bool, batch: Path, checkpoint: Path, command: Command, tmp_path: Path) -> None:
    folder = shutil.copytree(batch / name, tmp_path / name)
    feature = "causal-lm-with-past" if name == "cached" else "causal-lm"
    if not with_record:
        for record in folder.glob("*/converter.json"):
            record.unlink()
    result = validate(command, folder, checkpoint, *([] if with_record else ["--feature", feature]))
    assert result.returncode == 0, result.stderr


@pytest.fixture
def folder(batch: Path, tmp_path: Path) -> Path:
    """A decoder with its cache, in the profile of the Hub."""
    return shutil.copytree(batch / "cached", tmp_path / "cached")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "genai_config.json"])
def test_a_sidecar_file_that_was_deleted_is_found(name: str, folder: Path, checkpoint: Path, command: Command) -> None:
    (folder / name).unlink()
    result = validate(command, folder, checkpoint)
    assert result.returncode == 1
    assert problems(result) == [f"../{name} is missing, and the record names it"]


@pytest.mark.parametrize("with_record", [True, False])
def test_faults_in_sidecar_files_are_found_whatever_the_record_says(
    with_record: bool, folder: Path, checkpoint: Path, command: Command
) -> None:
    tokens = folder / "tokenizer.json"
    tokens.write_text(tokens.read_text().replace('"using": 4', '"using": 5').replace('"with": 5', '"with": 4'), encoding="utf-8")
    edit(folder / "config.json", id2label={"0": "yes", "1": "no"})
    edit(folder / "generation_config.json", eos_token_id=7)
    edit(folder / "genai_config.json", search={"num_beams": 4})
    if with_record:
        adopt(folder / "onnx/converter.json")
    else:
        (folder / "onnx/converter.json").unlink()
    result = validate(command, folder, checkpoint, "--feature", "causal-lm-with-past")
    assert result.returncode == 1
    messages = problems(result)
    assert not any("sha256" in problem for problem in messages)
    for message in (
        "../config.json is not the checkpoint's: id2label",
        "../generation_config.json is not the checkpoint's: eos_token_id",
        "../genai_config.json is not the artifact's: search",
        "../the tokenizer beside it has another vocabulary than the checkpoint's",
    ):
        assert message in messages, messages


@pytest.mark.parametrize("with_record", [True, False])
def test_a_graph_that_was_not_validated_is_found(with_record: bool, folder: Path, checkpoint: Path, command: Command) -> None:
    shutil.copy(folder / "onnx/model.onnx", folder / "onnx/decoder_model.onnx")
    if not with_record:
        (folder / "onnx/converter.json").unlink()
    result = validate(command, folder, checkpoint, "--feature", "causal-lm-with-past")
    assert result.returncode == 1
    message = "in its folder was not validated, and clients may load it: move it elsewhere"
    assert problems(result) == [f"decoder_model.onnx {message}"]


def test_an_archive_that_was_not_validated_is_found_and_a_pickle_is_none(
    batch: Path, checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    folder = shutil.copytree(batch / "hub/torchscript", tmp_path / "torchscript")
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(batch / "hub" / name, tmp_path)
    torch.save({"step": torch.ones(1)}, folder / "optimizer.pt")
    assert validate(command, folder, checkpoint).returncode == 0
    shutil.copy(folder / "model.pt", folder / "model_q4.pt")
    result = validate(command, folder, checkpoint)
    assert [problem.split()[0] for problem in problems(result)] == ["model_q4.pt"]


def test_a_record_that_loosens_the_tolerance_fails_unless_it_is_asked_for(folder: Path, checkpoint: Path, command: Command) -> None:
    record = folder / "onnx/converter.json"
    edit(record, options={**json.loads(record.read_bytes())["options"], "atol": 0.5})
    refused = validate(command, folder, checkpoint)
    assert refused.returncode == 1
    assert problems(refused) == ["its record says atol 0.5, which is looser than the default 1e-05: to accept that, pass --atol 0.5"]
    assert validate(command, folder, checkpoint, "--atol", "0.5").returncode == 0
    edit(record, options={**json.loads(record.read_bytes())["options"], "atol": 9e-6})
    tighter = validate(command, folder, checkpoint)
    assert tighter.returncode == 0, tighter.stderr
    (row,) = json.loads(tighter.stdout)
    assert (row["verdict"]["atol"], "atol 9e-06 comes from its record" in row["verdict"]["notes"]) == (9e-6, True)
