"""`Architecture`, the declaration in a family's file: the family, its features, and its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converter.architectures.auto import auto_models
from converter.architectures.config import OnnxConfig
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.features import FEATURES, WITH_PAST, canonical, feature_of_class
from converter.core.errors import NotSupportedError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A family of models: its name, transformers' model type, its features, and the configuration that exports it.

    `origin` identifies one from outside this package: a distribution and its version, or a file and its sha256. `note` is a clause for the
    user. `embedder` is the class that loads a checkpoint for `default`, see `embedders`.
    """

    name: str
    model_type: str
    features: tuple[str, ...]
    onnx_config: type[OnnxConfig]
    origin: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    embedder: str = ""

    def check_feature(self, feature: str) -> str:
        """Give the documented name of `feature`, or raise NotSupportedError that says which there are."""
        name = canonical(feature)
        if name not in self.features:
            raise NotSupportedError(
                f"{self.name} (model type {self.model_type}) has no feature {feature!r}",
                f"choose one of: {', '.join(self.features)}",
            )
        return name

    def auto_class(self, feature: str) -> str:
        """The class of transformers that loads a model of this family for one of its features."""
        name = self.check_feature(feature)
        if self.embedder and name == "default":
            return self.embedder
        classes = FEATURES[name].auto_classes
        return next((auto_class for auto_class in classes if self.model_type in auto_models()[auto_class]), classes[0])

    def choose_feature(self, asked: str | None, classes: Sequence[str], prefers_cache: bool = False, task: str = "") -> str:
        """The documented name of the feature that was `asked` for, or else of the head in the checkpoint's `classes`.

        A `task` that the repository declares, by any name, goes before the classes if it is one of the features. With `prefers_cache` a
        generating head has its cache by default. Without any it is `default`. Raises NotSupportedError for an unknown feature.
        """
        if asked:
            return self.check_feature(asked)
        declared = canonical(task) if canonical(task) in self.features else None
        if (not classes and not declared) or (classes and classes[0] == self.embedder):
            return "default"
        feature = declared or next((name for name in self.features if self._loads(name, classes[0])), None) or feature_of_class(classes[0])
        if feature in self.features:
            cached = f"{feature}{WITH_PAST}"
            return cached if prefers_cache and FEATURES[feature].generates and cached in self.features else feature
        raise NotSupportedError(
            f"config.json names a {classes[0]}, which matches none of the features of {self.name}",
            f"choose one with --feature: {', '.join(self.features)}",
        )

    def _loads(self, feature: str, class_name: str) -> bool:
        """Whether a class of transformers is the one that a feature's auto class has for this family."""
        return class_name in auto_models()[self.auto_class(feature)].get(self.model_type, ())[:1]

    def configure(self, config: Any, feature: str) -> OnnxConfig:
        """The configuration that exports a checkpoint with transformers' `config` for a feature of this architecture."""
        chosen = FEATURES[self.check_feature(feature)]
        if not chosen.use_past:
            return self.onnx_config(config, task=chosen.task)
        if not issubclass(self.onnx_config, OnnxConfigWithPast):
            raise NotSupportedError(f"{self.onnx_config.__name__} knows no cache", "derive it from OnnxConfigWithPast")
        return self.onnx_config.with_past(config, task=chosen.task)
