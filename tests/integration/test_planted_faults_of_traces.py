"""What `converter validate` says of a faulty archive, and of ties. `tests/planted` plants the other faults."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.core.records import Outcome
from converter.torchscript import TorchScriptOptions, export

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Signature = dict[str, Any]
Planted = tuple[Any, Signature]
Make = Callable[..., Path]

FEATURE, AUTO_CLASS = "question-answering", "AutoModelForQuestionAnswering"


def _change(module: Any, name: str, row: int) -> None:
    parameter = dict(module.named_parameters())[name]
    with torch.no_grad():
        parameter[row] += 1e-3


def change_a_weight(module: Any, signature: Signature) -> Planted:
    _change(module, "model.bert.encoder.layer.1.output.dense.weight", 3)
    return module, signature


class _Around(torch.nn.Module):
    """Another model around the one in the archive."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.inner = module


class Noisy(_Around):
    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        start, end = self.inner(input_ids, attention_mask, token_type_ids)
        return start + torch.randn_like(start) * 1e-7, end


class Replacing(_Around):
    """One token is replaced by another."""

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        return self.inner(torch.where(input_ids == 77, 78, input_ids), attention_mask, token_type_ids)


class Writing(_Around):
    """A buffer is written to at each call; no output depends on it."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        self.calls.add_(1)
        return self.inner(input_ids, attention_mask, token_type_ids)


class Counting(_Around):
    """A number is counted at each call, that is wrong from the 1000th on."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.count: int = 0

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.count += 1
        start, end = self.inner(input_ids, attention_mask, token_type_ids)
        return start + float(self.count // 1000), end


def count(module: Any, signature: Signature) -> Planted:
    return torch.jit.script(Counting(module).eval()), signature


def put(around: type[_Around]) -> Callable[[Any, Signature], Planted]:
    def plant(module: Any, signature: Signature) -> Planted:
        inputs = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in range(3))
        return torch.jit.trace(around(module).eval(), inputs, check_trace=False), signature

    return plant


FAULTS: dict[str, tuple[Callable[[Any, Signature], Planted], str]] = {
    "a changed weight": (change_a_weight, "bert.encoder.layer.1.output.dense.weight"),
    "noise below the tolerance": (put(Noisy), "another each time"),
    "a token that is taken for another": (put(Replacing), "differs by"),
    "a buffer that changes": (put(Writing), "running it changes calls, and an artifact has to stay the same"),
    "a counter": (count, "running it changes count, and an artifact has to stay the same"),
}
"""Those that figures tell, and those that they do not: `tests/planted` has the others."""


@pytest.fixture(scope="module")
def good(trace: Callable[[str, str], Outcome]) -> Path:
    outcome = trace("bert", FEATURE)
    assert outcome.status == "converted", outcome.failure
    return Path(outcome.destination)


def _plant(good: Path, plant: Callable[[Any, Signature], Planted], place: Path) -> None:
    extra = {"signature.json": b""}
    module = torch.jit.load(good / "model.pt", _extra_files=extra)
    planted, signature = plant(module, json.loads(extra["signature.json"]))
    torch.jit.save(planted, place / "model.pt", _extra_files={"signature.json": json.dumps(signature)})


def _validate(command: Run, folder: Path, checkpoint: Path, feature: str = FEATURE) -> subprocess.CompletedProcess[str]:
    return command("validate", folder, "--reference", checkpoint, "--feature", feature, "--json")


def test_a_good_archive_is_called_good_without_its_record(good: Path, tiny: Make, command: Run, tmp_path: Path) -> None:
    _plant(good, lambda module, signature: (module, signature), tmp_path)
    result = _validate(command, tmp_path, tiny("bert", AUTO_CLASS))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)[0]["passed"] is True


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, good: Path, tiny: Make, command: Run, tmp_path: Path) -> None:
    plant, message = FAULTS[fault]
    _plant(good, plant, tmp_path)
    result = _validate(command, tmp_path, tiny("bert", AUTO_CLASS))
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["passed"] is False
    assert message in result.stdout
    assert "error: " in result.stderr and "Traceback" not in result.stderr


def test_a_tied_weight_that_is_stored_twice_is_found(tiny: Make, command: Run, tmp_path: Path) -> None:
    import transformers

    from converter.architectures import find_architecture

    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint)
    config = find_architecture("bert").configure(model.config, "masked-lm")
    export(None, model, config, TorchScriptOptions(untie=True), tmp_path / "model.pt")
    result = _validate(command, tmp_path, checkpoint, "masked-lm")
    assert result.returncode == 1
    assert "of its weights are tied in the checkpoint and stored twice" in result.stderr


def test_weights_that_share_their_bytes_where_each_was_to_have_its_own_are_found(tiny: Make, command: Run, tmp_path: Path) -> None:
    """By the record, which has the option."""
    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    assert command("torchscript", "--model", checkpoint, "--feature=masked-lm", tmp_path / "tied").returncode == 0
    assert command("torchscript", "--model", checkpoint, "--feature=masked-lm", "--untie", tmp_path / "untied").returncode == 0
    (tmp_path / "tied/model.pt").replace(tmp_path / "untied/model.pt")
    result = command("validate", tmp_path / "untied", "--reference", checkpoint, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)[0]["verdict"]["weights"]["joined"] == [
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    ]
    assert "its sha256 is not the record's" in result.stdout
