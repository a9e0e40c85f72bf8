"""One checkpoint for one backend: the context of its conversion, its validation and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.architectures import Architecture, OnnxConfig
from converter.backends.backend import Backend
from converter.backends.cache import Cache
from converter.core.records import Options

if TYPE_CHECKING:
    from converter.checkpoints.loading import LoadedModel


@dataclass(frozen=True)
class ConfiguredModel:
    """A loaded model with its configuration.

    `preprocessor` is the checkpoint's tokenizer, for a configuration that makes its own inputs with it; otherwise None.
    """

    model: LoadedModel
    config: OnnxConfig
    preprocessor: Any = None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """One checkpoint for one backend. Its reference and its tokenizer are loaded once, on first use.

    Args:
        backend: the artifact's backend.
        architecture: the checkpoint's architecture.
        checkpoint: the checkpoint's folder.
        options: the options, with a feature.
        cache: results of earlier conversions, for a backend that `caches`; None for none.
        destination: the artifact's folder after its staging; None if it is made in its place.
    """

    backend: Backend
    architecture: Architecture
    checkpoint: Path
    options: Options
    cache: Cache | None = None
    destination: Path | None = None

    def load(self) -> ConfiguredModel:
        """Load the checkpoint in the form that the backend converts."""
        from converter.architectures.dummies import makes_its_own

        configured = self._load(self.backend.attn_implementation(self.architecture.onnx_config))
        if not makes_its_own(configured.config):
            return configured
        return ConfiguredModel(configured.model, configured.config, self.tokenizer)

    @cached_property
    def reference(self) -> ConfiguredModel:
        """The checkpoint as a user of transformers loads it, with the configuration that it is measured with."""
        return self._load(None)

    @cached_property
    def tokenizer(self) -> Any | None:
        """The checkpoint's tokenizer; None without one."""
        from converter.checkpoints.loading import load_tokenizer

        return load_tokenizer(self.checkpoint, self.options.allowed)

    @property
    def variants(self) -> tuple[str, ...]:
        """The requested variants; empty if the artifact has to match its checkpoint."""
        return self.backend.variants.requested(self.options) if self.backend.variants else ()

    @property
    def keeps_base(self) -> bool:
        """Whether the files that match the checkpoint are part of the artifact, and not only the base of its variants."""
        return self.backend.variants is None or not self.variants or self.backend.variants.base in self.variants

    def release(self) -> None:
        """Forget the reference, so that it is not in memory during another capture. It is loaded again on next use."""
        vars(self).pop("reference", None)

    def _load(self, attn_implementation: str | None) -> ConfiguredModel:
        from converter.checkpoints.loading import load_model

        options = self.options
        assert options.feature
        auto_class = self.architecture.auto_class(options.feature)
        model = load_model(self.checkpoint, auto_class, options.loads_as, attn_implementation, options.allowed)
        return ConfiguredModel(model, self.backend.configure(self.architecture, model, options))
