"""TorchScript: trace the model, probe other shapes, and save the archive with its signature."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from converter.backends.base import Backend
from converter.backends.session import Session
from converter.backends.traced import without_cache
from converter.core.records import LONGEST_AXIS, Options

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel


class TorchScriptOptions(Options):
    """The options of `converter torchscript`."""

    batch_size: int | None = Field(
        None,
        ge=1,
        le=LONGEST_AXIS,
        description="Batch size of the example input (default 1). Matters only if the trace has a fixed shape.",
    )
    sequence_length: int | None = Field(
        None,
        ge=1,
        le=LONGEST_AXIS,
        description="Tokens of the example input (default: the model's maximum). Matters only if the trace has a fixed shape.",
    )
    decoder_length: int | None = Field(
        None,
        ge=1,
        le=LONGEST_AXIS,
        description="Decoder tokens of the example input (default: as many as the encoder's).",
    )
    freeze: bool = Field(False, description="Turn the weights into constants, without names, that cannot be trained.")
    untie: bool = Field(False, description="Store a tied weight once per name, as the `torchscript` flag of transformers 4 did.")

    @field_validator("feature")
    @classmethod
    def _has_no_cache(cls, feature: str | None) -> str | None:
        return without_cache(feature)

    @field_validator("untie")
    @classmethod
    def _has_names(cls, untie: bool, info: ValidationInfo) -> bool:
        if untie and info.data.get("freeze"):
            raise PydanticCustomError("untie", "a frozen model stores equal weights once; pass either freeze or untie")
        return untie

    @property
    def keeps_ties(self) -> bool:
        return not self.untie


class TorchScriptBackend(Backend):
    name = "torchscript"
    title = "TorchScript"
    main_file = "model.pt"
    client_files = ("*.pt", "*.pth", "*.ts", "*.torchscript")
    options = TorchScriptOptions
    packages = ("torch", "transformers")
    library = "pytorch"
    usage_snippet = """
import torch
from huggingface_hub import hf_hub_download

model = torch.jit.load(hf_hub_download("REPOSITORY", "torchscript/model.pt"))
"""
    notice = "TorchScript is deprecated by PyTorch; torch 2.13 and 2.14 still trace and load it"

    def is_client_file(self, path: Path) -> bool:
        """`torch.save` writes these names too, without code."""
        if not (super().is_client_file(path) and zipfile.is_zipfile(path)):
            return False
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        from converter.backends.torchscript.export import export

        assert isinstance(options, TorchScriptOptions)
        export(preprocessor, model.module, config, options, folder / self.main_file)

    def open(self, folder: Path) -> Session:
        import torch

        from converter.backends.traced.session import ArchiveSession

        return ArchiveSession(folder / self.main_file, self.title, f"torch {torch.__version__} TorchScript CPU")
