"""`transformers.onnx.convert`: export to an ONNX file, and validate it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from converter.architectures import OnnxConfig
from converter.backends.onnx.export import export
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.session import OnnxSession
from converter.checkpoints.loading import LoadedModel
from converter.core.errors import ValidationError
from converter.core.records import Verdict
from converter.validation.reference import Reference
from converter.validation.validate import validate

__all__ = ["export", "validate_model_outputs"]


def validate_model_outputs(
    config: OnnxConfig,
    preprocessor: Any,
    reference_model: Any,
    onnx_model: Path,
    onnx_named_outputs: Iterable[str],
    atol: float | None,
) -> Verdict:
    """Validate an ONNX file against its model, at many shapes.

    Args:
        config: the configuration of the export.
        preprocessor: the checkpoint's tokenizer, for real text; None without one.
        reference_model: the model of transformers. It is unchanged afterwards.
        onnx_model: the file.
        onnx_named_outputs: the names of its outputs in order, as `export` returned them.
        atol: the absolute tolerance; None for the configuration's. A relative tolerance of 1e-5 is added.

    Returns:
        All figures of the validation.

    Raises:
        ValidationError: a ValueError with the same figures, if the file does not match the model.
        ConversionError: ONNX Runtime cannot load the file.
    """
    training = reference_model.training
    reference_model.eval()
    try:
        reference = Reference(LoadedModel.of(reference_model), tuple(config.outputs))
        verdict = validate(OnnxSession(Path(onnx_model)), reference, config, preprocessor, OnnxOptions(atol=atol))
    finally:
        reference_model.train(training)
    if list(onnx_named_outputs) != list(config.outputs):
        named = f"the outputs {', '.join(onnx_named_outputs)} are not the configuration's {', '.join(config.outputs)}"
        verdict = verdict.model_copy(update={"problems": (*verdict.problems, named)})
    if not verdict.passed:
        raise ValidationError(f"{onnx_model} does not match the model: {verdict.first_problem}", "", verdict)
    return verdict
