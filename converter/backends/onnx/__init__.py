"""ONNX: torch.export captures the graph, and the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.architectures import PROFILES, Architecture, in_profile, is_for_clients
from converter.architectures.features import WITH_PAST
from converter.backends.artifact_files import ArtifactFiles
from converter.backends.backend import Backend
from converter.backends.card_text import CardText
from converter.backends.costs import Costs, Demand
from converter.backends.onnx.names import LAYOUTS
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.precision import PRECISIONS
from converter.backends.onnx.variants import BASE, OnnxVariants
from converter.backends.result import ConversionResult
from converter.backends.session import Session
from converter.checkpoints.policy import CONFIG
from converter.core.records import Options, Signature

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.backends.conversion import ConfiguredModel, Conversion
    from converter.checkpoints.loading import LoadedModel


_USAGE = """
import onnxruntime
from huggingface_hub import snapshot_download

folder = snapshot_download("REPOSITORY", allow_patterns="onnx/*")
session = onnxruntime.InferenceSession(f"{folder}/onnx/FILE")
"""


class OnnxBackend(Backend):
    name = "onnx"
    title = "ONNX"
    files = ArtifactFiles(
        layouts=tuple(tuple(precision.file(name) for name in names) for precision in PRECISIONS.values() for names in LAYOUTS),
        client_patterns=("*.onnx",),
        data_patterns=("*.onnx_data*", "*.onnx.data*"),
        sidecars=("genai_config.json",),
    )
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
    card = CardText(library="transformers.js", usage=_USAGE)
    costs = Costs(
        memory=Demand(start=100_000_000, weights=0.8, logits=3.0),
        variants_memory=Demand(start=250_000_000, weights=5.5, logits=3.0),
        of_types={"t5": 2},
        seconds_per_gb=12.0,
    )
    """Upper bounds of the measurements on BERT, GPT-2, BART and T5, see docs/reference/measurements.md and `make bench PARTS=demand`.

    float16 and integers took 5.1 and 5.4 times the weights of GPT-2: quantizers hold several of a model. A T5 takes 2.7 times its
    weights in ONNX Runtime, a BERT 0.6."""
    caches = True
    patches_exporter = True
    variants = OnnxVariants()

    def configure(self, architecture: Architecture, model: LoadedModel, options: Options) -> OnnxConfig:
        """The configuration in its profile; a custom one stays unchanged."""
        assert isinstance(options, OnnxOptions)
        assert options.feature
        if options.config:
            return super().configure(architecture, model, options)
        inputs = inspect.signature(model.module.forward).parameters
        onnx_config = in_profile(architecture.onnx_config, PROFILES[options.profile], inputs)
        return replace(architecture, onnx_config=onnx_config).configure(model.config, options.feature)

    def generated_sidecars(self, configured: ConfiguredModel, signature: Signature, folder: Path) -> Mapping[str, bytes]:
        from converter.backends.onnx.clients import onnxruntime_genai as genai
        from converter.backends.onnx.clients.transformers_js import set_external_data_format

        model, config = configured.model, configured.config
        if not is_for_clients(config):
            return {}
        tokens = getattr(model.module, "generation_config", None) or model.config
        file = f"{self.name}/{self.files.shown_in(folder)}"
        content = genai.genai_config(signature, model.config, tokens, config.positions, file)
        made = {genai.FILE: content} if content else {}
        if model.folder:
            names = [path.name for path in folder.glob("*.onnx")]
            made[CONFIG] = set_external_data_format((model.folder / CONFIG).read_bytes(), folder, names)
        return made

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:
        return onnx_config.attn_implementation

    def convert(self, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        from converter.backends.onnx.export import OnnxExport

        options = conversion.options
        assert isinstance(options, OnnxOptions)
        # files that only served as the base are removed, and share nothing
        shares = options.weights == "shared" and BASE in options.precisions
        export = OnnxExport(
            configured,
            opset=options.opset,
            optimize=options.optimize,
            cache=conversion.cache,
            shared_in=(conversion.destination or folder) if shares else None,
        )
        result = export.write(folder / self.files.main)
        return replace(result, notes=(*result.notes, *_notes(configured.config)))

    def read_options(self, folder: Path, requested: Mapping[str, Any]) -> Options:
        from converter.backends.onnx.files import model_file

        inputs = model_file.read(folder / self.files.shown_in(folder)).skeleton.graph.input
        batch = {dim.dim_param for value in inputs[:1] for dim in value.type.tensor_type.shape.dim[:1]}
        profile = next(
            (candidate.name for candidate in PROFILES.values() if candidate.batch in batch and not requested.get("config")), "documented"
        )
        names = [
            precision.name for precision in PRECISIONS.values() if any((folder / precision.file(files[-1])).is_file() for files in LAYOUTS)
        ]
        stored = {"precision": names} if names and not OnnxOptions.says_precision(requested) else {}
        return OnnxOptions.model_validate({"profile": profile, **stored, **requested})

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import open_files

        return open_files(folder, self.files.layout_in(folder) or (self.files.main,))


def _notes(config: OnnxConfig) -> Iterator[str]:
    """A note on an artifact that the clients of its profile cannot load."""
    if is_for_clients(config) and "decoder_input_ids" in config.inputs and config.feature.generates and not config.use_past:
        yield (f"the Hub's clients load no encoder-decoder without a cache; pass --feature {config.feature.name}{WITH_PAST}")
