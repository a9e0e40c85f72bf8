"""TorchScript: trace the model, probe other shapes, and save the archive with its signature."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from converter.backends.artifact_files import ArtifactFiles
from converter.backends.backend import Backend
from converter.backends.card_text import CardText
from converter.backends.costs import Costs, Demand
from converter.backends.result import ConversionResult
from converter.backends.session import Session
from converter.backends.traced import without_cache
from converter.core.records import LONGEST_AXIS, Options

if TYPE_CHECKING:
    from converter.backends.conversion import ConfiguredModel, Conversion


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


def _holds_code(path: Path) -> bool:
    """Whether an archive has code: `torch.save` writes files of the same names, without any."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


_USAGE = """
import torch
from huggingface_hub import hf_hub_download

model = torch.jit.load(hf_hub_download("REPOSITORY", "torchscript/model.pt"))
"""


class TorchScriptBackend(Backend):
    name = "torchscript"
    title = "TorchScript"
    files = ArtifactFiles(
        layouts=(("model.pt",),),
        client_patterns=("*.pt", "*.pth", "*.ts", "*.torchscript"),
        is_loadable=_holds_code,
    )
    options = TorchScriptOptions
    packages = ("torch", "transformers")
    card = CardText(library="pytorch", usage=_USAGE)
    costs = Costs(memory=Demand(start=250_000_000, weights=1.8, logits=4.0), seconds_per_gb=33.0)
    notice = "TorchScript is deprecated by PyTorch; torch 2.13 and 2.14 still trace and load it"

    def convert(self, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        from converter.backends.torchscript.export import export

        assert isinstance(conversion.options, TorchScriptOptions)
        export(configured.preprocessor, configured.model.module, configured.config, conversion.options, folder / self.files.main)
        return ConversionResult()

    def open(self, folder: Path) -> Session:
        import torch

        from converter.backends.traced.session import ArchiveSession

        return ArchiveSession(folder / self.files.main, self.title, f"torch {torch.__version__} TorchScript CPU")
