"""If torch alone cannot export a model, transformers' own patches are tried; the private names exist."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.exporters import exporter_onnx, utils

from converter.backends.onnx.capture import transformers_patches as patches


def test_what_is_relied_on_is_there() -> None:
    assert {"dynamo", "onnx"} <= utils._PATCHES.keys()
    assert exporter_onnx._ONNX_TRANSLATION_TABLE
    assert callable(exporter_onnx.apply_onnx_ir_fixes)


def test_the_patches_last_for_the_export_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = torch.where, []

    def export(translations: Any) -> Any:
        seen.append((torch.where, translations))
        raise torch.onnx.OnnxExporterError("no")

    with pytest.raises(torch.onnx.OnnxExporterError):
        patches.patched_export(export)
    assert seen[0][0] is not before
    assert torch.where is before
    assert seen[0][1].keys() > exporter_onnx._ONNX_TRANSLATION_TABLE.keys()
