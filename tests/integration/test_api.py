"""The Python interface: its page typed in, its examples, and each function beside its command."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import converter
from converter.core.records import Outcome, Verdict
from tests.hub_server import OWNER_TOKEN, HubServer
from tests.support.checkpoints import save_tiny, save_tokenizer

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workspace(hub: HubServer, tmp_path: Path) -> Path:
    """A folder with what the page and the examples name, beside a Hub with org/name."""
    hub.forget()
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    save_tokenizer(save_tiny(tmp_path / "my-model", "bert", "AutoModelForSequenceClassification"), *inputs)
    folder = save_tokenizer(save_tiny(tmp_path / "name", "bert"), *inputs)
    hub.add_repository("org/name", {path.name: path for path in folder.iterdir()})
    (tmp_path / "models.txt").write_text("org/name\n")
    return tmp_path


def _python(code: str, hub: HubServer, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code as a script of its own: huggingface_hub reads its settings once."""
    (folder / "script.py").write_text(code)
    environment = hub.environment(folder / "home") | {"HF_TOKEN": OWNER_TOKEN, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_code_of_its_page_runs_as_it_is_typed_in(hub: HubServer, workspace: Path) -> None:
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 4
    # the workers of `run` import the script again, as multiprocessing does: all but its guarded part
    *before, batch, last = blocks
    guarded = textwrap.indent("\n".join([*before, last]), "    ")
    ended = _python(f"import converter\nif __name__ == '__main__':\n{guarded}\n{batch}", hub, workspace)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert said[0] == "out/onnx"
    assert 0 < float(said[1]) < 1e-4
    assert 0.9 < float(said[2]) <= 1
    assert said[3].startswith("the artifact does not match the checkpoint")
    assert said[-2:] == ["org/name onnx convert", "1 converted, 0 unchanged, 0 failed 0"]
    assert (workspace / "out-of-memory/torchscript/model.pt").is_file()
    assert (workspace / "out-of-memory/config.json").is_file()


def test_the_example_of_every_function_runs(hub: HubServer, workspace: Path) -> None:
    functions = [getattr(converter, name) for name in ("convert", "validate", "plan", "run", "push")]
    lines = [line for function in functions for line in re.findall(r"^\s+>>> (.*)$", inspect.getdoc(function) or "", re.M)]
    assert len(lines) == 7
    code = "\n".join(f"    print({line})" if " = " not in line else f"    {line}" for line in lines)
    code += "\n    from converter.cli import main\n    main(['push', 'out', '--to', 'org/by-command', '--quiet'])"
    ended = _python(f"import converter\nif __name__ == '__main__':\n{code}", hub, workspace)
    assert ended.returncode == 0, ended.stderr
    path, error, tried, failed, url = ended.stdout.splitlines()
    assert "out/onnx" in path and float(error) < 1e-4
    assert (tried, failed) == ("['org/name']", "[]")
    by_function, by_command = hub.repositories["org/name-ONNX"], hub.repositories["org/by-command"]
    assert url.endswith(f"/org/name-ONNX/commit/{by_function.refs['main']}")
    files, theirs = ({path: blob.sha256 for path, blob in there.commits[there.refs["main"]].items()} for there in (by_function, by_command))
    assert {path for path in files if files[path] != theirs.get(path)} <= {"README.md"}  # which names its repository
    assert files.keys() == theirs.keys() >= {"onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/converter.json", "config.json"}


def test_convert_makes_the_file_of_its_command(tiny: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    outcome = converter.convert(checkpoint, output=tmp_path / "api", feature="masked-lm")
    assert command("onnx", "--model", checkpoint, "--feature", "masked-lm", tmp_path / "cli").returncode == 0
    assert (outcome.path / "model.onnx").read_bytes() == (tmp_path / "cli/model.onnx").read_bytes()
    assert isinstance(outcome, Outcome) and outcome.validation.passed and outcome.variants == {}
    assert converter.convert(checkpoint, output=tmp_path / "api", feature="masked-lm").status == "skipped"


def test_validate_gives_the_verdict_of_its_command(tiny: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    checkpoint = tiny("bert")
    folder = converter.convert(checkpoint, output=tmp_path).path
    verdict = converter.validate(folder, checkpoint)
    (row,) = json.loads(command("validate", folder, "--reference", checkpoint, "--json").stdout)
    theirs = Verdict.model_validate(row["verdict"])
    assert verdict.model_copy(update={"latency": None}) == theirs.model_copy(update={"latency": None})

    with pytest.raises(converter.ValidationError, match=r"does not match .*last_hidden_state") as caught:
        converter.validate(folder, checkpoint, atol=1e-12)
    assert caught.value.verdict.cases


def test_plan_and_run_give_what_their_commands_write(tiny: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    manifest = tmp_path / "models.txt"
    shutil.copytree(tiny("bert"), tmp_path / "tiny")
    manifest.write_text("./tiny\n./missing\n")
    planned = converter.plan(manifest, tmp_path / "out")
    printed = command("plan", "--manifest", manifest, "--output", tmp_path / "out", "--json")
    assert [job.model_dump(mode="json") for job in planned] == json.loads(printed.stdout)
    assert [job.action for job in planned] == ["convert", "cannot"]
    assert planned[1].failure and "missing" in planned[1].failure.message

    report = converter.run(manifest, tmp_path / "out", cache=tmp_path / "cache")
    assert [*tmp_path.glob("cache/graphs/*")]
    assert all(outcome.log and Path(outcome.log).is_file() for outcome in report.outcomes)
    assert command("run", "--manifest", manifest, "--output", tmp_path / "again").returncode == report.exit_code == 1
    theirs = converter.Report.model_validate_json((tmp_path / "again/report.json").read_bytes())
    assert [(outcome.model, outcome.status) for outcome in report.outcomes] == [("./tiny", "converted"), ("./missing", "failed")]
    assert [(outcome.model, outcome.status) for outcome in theirs.outcomes] == [("./tiny", "converted"), ("./missing", "failed")]
    assert json.loads((tmp_path / "out/report.json").read_bytes()) == report.model_dump(mode="json")


def test_a_loaded_model_is_converted_as_it_is_in_memory(tmp_path: Path) -> None:
    import torch

    from tests.coverage.tiny import tiny_model

    model = tiny_model("bert", "AutoModel")
    with torch.no_grad():
        model.embeddings.LayerNorm.bias += 0.5
    model.train()
    outcome = converter.convert(model, output=tmp_path)
    assert model.training
    assert outcome.model == "BertModel"
    inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    import onnxruntime

    session = onnxruntime.InferenceSession(outcome.path / "model.onnx", providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()} | {"token_type_ids": torch.zeros(1, 3, dtype=torch.int64).numpy()}
    (states, *_) = session.run(None, {name: array for name, array in feeds.items() if name in names})
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(states), model(**inputs).last_hidden_state, rtol=0, atol=1e-5)
