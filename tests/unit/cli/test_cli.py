"""Every command is explained, the default command is run, and an error is a sentence and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import converter as package
from converter.backends import BACKENDS
from converter.cli import INTERRUPTED, cache, cli

COMMANDS = sorted(cli.commands)
EVERY = {
    name: command for name, command in [*cli.commands.items(), *cache.command.commands.items()] if not isinstance(command, click.Group)
}
"""Those that do something, by name."""
Run = Callable[..., Any]


def test_the_commands_are_these() -> None:
    assert COMMANDS == ["cache", "features", "neuron", "onnx", "plan", "push", "report", "run", "torchscript", "validate"]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["cache", "warm"]], ids=str)
def test_every_command_explains_itself(converter: Run, command: list[str]) -> None:
    result = converter(*command, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: converter {' '.join(command)}")


@pytest.mark.parametrize("command", [cli, *cli.commands.values(), *EVERY.values()], ids=lambda command: str(command.name))
def test_every_command_and_every_option_has_a_help_text(command: click.Command) -> None:
    assert command.help
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


@pytest.mark.parametrize("command", EVERY.values(), ids=lambda command: str(command.name))
def test_every_command_takes_json_quiet_and_debug(command: click.Command) -> None:
    assert {"json", "quiet", "debug"} <= {parameter.name for parameter in command.params}


@pytest.mark.parametrize(("backend", "name"), [(backend, name) for backend in BACKENDS for name in BACKENDS[backend].options.model_fields])
def test_every_option_of_a_backend_is_a_flag_of_its_command_with_the_same_help(converter: Run, backend: str, name: str) -> None:
    (option,) = (parameter for parameter in cli.commands[backend].params if parameter.name == name)
    field, flag = BACKENDS[backend].options.model_fields[name], name.replace("_", "-")
    assert option.opts == [f"--{flag}"]
    assert option.secondary_opts == ([f"--no-{flag}"] if field.annotation is bool else [])
    assert isinstance(option, click.Option)
    assert (option.help or "").startswith(field.description or "no description")
    assert (f"  --{flag} " in converter(backend, "--help").out) is (name not in BACKENDS[backend].options.aliases)  # which are hidden


def test_the_version_is_the_packages(converter: Run) -> None:
    assert converter("--version").out.strip().endswith(package.__version__)


def test_a_manifest_alone_is_run(converter: Run, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest("no/such/id\n")
    assert converter("--manifest", path) == converter("run", "--manifest", path)
    monkeypatch.setenv("CONVERTER_MANIFEST", str(path))
    assert converter("run").err.startswith(f"{path}:1:1: ")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_manifest_is_told_whole_on_standard_error_and_nothing_is_started(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path, command: str
) -> None:
    path = manifest("org/a atol=x\nno/such/id\norg/b extra=1\n")
    result = converter(command, "--manifest", path, "--output", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    lines = result.err.splitlines()
    assert [line.removeprefix(str(path)).split(" ")[0] for line in lines[:3]] == [":1:7:", ":2:1:", ":3:7:"]
    assert lines[3] == "error: the manifest has 3 problems; nothing was started"
    assert lines[4].startswith("  to do: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
@pytest.mark.parametrize(
    "args",
    [
        ["run"],
        ["run", "--manifest", "nothing.txt"],
        ["run", "--manifest", "nothing.txt", "--jobs", "0"],
        ["onnx", "--model", "gpt2"],
        ["onnx", "--model", "no/such/id", "out"],
        ["onnx", "--model", "gpt2", "--opset", "0", "out"],
        ["onnx", "--model", "gpt2", "--atol", "nan", "out"],
        ["onnx", "--model", "gpt2", "--dtype", "int8", "out"],
        ["onnx", "--model", "gpt2", "--feature", "A B", "out"],
        ["torchscript", "--model", "gpt2", "--batch-size", "0", "out"],
        ["torchscript", "--model", "gpt2", "--sequence-length", "-1", "out"],
        ["torchscript", "--model", "gpt2", "--freeze", "--untie", "out"],
        ["torchscript", "--model", "gpt2", "--feature", "causal-lm-with-past", "out"],
        ["torchscript", "--model", "gpt2", "--opset", "20", "out"],
        ["validate", "nothing", "--reference", "gpt2"],
        ["validate", ".", "--reference", "gpt2"],
        ["features", "no/such/id"],
        ["cache", "nonsense"],
        ["cache", "warm", "no/such/id"],
        ["nonsense"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_with_exit_code_2(
    converter: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = converter(*args)
    assert (result.code, result.out) == (2, "")
    assert "rror: " in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_flag_of_a_backend_is_told_at_once(converter: Run) -> None:
    err = converter("onnx", "--model", "gpt2", "--opset", "0", "--atol", "-1", "out").err
    assert "--opset: " in err
    assert "--atol: " in err


def test_an_interruption_has_an_exit_code_of_its_own(converter: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("converter.cli.plan.read_jobs", interrupt)
    assert converter("plan", "--manifest", "models.txt").code == INTERRUPTED == 130


@pytest.mark.parametrize(
    "args", [["--help"], ["features"], ["features", "bert"], ["onnx", "--help"], ["cache", "warm", "--help"]], ids=" ".join
)
def test_what_touches_no_model_imports_nothing_heavy(python: Run, args: list[str]) -> None:
    heavy = ("torch", "transformers", "onnx", "onnxruntime", "onnx_ir", "onnxscript", "numpy", "huggingface_hub", "safetensors", "rich")
    program = (
        "import sys\n"
        "from converter.cli import main\n"
        f"try:\n    main({args!r})\n"
        f"finally:\n    print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = python("-c", program)
    assert (result.code, result.err) == (0, "[]\n")


def test_the_package_runs_as_a_module_and_tells_a_traceback_on_request_only(python: Run, manifest: Callable[..., Path]) -> None:
    path = manifest("no/such/id\n")
    plain = python("-m", "converter", "--manifest", path)
    debug = python("-m", "converter", "--manifest", path, "--debug")
    assert plain.code == debug.code == 2
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert debug.err.splitlines()[-2:] == plain.err.splitlines()[-2:]


def test_a_reader_that_goes_away_is_no_traceback(python: Run) -> None:
    program = (
        "import subprocess, sys\n"
        "run = subprocess.Popen([sys.executable, '-m', 'converter', 'features'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "run.stdout.close()\n"
        "print(run.stderr.read().decode())\n"
        "run.wait()\n"
    )
    assert "Traceback" not in python("-c", program).out


def test_an_end_of_file_somewhere_inside_is_no_interruption(converter: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def jobs_of(*_: object, **__: object) -> Any:
        raise EOFError("a pipe has ended")

    monkeypatch.setattr("converter.cli.plan.read_jobs", jobs_of)
    result = converter("plan", "--manifest", tmp_path / "models.txt")
    assert (result.code, "interrupted" in result.err, "a pipe has ended" in result.err) == (1, False, True)
