"""`transformers.onnx.features`: which model can be exported for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from converter.architectures import FEATURES, Architecture, OnnxConfig, find_architecture
from converter.architectures.embedders import find_embedder
from converter.checkpoints.fetch import fetch, resolve
from converter.checkpoints.source import parse_source
from converter.core.errors import NotSupportedError


class FeaturesManager:
    """The documented questions, answered from the same tables that the command line uses.

    A model type may be spelt with hyphens, as `transformers.onnx` had it, or with underscores.
    """

    AVAILABLE_FEATURES = sorted(FEATURES)

    @staticmethod
    def get_supported_features_for_model_type(model_type: str, model_name: str | None = None) -> Mapping[str, Callable[[Any], OnnxConfig]]:
        """The features of a model type, each with the function from a model's config to its configuration.

        Raises NotSupportedError, which is a KeyError, for an unknown model type.
        """
        del model_name  # taken for the documented signature's sake
        architecture = _architecture(model_type)
        return {feature: partial(architecture.configure, feature=feature) for feature in architecture.features}

    @staticmethod
    def feature_to_task(feature: str) -> str:
        """The feature without its cache: `causal-lm` of `causal-lm-with-past`."""
        return FEATURES[feature].task

    @staticmethod
    def get_config(model_type: str, feature: str) -> Callable[[Any], OnnxConfig]:
        """What makes the configuration of a model type for a feature. Raises NotSupportedError."""
        features = FeaturesManager.get_supported_features_for_model_type(model_type)
        return features[_architecture(model_type).check_feature(feature)]

    @staticmethod
    def get_model_class_for_feature(feature: str, framework: str = "pt") -> Any:
        """The auto class of transformers that loads a model for a feature. Raises NotSupportedError."""
        import transformers

        if framework != "pt":
            raise NotSupportedError(f"unknown framework {framework!r}", "models are PyTorch's: pt")
        if feature not in FEATURES:
            raise NotSupportedError(f"unknown feature {feature!r}", f"there are: {', '.join(FEATURES)}")
        return getattr(transformers, FEATURES[feature].auto_classes[0])

    @staticmethod
    def get_model_from_feature(feature: str, model: str, framework: str | None = None, cache_dir: str | None = None) -> Any:
        """Load a checkpoint, a folder or a Hub id with @revision where wanted, with the head of a feature, in float32.

        Raises NotSupportedError for an unknown feature, CheckpointError for a checkpoint that cannot be loaded safely.
        """
        from converter.checkpoints.loading import load_model

        if cache_dir is not None:
            raise NotSupportedError("cache_dir is not taken", "set HF_HOME")
        auto_class = FeaturesManager.get_model_class_for_feature(feature, framework or "pt").__name__
        checkpoint = resolve(parse_source(str(model), Path()))
        embedder = find_embedder(checkpoint.model_type, checkpoint.classes)
        return load_model(fetch(checkpoint), embedder.name if embedder and feature == "default" else auto_class, "float32").module

    @staticmethod
    def check_supported_model_or_raise(model: Any, feature: str = "default") -> tuple[str, Callable[[Any], OnnxConfig]]:
        """The type of a loaded model, and the function from its config to the configuration for a feature.

        Raises NotSupportedError, which is a ValueError, with the available features.
        """
        model_type, class_name = model.config.model_type, type(model).__name__
        if find_embedder(model_type, [class_name]):
            architecture = find_architecture(model_type, classes=[class_name])
            return model_type, partial(architecture.configure, feature=architecture.check_feature(feature))
        return model_type, FeaturesManager.get_config(model_type, feature)


def _architecture(model_type: str) -> Architecture:
    """The architecture of a model type, spelt as transformers has it or with the other kind of line."""
    name = model_type.lower()
    for spelling in (name, name.replace("-", "_"), name.replace("_", "-")):
        with suppress(NotSupportedError):
            return find_architecture(spelling)
    return find_architecture(name)
