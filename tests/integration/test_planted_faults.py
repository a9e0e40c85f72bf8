"""What `converter validate` says of a faulty artifact, and of a record that is not right. `tests/planted` plants the other faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from converter.core.records import Outcome

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Plant = Callable[[onnx.ModelProto], None]


def _initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _change(model: onnx.ModelProto, name: str, row: int) -> None:
    tensor = _initializer(model, name)
    array = numpy_helper.to_array(tensor).copy()
    array[row] += 1e-3
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def change_a_weight(model: onnx.ModelProto) -> None:
    _change(model, "bert.encoder.layer.1.output.dense.weight", 3)


def leave_out_a_bias(model: onnx.ModelProto) -> None:
    """The offset is a constant too small for the comparison of constants, and 1e-7 off."""
    tensor = _initializer(model, "bert.encoder.layer.1.output.dense.bias")
    array = numpy_helper.to_array(tensor) + np.float32(1e-7)
    _rename(model, tensor.name, "bias")
    model.graph.initializer.append(numpy_helper.from_array(array, "bias"))


def add_noise(model: onnx.ModelProto) -> None:
    output = model.graph.output[0].name
    _rename_result(model, output, "quiet")
    noise = onnx.helper.make_node("RandomNormalLike", ["quiet"], ["noise"], scale=1e-7)
    model.graph.node.extend([noise, onnx.helper.make_node("Add", ["quiet", "noise"], [output])])


def _rename(model: onnx.ModelProto, name: str, other: str) -> None:
    """Let every node that takes `name` take `other`."""
    for node in model.graph.node:
        for index, value in enumerate(node.input):
            if value == name:
                node.input[index] = other


def _rename_result(model: onnx.ModelProto, name: str, other: str) -> None:
    for node in model.graph.node:
        for index, value in enumerate(node.output):
            if value == name:
                node.output[index] = other


def ignore(name: str) -> Plant:
    def plant(model: onnx.ModelProto) -> None:
        """Read something of the same shape instead of the input: as if it were always one mask, or one kind of token."""
        constant = onnx.helper.make_node("Sub" if name == "token_type_ids" else "Div", ["input_ids", "input_ids"], [f"{name}_constant"])
        _rename(model, name, f"{name}_constant")
        model.graph.node.insert(0, constant)

    return plant


FAULTS: dict[str, tuple[Plant, str]] = {
    "a changed weight": (change_a_weight, "bert.encoder.layer.1.output.dense.weight"),
    "a small weight that is not used": (leave_out_a_bias, "bert.encoder.layer.1.output.dense.bias"),
    "noise below the tolerance": (add_noise, "another each time"),
}
"""One that figures tell, and two that they do not: `tests/planted` has the others."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> Path:
    from converter.backends import BACKENDS
    from converter.core.records import Job, Source
    from converter.pipeline import run_job

    checkpoint = tiny("bert", "AutoModelForQuestionAnswering")
    folder = tmp_path_factory.mktemp("good") / "artifact"
    options = BACKENDS["onnx"].options(feature="question-answering", profile="documented")
    cache = Path(os.environ["CONVERTER_CACHE"])
    outcome = run_job(Job(source=Source(name="tiny", folder=checkpoint), backend="onnx", options=options, destination=folder, cache=cache))
    assert outcome.status == "converted", outcome.failure
    return folder


def _validate(command: Run, folder: Path, checkpoint: Path) -> subprocess.CompletedProcess[str]:
    return command("validate", folder, "--reference", checkpoint, "--feature", "question-answering", "--json")


