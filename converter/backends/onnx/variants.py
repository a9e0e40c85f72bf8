"""The variants of ONNX artifacts: one per precision, with its files beside the float32 files."""

from __future__ import annotations

from pathlib import Path

from converter.backends.evaluator import Evaluator
from converter.backends.onnx.names import LAYOUTS
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.precision import PRECISIONS
from converter.backends.session import Session
from converter.backends.variant_info import VariantInfo
from converter.core.errors import ConversionError
from converter.core.records import Options

BASE = "fp32"


class OnnxVariants:
    """See `converter.backends.variants.Variants`."""

    base = BASE

    def requested(self, options: Options) -> tuple[str, ...]:
        assert isinstance(options, OnnxOptions)
        return options.precisions if options.precisions != (BASE,) or options.evaluate else ()

    def derive(self, folder: Path, name: str, evaluator: Evaluator) -> VariantInfo:
        from converter.backends.onnx.precision.derive import derive

        return derive(folder, _files_in(folder, BASE), PRECISIONS[name], evaluator)

    def describe(self, folder: Path, name: str) -> VariantInfo:
        from converter.backends.onnx.precision.derive import describe

        return describe(folder, _files_in(folder, name), PRECISIONS[name])

    def open(self, folder: Path, name: str, *, deployed: bool = False) -> Session:
        from converter.backends.onnx.session import open_files

        precision = PRECISIONS[name]
        files = [precision.file(file) for file in _files_in(folder, name)]
        return open_files(folder, files, deployed=deployed, rounded=precision.floats == "float16" and not deployed)

    def remove(self, folder: Path, name: str) -> None:
        for file in _files_in(folder, name):
            for path in folder.glob(f"{PRECISIONS[name].file(file)}*"):
                path.unlink()


def _files_in(folder: Path, name: str) -> tuple[str, ...]:
    """The files of a variant, by their names in float32. Raises ConversionError if they are missing."""
    precision = PRECISIONS[name]
    for files in LAYOUTS:
        if all((folder / precision.file(file)).is_file() for file in files):
            return files
    raise ConversionError(f"{precision.file(LAYOUTS[0][-1])} is missing in {folder}", "convert the checkpoint again")
