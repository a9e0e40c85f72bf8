"""ONNX: torch.export captures the graph, and the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.architectures import PROFILES, Architecture, in_profile, is_for_clients
from converter.architectures.features import WITH_PAST
from converter.backends.base import Backend
from converter.backends.cache import Cache
from converter.backends.conversion import Conversion
from converter.backends.evaluator import Evaluator
from converter.backends.onnx.names import DECODER_FILE, ENCODER_FILE
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.precision import PRECISIONS
from converter.backends.session import Session
from converter.backends.variant_info import VariantInfo
from converter.checkpoints.policy import CONFIG
from converter.core.errors import ConversionError
from converter.core.records import Options, Signature

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel


_LAYOUTS = (("model.onnx",), (ENCODER_FILE, DECODER_FILE))
_BASE = "fp32"


class OnnxBackend(Backend):
    name = "onnx"
    title = "ONNX"
    main_file = "model.onnx"
    client_files = ("*.onnx",)
    data_files = ("*.onnx_data*", "*.onnx.data*")
    base_variant = _BASE
    generated_sidecar_names = ("genai_config.json",)
    layouts = tuple(tuple(precision.file(name) for name in names) for precision in PRECISIONS.values() for names in _LAYOUTS)
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
    library = "transformers.js"
    caches = True
    patches_exporter = True
    usage_snippet = """
import onnxruntime
from huggingface_hub import snapshot_download

folder = snapshot_download("REPOSITORY", allow_patterns="onnx/*")
session = onnxruntime.InferenceSession(f"{folder}/onnx/FILE")
"""

    def configure(self, architecture: Architecture, model: LoadedModel, options: Options) -> OnnxConfig:
        """The configuration in its profile; a custom one stays unchanged."""
        assert isinstance(options, OnnxOptions)
        assert options.feature
        if options.config:
            return super().configure(architecture, model, options)
        inputs = inspect.signature(model.module.forward).parameters
        onnx_config = in_profile(architecture.onnx_config, PROFILES[options.profile], inputs)
        return replace(architecture, onnx_config=onnx_config).configure(model.config, options.feature)

    def generated_sidecars(self, model: LoadedModel, config: OnnxConfig, signature: Signature, folder: Path) -> Mapping[str, bytes]:
        from converter.backends.onnx.clients import onnxruntime_genai as genai
        from converter.backends.onnx.clients.transformers_js import set_external_data_format

        if not is_for_clients(config):
            return {}
        tokens = getattr(model.module, "generation_config", None) or model.config
        file = f"{self.name}/{self.main_file_in(folder) or self.main_file}"
        content = genai.genai_config(signature, model.config, tokens, config.positions, file)
        made = {genai.FILE: content} if content else {}
        if model.folder:
            names = [path.name for path in folder.glob("*.onnx")]
            made[CONFIG] = set_external_data_format((model.folder / CONFIG).read_bytes(), folder, names)
        return made

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:
        return onnx_config.attn_implementation

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        self.convert_with(None, model, config, options, folder, preprocessor)

    def convert_with(
        self,
        cache: Cache | None,
        model: LoadedModel,
        config: OnnxConfig,
        options: Options,
        folder: Path,
        preprocessor: Any = None,
        place: Path | None = None,
    ) -> Conversion:
        from converter.backends.onnx.export import export_with

        assert isinstance(options, OnnxOptions)
        # files that only served as the base are removed, and share nothing
        shared_in = (place or folder) if options.weights == "shared" and _BASE in options.precisions else None
        conversion = export_with(cache, preprocessor, model, config, options.opset, folder / self.main_file, shared_in, options.optimize)
        return replace(conversion, notes=(*conversion.notes, *_notes(config)))

    def read_options(self, folder: Path, requested: Mapping[str, Any]) -> Options:
        from converter.backends.onnx.files import model_file

        inputs = model_file.read(folder / (self.main_file_in(folder) or self.main_file)).skeleton.graph.input
        batch = {dim.dim_param for value in inputs[:1] for dim in value.type.tensor_type.shape.dim[:1]}
        profile = next(
            (candidate.name for candidate in PROFILES.values() if candidate.batch in batch and not requested.get("config")), "documented"
        )
        names = [
            precision.name
            for precision in PRECISIONS.values()
            if any((folder / precision.file(name)).is_file() for name in ("model.onnx", DECODER_FILE))
        ]
        stored = {"precision": names} if names and not OnnxOptions.says_precision(requested) else {}
        return OnnxOptions.model_validate({"profile": profile, **stored, **requested})

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import open_files

        return open_files(folder, self._files_in(folder) or (self.main_file,))

    def variants(self, options: Options) -> tuple[str, ...]:
        assert isinstance(options, OnnxOptions)
        return options.precisions if options.precisions != (_BASE,) or options.evaluate else ()

    def derive_variant(self, folder: Path, variant: str, evaluator: Evaluator) -> VariantInfo:
        from converter.backends.onnx.precision.derive import derive, describe

        precision, names = PRECISIONS[variant], self._names_in(folder, _BASE)
        return derive(folder, names, precision, evaluator) if variant != _BASE else describe(folder, names, precision)

    def describe_variant(self, folder: Path, variant: str) -> VariantInfo:
        from converter.backends.onnx.precision.derive import describe

        return describe(folder, self._names_in(folder, variant), PRECISIONS[variant])

    def open_variant(self, folder: Path, variant: str, *, deployed: bool = False) -> Session:
        from converter.backends.onnx.session import open_files

        precision = PRECISIONS[variant]
        names = [precision.file(name) for name in self._names_in(folder, variant)]
        return open_files(folder, names, deployed=deployed, rounded=precision.floats == "float16" and not deployed)

    def remove_variant(self, folder: Path, variant: str) -> None:
        for name in self._names_in(folder, variant):
            for file in folder.glob(f"{PRECISIONS[variant].file(name)}*"):
                file.unlink()

    def _names_in(self, folder: Path, variant: str) -> tuple[str, ...]:
        """The names of a variant's files in float32. Raises ConversionError if they are missing."""
        for names in _LAYOUTS:
            if all((folder / PRECISIONS[variant].file(name)).is_file() for name in names):
                return names
        raise ConversionError(f"{PRECISIONS[variant].file(self.main_file)} is missing in {folder}", "convert the checkpoint again")

    def _files_in(self, folder: Path) -> tuple[str, ...]:
        return self.files_of([name for name in self.file_names if (folder / name).is_file()])


def _notes(config: OnnxConfig) -> Iterator[str]:
    """A note on an artifact that the clients of its profile cannot load."""
    if is_for_clients(config) and "decoder_input_ids" in config.inputs and config.feature.generates and not config.use_past:
        yield (f"the Hub's clients load no encoder-decoder without a cache; pass --feature {config.feature.name}{WITH_PAST}")
