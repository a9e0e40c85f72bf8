"""A custom configuration: a class in a Python file, named as `my_config.py:MyOnnxConfig`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

from converter.architectures.architecture import Architecture
from converter.architectures.config import OnnxConfig
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.features import FEATURES
from converter.core.errors import NotSupportedError
from converter.core.reason import reason


def custom_architecture(name: str, model_type: str) -> Architecture:
    """The architecture of `model_type` with the class `name`; it has every feature, because only the class knows.

    The file is run, like any import. Raises NotSupportedError if there is no such class.
    """
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotSupportedError(
            f"cannot read the configuration {name}: {error.strerror} ({file})", "name a file as my_config.py:MyOnnxConfig"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    config_class = getattr(_run(path, digest), class_name, None)
    if not isinstance(config_class, type) or not issubclass(config_class, OnnxConfig):
        what = "has no such class" if config_class is None else "is not a subclass of converter.onnx.OnnxConfig"
        raise NotSupportedError(f"{class_name} of {file} {what}", "derive it from OnnxConfig of converter.onnx")
    if getattr(config_class, "__abstractmethods__", None):
        raise NotSupportedError(
            f"{class_name} of {file} has no {', '.join(sorted(config_class.__abstractmethods__))}", "declare the missing parts"
        )
    features = tuple(feature.name for feature in FEATURES.values() if issubclass(config_class, OnnxConfigWithPast) or not feature.use_past)
    return Architecture(
        name=class_name, model_type=model_type, features=features, onnx_config=config_class, origin={class_name: f"sha256:{digest}"}
    )


def custom_code_error(name: str, error: BaseException) -> NotSupportedError:
    """The error for an unexpected exception in a custom configuration `name`, with its origin if it is from there."""
    file = str(Path(name.rpartition(":")[0]))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return NotSupportedError(
        f"the configuration {name} cannot be used: {reason(error)}{where}",
        "mend it; docs/how-to/custom-configuration.md lists the members",
    )


def _run(path: Path, digest: str) -> object:
    """The module in a file, run once for each of its contents."""
    name = f"converter_own_{hashlib.sha256(f'{path}:{digest}'.encode()).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotSupportedError(f"{path} is no Python file", "name a file as my_config.py:MyOnnxConfig")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code runs here, and may raise anything
        del sys.modules[name]
        raise NotSupportedError(f"the configuration {path} cannot be run: {reason(error)}", "see with --debug where") from error
    return module
