"""The variants of an artifact: other precisions, derived from its validated float32 files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from converter.backends.evaluator import Evaluator
from converter.backends.session import Session
from converter.backends.variant_info import VariantInfo
from converter.core.records import Options


class Variants(Protocol):
    """A backend's variants, each named by its precision."""

    @property
    def base(self) -> str:
        """The variant that the others are derived from."""

    def requested(self, options: Options) -> tuple[str, ...]:
        """Return the requested variants, measured by their accuracy drop; empty if the artifact has to match its checkpoint."""

    def derive(self, folder: Path, name: str, evaluator: Evaluator) -> VariantInfo:
        """Derive a variant from the artifact in `folder`, beside it. Raises ConversionError or OutputError."""

    def describe(self, folder: Path, name: str) -> VariantInfo:
        """Describe a variant in `folder`. Raises ConversionError if it is missing."""

    def open(self, folder: Path, name: str, *, deployed: bool = False) -> Session:
        """Open a variant in `folder`; `deployed` as its users will, for its latency, whatever memory that takes."""

    def remove(self, folder: Path, name: str) -> None:
        """Remove the files of a variant."""
