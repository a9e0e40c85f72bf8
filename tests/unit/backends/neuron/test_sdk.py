"""The SDK that is chosen, and the call that reaches a double with its recorded signature. Real SDKs were not tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.backends.neuron import NeuronOptions, sdk
from converter.core.errors import ConversionError, NotSupportedError
from tests.support.neuron_doubles import Doubles

NEURON, NEURONX, EARLY, NATIVE = "torch_neuron-1.13", "torch_neuronx-2.9", "torch_neuronx-1.13", "torch_neuronx-2.13"
MODEL, INPUTS = torch.nn.Linear(4, 2).eval(), (torch.ones(3, 4),)


def options(target: str, **more: Any) -> NeuronOptions:
    return NeuronOptions.model_validate({"target": target, "batch_size": 1, "sequence_length": 8, **more})


def called(doubles: Doubles, double: str, tmp_path: Path, asked: NeuronOptions, *, device: bool = True) -> list[dict[str, Any]]:
    """The calls that reached a double, without their common part: the model, its inputs, the compiler's folder."""
    doubles.device(device)
    calls = doubles.install(double)
    sdk.find(asked.target).trace(MODEL, INPUTS, asked, tmp_path)
    records = calls()
    assert [records[0].pop(name) for name in ("model", "example_inputs", "compiler_workdir")] == [
        "Linear",
        [["torch.float32", 3, 4]],
        str(tmp_path),
    ]
    return records