def test_a_good_artifact_is_called_good_without_its_record(good: Path, tiny: Callable[..., Path], command: Run, tmp_path: Path) -> None:
    shutil.copy(good / "model.onnx", tmp_path)
    result = _validate(command, tmp_path, tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)[0]["passed"] is True


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, good: Path, tiny: Callable[..., Path], command: Run, tmp_path: Path) -> None:
    plant, message = FAULTS[fault]
    model = onnx.load(good / "model.onnx")
    plant(model)
    onnx.save(model, tmp_path / "model.onnx")
    result = _validate(command, tmp_path, tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["passed"] is False
    assert message in result.stdout
    assert "error: " in result.stderr and "Traceback" not in result.stderr


def test_the_artifact_of_another_checkpoint_is_found(good: Path, tiny: Callable[..., Path], command: Run) -> None:
    result = _validate(command, good, tiny("bert", "AutoModelForQuestionAnswering", 1))
    assert result.returncode == 1
    assert "differs by" in result.stderr


def test_a_byte_changed_in_the_file_is_told_by_its_checksum(good: Path, tiny: Callable[..., Path], command: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "copy")
    with open(folder / "model.onnx", "r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x3f")
    result = command("validate", folder, "--reference", tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 1
    assert "sha256" in result.stdout + result.stderr


@pytest.mark.parametrize("damage", ["{", '"backend":"torchscript"', '"path":"other.onnx"'])
def test_a_record_that_is_not_this_artifacts_is_a_problem(
    damage: str, good: Path, tiny: Callable[..., Path], command: Run, tmp_path: Path
) -> None:
    folder = shutil.copytree(good, tmp_path / "copy")
    record = json.loads((folder / "converter.json").read_text())
    if ":" in damage:
        key, value = json.loads(f"[{damage.replace(':', ',')}]")
        (record["files"][0] if key == "path" else record)[key] = value
    (folder / "converter.json").write_text("{" if damage == "{" else json.dumps(record))
    result = _validate(command, folder, tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 1
    assert "converter.json is" in result.stderr


def test_a_record_with_options_of_another_version_is_told(good: Path, tiny: Callable[..., Path], command: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "copy")
    record = json.loads((folder / "converter.json").read_text())
    record["options"]["precision"] = "fp4"
    (folder / "converter.json").write_text(json.dumps(record))
    result = command("validate", folder, "--reference", tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 1
    assert "options that this version does not know" in result.stderr and "Traceback" not in result.stderr


def test_an_artifact_that_cannot_be_opened_has_not_passed_and_says_so_in_json(
    tiny: Callable[..., Path], command: Run, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    result = _validate(command, tmp_path, tiny("bert", "AutoModelForQuestionAnswering"))
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["passed"] is False and "is not an ONNX file" in json.loads(result.stdout)[0]["error"]


def test_a_wrong_option_of_validate_starts_nothing(good: Path, tiny: Callable[..., Path], command: Run) -> None:
    for option in (("--atol", "0"), ("--feature", "Bad Name")):
        result = command("validate", good, "--reference", tiny("bert"), *option)
        assert result.returncode == 2 and f"error: {option[0]}: " in result.stderr


def test_a_checkpoint_that_gives_nan_is_what_is_told(tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path) -> None:
    import safetensors.torch

    checkpoint = shutil.copytree(tiny("bert"), tmp_path / "checkpoint")
    weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][3] = float("nan")
    safetensors.torch.save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    outcome = convert(checkpoint)
    assert outcome.failure and "the checkpoint itself gives NaN" in outcome.failure.message


def test_an_artifact_that_fails_its_validation_is_never_put_in_its_place(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is planted between writing and validating, like a bug of the exporter."""
    from converter.backends.conversion import ConfiguredModel, Conversion
    from converter.backends.onnx import OnnxBackend
    from converter.backends.result import ConversionResult
    from converter.cli import main

    convert = OnnxBackend.convert

    def faulty(self: OnnxBackend, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        result = convert(self, configured, conversion, folder)
        written = onnx.load(folder / "model.onnx")
        _change(written, "embeddings.LayerNorm.weight", 0)
        onnx.save(written, folder / "model.onnx")
        return result

    monkeypatch.setattr(OnnxBackend, "convert", faulty)
    with pytest.raises(SystemExit) as ended:
        main(["onnx", "--model", str(tiny("bert")), "--quiet", str(tmp_path / "out")])
    assert ended.value.code == 1
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(SystemExit):
        main(["onnx", "--model", str(tiny("bert")), "--quiet", "--keep-rejected", str(tmp_path / "out")])
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.onnx")] == [".rejected/out/model.onnx"]


def test_a_verdict_is_told_even_if_its_artifact_cannot_be_kept(
    tiny: Callable[..., Path], command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / ".rejected").write_text("a user's own", encoding="utf-8")
    result = command("onnx", "--model", tiny("bert"), "--atol", "1e-12", "--keep-rejected", tmp_path / "out")
    assert result.returncode == 1
    assert "does not match the checkpoint: last_hidden_state" in result.stderr
    assert "it could not be kept: cannot write to" in result.stderr
    assert (tmp_path / ".rejected").read_text(encoding="utf-8") == "a user's own"


def test_an_input_is_missed_even_where_it_matters_less_than_the_tolerance(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    """A checkpoint in which token types matter a little less than the tolerance."""
    import safetensors.torch

    from converter.backends import BACKENDS
    from converter.core.records import Source
    from converter.revalidation import revalidate

    checkpoint = shutil.copytree(tiny("bert"), tmp_path / "checkpoint")
    weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    types = weights["embeddings.token_type_embeddings.weight"]
    types[1] = types[0] * (1 + 1e-4)
    safetensors.torch.save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    outcome = convert(checkpoint, atol=1e-2)
    assert outcome.verdict and all(influence.passed for influence in outcome.verdict.influences)

    path = Path(outcome.destination) / "model.onnx"
    model = onnx.load(path)
    ignore("token_type_ids")(model)
    onnx.save(model, path)
    _, verdict = revalidate(BACKENDS["onnx"], path.parent, Source(name="tiny", folder=checkpoint), {"atol": 1e-2})
    assert all(case.passed for case in verdict.cases)
    assert not verdict.passed
    assert [influence.input for influence in verdict.influences if not influence.passed] == ["token_type_ids"]


def test_every_weight_of_the_checkpoint_that_is_stored_is_compared_bit_for_bit(good: Path, tiny: Callable[..., Path]) -> None:
    from safetensors import safe_open

    from converter.artifacts.record_file import read_record

    record = read_record(good)
    with safe_open(tiny("bert", "AutoModelForQuestionAnswering") / "model.safetensors", framework="numpy") as weights:
        assert record and record.verdict.weights.compared >= len(weights.keys()) > 30
