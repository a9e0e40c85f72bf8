"""The check of a model before its conversion: `--check`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from converter.core.records import Finding, Options

if TYPE_CHECKING:
    from converter.backends.conversion import ConfiguredModel


class Preflight(Protocol):
    """A backend's check of a model, without a conversion."""

    @property
    def note(self) -> str:
        """A clause for every check."""

    def check(self, configured: ConfiguredModel, options: Options) -> Iterator[Finding]:
        """Yield the findings on a model. Raises NotSupportedError or ConversionError."""