@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        ({}, ["--fast-math", "none"]),
        ({"auto_cast": "all"}, ["--fast-math", "all"]),
        ({"auto_cast": "all", "auto_cast_type": "fp16"}, ["--fast-math", "fp32-cast-all-fp16"]),
        ({"auto_cast": "matmult"}, ["--fast-math", "fp32-cast-matmult-bf16"]),
        ({"auto_cast": "matmult", "auto_cast_type": "fp16"}, ["--fast-math", "fp32-cast-matmult-fp16"]),
        ({"compiler_args": "--neuroncore-pipeline-cores 4"}, ["--fast-math", "none", "--neuroncore-pipeline-cores", "4"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", [True, False])
def test_call_matches_the_recorded_signature_of_torch_neuron(
    doubles: Doubles, tmp_path: Path, asked: dict[str, Any], arguments: list[str], device: bool
) -> None:
    (call,) = called(doubles, NEURON, tmp_path, options("inf1", **asked), device=device)
    assert call == {
        "name": "torch_neuron.trace",
        "compiler_args": arguments,
        "dynamic_batch_size": False,
        "fallback": True,
        "strict": False,
    }


def test_call_matches_the_recorded_signature_of_torch_neuron_with_a_dynamic_batch(doubles: Doubles, tmp_path: Path) -> None:
    (call,) = called(doubles, NEURON, tmp_path, options("inf1", dynamic_batch=True))
    assert (call["dynamic_batch_size"], call["fallback"]) == (True, False)


@pytest.mark.parametrize("target", ["inf2", "trn1"])
@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        ({}, "--auto-cast none --model-type transformer"),
        ({"auto_cast": "matmult"}, "--auto-cast matmult --auto-cast-type bf16 --model-type transformer"),
        ({"auto_cast": "all", "auto_cast_type": "tf32"}, "--auto-cast all --auto-cast-type tf32 --model-type transformer"),
        ({"compiler_args": "--optlevel 3"}, "--auto-cast none --model-type transformer --optlevel 3"),
        ({"compiler_args": "--model-type=generic -O1"}, "--auto-cast none --model-type=generic -O1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", [True, False])
def test_call_matches_the_recorded_signature_of_torch_neuronx(
    doubles: Doubles, tmp_path: Path, target: str, asked: dict[str, Any], arguments: str, device: bool
) -> None:
    (call,) = called(doubles, NEURONX, tmp_path, options(target, **asked), device=device)
    assert call == {
        "name": "torch_neuronx.trace",
        "more": [],
        "input_output_aliases": {},
        "compiler_args": f"--target {target} {arguments}",
        "partitioner_config": None,
        "inline_weights_to_neff": True,
        "cpu_backend": not device,
        "platform_target": None if device else target,  # an SDK without a device takes it from the environment when it is imported
    }


def test_call_matches_the_recorded_signature_of_torch_neuronx_with_a_dynamic_batch(doubles: Doubles, tmp_path: Path) -> None:
    first, second = called(doubles, NEURONX, tmp_path, options("inf2", dynamic_batch=True))
    assert first["name"] == "torch_neuronx.trace"
    assert second == {"name": "torch_neuronx.dynamic_batch", "neuron_script": "RecursiveScriptModule"}


def test_call_matches_the_recorded_signature_of_the_first_torch_neuronx(doubles: Doubles, tmp_path: Path) -> None:
    (call,) = called(doubles, EARLY, tmp_path, options("trn1"))
    assert call == {"name": "torch_neuronx.trace", "compiler_args": "--target trn1 --auto-cast none --model-type transformer"}


def test_a_version_that_compiles_on_an_instance_alone_is_refused_elsewhere(doubles: Doubles, tmp_path: Path) -> None:
    doubles.install(EARLY)
    with pytest.raises(NotSupportedError, match=r"the trace of torch-neuronx 1\.13\.0\.1\.4\.0 takes no cpu_backend, .* without a Neuron"):
        sdk.find("inf2").trace(MODEL, INPUTS, options("inf2"), tmp_path)


def test_a_version_without_a_dynamic_batch_says_so_before_it_compiles(doubles: Doubles, tmp_path: Path) -> None:
    doubles.device(True)
    calls = doubles.install(EARLY)
    with pytest.raises(NotSupportedError, match=r"torch-neuronx 1\.13\.0\.1\.4\.0 has no dynamic batch"):
        sdk.find("inf2").trace(MODEL, INPUTS, options("inf2", dynamic_batch=True), tmp_path)
    assert calls() == []


@pytest.mark.parametrize(
    ("target", "double", "message", "to_do"),
    [
        ("inf1", None, "torch-neuron, which compiles for inf1, is not installed", "AWS has archived it"),
        ("inf2", None, "torch-neuronx, which compiles for inf2, is not installed", "from AWS's own index"),
        ("trn1", None, "torch-neuronx, which compiles for trn1, is not installed", "from AWS's own index"),
        ("inf1", NEURONX, "is not installed; torch-neuronx is, and compiles for inf2 and trn1", "choose --target inf2 or trn1"),
        ("inf2", NEURON, "is not installed; torch-neuron is, and compiles for inf1", "from AWS's own index"),
        ("inf2", NATIVE, "torch-neuronx 2.13.3 is PyTorch's native backend for Trn2 and Trn3 and has no trace", "torch-neuronx 2.9"),
    ],
)
def test_an_sdk_that_does_not_compile_for_the_target_is_told(
    doubles: Doubles, target: sdk.Target, double: str | None, message: str, to_do: str
) -> None:
    doubles.install(double)
    with pytest.raises(NotSupportedError) as caught:
        sdk.find(target)
    assert message in caught.value.message and to_do in caught.value.hint


def test_an_sdk_that_cannot_be_imported_is_told(doubles: Doubles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubles.install(None)
    (tmp_path / "torch_neuronx.py").write_text("raise OSError('libneuronxla.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotSupportedError, match=r"torch-neuronx None cannot be imported: OSError: libneuronxla\.so"):
        sdk.find("inf2")


def test_what_a_compiler_prints_and_writes_goes_aside(doubles: Doubles, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """neuronx-cc reports progress on standard output, and writes its log into the working folder."""
    doubles.install(NEURONX)
    toolkit = sdk.find("inf2")
    trace, here = toolkit.module.trace, Path.cwd()

    def talking(*args: Any, compiler_args: Any, cpu_backend: Any, compiler_workdir: Any) -> Any:
        sys.stdout.write("Compiler status PASS\n")
        subprocess.run(["sh", "-c", "echo . ; echo log > log-neuron-cc.txt"], check=True)
        return trace(*args, compiler_args=compiler_args, cpu_backend=cpu_backend, compiler_workdir=compiler_workdir)

    toolkit.module.trace = talking
    toolkit.trace(MODEL, INPUTS, options("inf2"), tmp_path)
    sys.stdout.write("a result\n")
    sys.stdout.flush()
    out, err = capfd.readouterr()
    assert (out, sorted(err.splitlines())) == ("a result\n", [".", "Compiler status PASS"])
    assert (tmp_path / "log-neuron-cc.txt").is_file() and Path.cwd() == here


def test_what_the_sdk_raises_is_told_in_its_own_words(doubles: Doubles, tmp_path: Path) -> None:
    doubles.install(NEURONX)
    with pytest.raises(ConversionError, match=r"torch-neuronx 2\.9\.0\.2\.15\.32035 does not compile it: .*mat1 and mat2"):
        sdk.find("inf2").trace(MODEL, (torch.ones(3, 5),), options("inf2"), tmp_path)


def test_the_environment_is_left_alone_where_there_is_a_device(doubles: Doubles) -> None:
    doubles.device(True)
    doubles.install(NEURONX)
    toolkit = sdk.find("trn1")
    assert (toolkit.name, toolkit.compiler_version) == ("torch-neuronx 2.9.0.2.15.32035", "2.26.6360.0")
    assert "NEURON_PLATFORM_TARGET_OVERRIDE" not in os.environ
