"""Decision Transformer: states, actions and rewards, step by step, instead of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from converter.architectures.architecture import Architecture
from converter.architectures.config import OnnxConfig
from converter.architectures.features import Axes

if TYPE_CHECKING:
    from converter.core.typing import Array

_STEPS: Axes = {0: "batch", 1: "sequence"}


class DecisionTransformerOnnxConfig(OnnxConfig):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        return dict.fromkeys(("states", "actions", "rewards", "returns_to_go", "timesteps", "attention_mask"), _STEPS)

    @property
    def outputs(self) -> Mapping[str, Axes]:
        return dict.fromkeys(("state_preds", "action_preds", "return_preds"), _STEPS)

    @property
    def positions(self) -> int:
        """Three tokens are made of each step."""
        return int(self._config.n_positions) // 3

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        return {"timesteps": self._config.max_ep_len}

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        widths = {"states": self._config.state_dim, "actions": self._config.act_dim, "rewards": 1, "returns_to_go": 1}
        return {2: widths[name]} if name in widths else {}

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:  # noqa: ARG002 - all are of one kind
        return rng.standard_normal(shape)  # type: ignore[no-any-return]  # numpy's Generator is Any here


ARCHITECTURE = Architecture(
    name="Decision Transformer", model_type="decision_transformer", features=("default",), onnx_config=DecisionTransformerOnnxConfig
)
