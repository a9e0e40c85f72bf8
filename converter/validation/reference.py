"""The checkpoint as a user of transformers would run it: the measure of every artifact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, GenerationMixin

from converter.architectures.cache_names import cache_argument
from converter.checkpoints.calling import call
from converter.checkpoints.export_wrappers import ENCODED
from converter.checkpoints.loading import LoadedModel
from converter.core.typing import Array
from converter.validation.float64 import computing_in_float64, in_float64
from converter.validation.state import Change, ModelState


@dataclass(frozen=True)
class Generated:
    """The result of `generate`: the tokens (batch, steps), the logits (batch, steps, vocabulary) that chose each, and the first tokens
    (batch, 1) of a separate decoder, or None."""

    tokens: Array
    logits: Array
    first: Array | None


class Reference:
    """A model loaded in the ordinary way, called with arrays by name: each call starts from the loaded state.

    `changes` are the changes by calls, by path; `unsteady` are the paths that several calls changed and that cannot be restored.
    """

    def __init__(self, model: LoadedModel, outputs: Sequence[str], *, is_float64: bool = False) -> None:
        self.model = model
        self.changes: dict[str, Change] = {}
        self.unsteady: set[str] = set()
        self.outputs = tuple(outputs)
        self._state: ModelState | None = None
        self._is_float64 = is_float64

    @property
    def threads(self) -> int:
        """How many threads a call has, as sessions have that follow torch's setting."""
        return torch.get_num_threads()

    def in_float64(self, outputs: Sequence[str]) -> Reference:
        """Return a copy that computes `outputs` in float64, see `float64`. It takes twice the memory of a float32 model."""
        return Reference(replace(self.model, module=in_float64(self.model.module)), outputs, is_float64=True)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> Mapping[str, Array]:
        """The outputs by name: all of them, or those that are named."""
        state = self._state_now()
        try:
            return self.call(inputs, outputs)
        finally:
            changes = {change.path: change for change in state.restore()}
            self.unsteady.update(path for path, change in changes.items() if change.stays and path in self.changes)
            self.changes = changes | self.changes

    def _state_now(self) -> ModelState:
        """The model's state before a call, recorded again only after somebody changed it, as `overridden` does."""
        if self._state is None or not self._state.is_now():
            self._state = ModelState(self.model.module)
        return self._state

    def in_turn(self, cases: Iterable[Mapping[str, Array]]) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
        """The outputs of each case of a model as loaded, and of one that keeps the changes of earlier cases."""
        loaded = ModelState(self.model.module)
        try:
            for inputs in cases:
                after_others = self.call(inputs)
                used = ModelState(self.model.module)
                loaded.restore()
                fresh = self.call(inputs)
                loaded.restore()
                used.restore()
                yield fresh, after_others
        finally:
            loaded.restore()

    def call(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> Mapping[str, Array]:
        """The outputs by name, of a model that keeps the changes of this call."""
        names = self.outputs if outputs is None else outputs
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        if self._is_float64:
            tensors = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        with torch.inference_mode(), computing_in_float64() if self._is_float64 else nullcontext():
            results = call(self.model.module, tensors, names)
        return {name: result.numpy() for name, result in zip(names, results, strict=True)}

    def generate(self, inputs: Mapping[str, Array], steps: int) -> Generated:
        """Greedily continue the texts in `inputs` by `steps` tokens, by the logits alone: nothing of the checkpoint's own
        generation_config (beams, forced or suppressed tokens, penalties) takes part, but the token that a decoder begins with."""
        state = self._state_now()
        try:
            return self._generate(inputs, steps)
        finally:
            state.restore()

    def _generate(self, inputs: Mapping[str, Array], steps: int) -> Generated:
        module = self.model.module
        kept, encoder = module.generation_config, module.config.is_encoder_decoder
        begin = next((token for token in (kept.decoder_start_token_id, kept.bos_token_id, kept.pad_token_id) if token is not None), 0)
        module.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers' own lacks types
            decoder_start_token_id=begin if encoder else None, pad_token_id=0
        )
        prompt = ("input_ids", "attention_mask", *ENCODED)
        tensors: dict[str, Any] = {name: torch.from_numpy(inputs[name]) for name in prompt if name in inputs}
        cache = cache_argument(GenerationMixin.prepare_inputs_for_generation)
        # generate makes a cache with as many layers as the encoder, even if the decoder has more
        if encoder:
            tensors[cache] = EncoderDecoderCache(DynamicCache(), DynamicCache())
        elif hasattr(module.config, "decoder_layers"):
            tensors[cache] = DynamicCache()
        try:
            output: Any = GenerationMixin.generate(  # a model's own would add tokens and rules of its task
                module,
                **tensors,
                max_new_tokens=steps,
                do_sample=False,
                num_beams=1,
                use_cache=True,
                return_dict_in_generate=True,
                output_logits=True,
            )
        finally:
            module.generation_config = kept
        tokens = output.sequences[:, -steps:].numpy()
        return Generated(tokens, torch.stack(output.logits, dim=1).numpy(), output.sequences[:, :1].numpy() if encoder else None)
