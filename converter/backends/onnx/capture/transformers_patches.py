"""What transformers itself patches of torch and of its models to export them, for the models that torch alone does not export.

Relied on in transformers.exporters, which calls itself experimental: `utils.apply_patches`, and of `exporter_onnx` the table of
translations `_ONNX_TRANSLATION_TABLE` and `apply_onnx_ir_fixes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
import torch

from converter.backends.onnx.capture.translations import TRANSLATIONS


def patched_export(
    export: Callable[[Mapping[Any, Any]], torch.onnx.ONNXProgram], translations: Mapping[Any, Any] = TRANSLATIONS
) -> ir.Model:
    """What `export`, given `translations` and transformers' beside torch's own, makes of a model while all these patches last."""
    from transformers.exporters import exporter_onnx
    from transformers.exporters.utils import apply_patches

    with apply_patches("dynamo"), apply_patches("onnx"):
        program = export({**exporter_onnx._ONNX_TRANSLATION_TABLE, **translations})
    exporter_onnx.apply_onnx_ir_fixes(program)
    return program.model
