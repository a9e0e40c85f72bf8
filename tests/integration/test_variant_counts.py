"""How often the conversion of several precisions loads, opens and reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.backends.onnx import session
from converter.backends.onnx.files import model_file
from converter.backends.onnx.precision import derive
from converter.checkpoints import loading
from converter.core.records import Outcome
from tests.support.checkpoints import save_tiny, save_tokenizer


def test_three_precisions_take_two_loads_and_no_file_is_opened_twice_for_one_purpose(
    convert: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[tuple[str, ...]] = Counter()

    def count(module: Any, name: str, key: Callable[..., tuple[str, ...]]) -> None:
        original = getattr(module, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            counts[key(*arguments, **named)] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, counted)

    count(loading, "load_model", lambda *_, **__: ("model",))
    count(loading, "load_tokenizer", lambda *_, **__: ("tokenizer",))
    count(derive, "describe", lambda folder, names, precision: ("description", precision.name))
    count(
        session,
        "open_files",
        lambda folder, names, deployed=False, rounded=False: ("session", *names, "deployed" if deployed else "validated"),
    )
    checkpoint = save_tokenizer(save_tiny(tmp_path / "bert", "bert"), "input_ids", "attention_mask", "token_type_ids")
    outcome = convert(checkpoint, precision="fp32,q8,q4", tier="any")
    assert outcome.status == "converted", outcome.failure
    assert counts.pop(("model",)) == 2  # to convert, and as the reference
    assert counts.pop(("session", "model.onnx", "validated")) == 2  # to match the checkpoint, and for its accuracy
    assert {key: number for key, number in counts.items() if number > 1} == {}
    files = ("model.onnx", "model_quantized.onnx", "model_q4.onnx")
    assert {key[1] for key in counts if key[0] == "session"} == {*files}
    assert all(variant.latency for name, variant in outcome.variants.items() if name != "fp32")


def test_the_weights_of_a_file_are_mapped_at_once(convert: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = convert(save_tiny(tmp_path / "bert", "bert"))
    stored = model_file.read(outcome.path / "model.onnx")
    opened: list[Path] = []
    original = model_file.np.memmap

    def counted(path: Path, *arguments: Any) -> Any:
        opened.append(path)
        return original(path, *arguments)

    monkeypatch.setattr(model_file.np, "memmap", counted)
    assert len([*stored.weights()]) > 10
    assert opened == [outcome.path / "model.onnx"]
