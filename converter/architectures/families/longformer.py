"""Longformer: each token attends to its neighbours; a few marked tokens attend to all and are attended by all.

It is captured in another form, because transformers slices and indexes by sizes that depend on the data. Sliding windows are blocks of the
sequence with their two neighbours, so memory stays linear in the sequence. The tokens with global attention are gathered: as many per
row as the fullest row has.

Relied on in transformers.models.longformer.modeling_longformer, besides the classes named here: `LongformerModel.embeddings`,
`.encoder.layer` and `.pooler`; `LongformerLayer` and `LongformerAttention`, which pass `attention_mask` on unchanged;
`LongformerSelfAttention.num_heads`, `.head_dim`, `.one_sided_attn_window_size`, `.query`, `.key`, `.value`, `.query_global`, `.key_global`
and `.value_global`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from converter.architectures.architecture import Architecture
from converter.architectures.families.roberta import RobertaOnnxConfig
from converter.architectures.features import Axes

if TYPE_CHECKING:
    import torch

    from converter.core.typing import Array


class LongformerOnnxConfig(RobertaOnnxConfig):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        inputs = super().inputs
        return {**inputs, "global_attention_mask": inputs["input_ids"]}

    @property
    def outputs(self) -> Mapping[str, Axes]:
        return {**super().outputs, "pooler_output": {0: "batch"}} if self.task == "default" else super().outputs

    @property
    def atol_for_validation(self) -> float:
        return 1e-4

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:
        """About four global tokens per row, none in a row of one token."""
        if name != "global_attention_mask":
            return super().draw(name, shape, rng)
        share = min(0.5, 4 / shape[-1]) if shape[-1] > 1 else 0.0
        marked: Array = (rng.random(shape) < share).astype("int64")
        return marked

    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        return patched(model)


@contextmanager
def patched(model: torch.nn.Module) -> Iterator[None]:
    """Let the Longformer inside `model` compute the same in a form that can be captured."""
    from transformers.models.longformer.modeling_longformer import LongformerModel, LongformerSelfAttention

    with ExitStack() as undo:
        for module in model.modules():
            if isinstance(module, LongformerModel):
                undo.enter_context(_forward_replaced(module, _model_forward))
            elif isinstance(module, LongformerSelfAttention):
                undo.enter_context(_forward_replaced(module, _attention_forward))
        yield


@contextmanager
def _forward_replaced(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    own = module.__dict__.get("forward")  # None: it has its class's
    module.__dict__["forward"] = MethodType(forward, module)
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own


class _Roles(NamedTuple):
    """What each token is to the others, the same in all layers; `slots` is the most global tokens that a row has."""

    role: torch.Tensor
    """(batch, sequence): 0 is masked, 1 has local attention, 2 global."""
    chosen: torch.Tensor
    """(batch, slots): the positions of each row's global tokens; a row with fewer fills its slots with others."""
    is_filler: torch.Tensor
    """(batch, slots): whether the slot holds such another."""
    unseen: Mapping[int, torch.Tensor]
    """(batch, 1, blocks, reach, others) for each reach that a layer has: which of its `_others` a token does not look at."""


def _model_forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, global_attention_mask: torch.Tensor, **_: Any) -> Any:
    """`LongformerModel.forward` without padding to the window: masked tokens are not attended, and layers pad by themselves."""
    from transformers.models.longformer.modeling_longformer import LongformerBaseModelOutputWithPooling

    reaches = {layer.attention.self.one_sided_attn_window_size for layer in self.encoder.layer}
    roles = _roles(attention_mask * (global_attention_mask + 1), sorted(reaches))
    hidden = self.embeddings(input_ids=input_ids)
    for layer in self.encoder.layer:
        hidden = layer(hidden, attention_mask=roles)[0]
    return LongformerBaseModelOutputWithPooling(
        last_hidden_state=hidden, pooler_output=None if self.pooler is None else self.pooler(hidden)
    )


def _roles(role: torch.Tensor, reaches: Iterable[int]) -> _Roles:
    is_global = (role == 2).int()
    slots: Any = is_global.sum(dim=1).max()
    if not _is_tracing():  # to which a tensor is a length too, and an item a constant
        slots = slots.item()
    values, chosen = is_global.topk(slots, dim=1)
    is_filler = values == 0
    return _Roles(role, chosen, is_filler, {reach: _unseen(role, is_filler, reach) for reach in reaches})


def _unseen(role: torch.Tensor, is_filler: torch.Tensor, reach: int) -> torch.Tensor:
    import torch

    token, other = torch.arange(reach)[:, None], torch.arange(3 * reach)  # the token is in the middle one of three blocks
    is_local = (_windows(role[:, None, :, None], reach) == 1).transpose(-1, -2)
    is_near = is_local & (token <= other) & (other <= token + 2 * reach)
    return torch.cat((~is_near, is_filler[:, None, None, None].expand(*is_near.shape[:-1], -1)), dim=-1)


def _attention_forward(self: Any, hidden: torch.Tensor, attention_mask: _Roles, **_: Any) -> tuple[torch.Tensor]:
    """`LongformerSelfAttention.forward`: each token to its neighbours and the global ones, global tokens to all."""
    import torch

    role, chosen, is_filler, unseen = attention_mask
    reach = self.one_sided_attn_window_size
    masked = role == 0
    lowest = torch.finfo(hidden.dtype).min

    def heads(states: torch.Tensor) -> torch.Tensor:  # (batch, heads, tokens, features)
        return states.reshape(*states.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)

    def probabilities(scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(dim=-1, dtype=torch.float32).type_as(scores)

    query, key, value = heads(self.query(hidden)), heads(self.key(hidden)), heads(self.value(hidden))
    scale = math.sqrt(self.head_dim)

    scores = _blocks(query / scale, reach) @ _others(key, chosen, reach).transpose(-1, -2)
    context = probabilities(scores.masked_fill(unseen[reach], lowest)) @ _others(value, chosen, reach)
    context = context.flatten(2, 3)[:, :, : hidden.shape[1]].masked_fill(masked[:, None, :, None], 0.0)

    # Global tokens have separate projections, whose result replaces the above.
    query, key, value = self.query_global(_gather(hidden[:, None], chosen)[:, 0]), self.key_global(hidden), self.value_global(hidden)
    scores = heads(query / scale) @ heads(key).transpose(-1, -2)
    scores = scores.masked_fill(masked[:, None, None, :], lowest)
    wide = probabilities(scores) @ heads(value)
    wide = wide.where(~is_filler[:, None, :, None], _gather(context, chosen))
    context = context.scatter(2, chosen[:, None, :, None].expand_as(wide), wide)
    return (context.transpose(1, 2).flatten(2),)


def _gather(states: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Of (batch, heads, tokens, features), the chosen tokens of each row."""
    return states.gather(2, chosen[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3]))


def _others(states: torch.Tensor, chosen: torch.Tensor, reach: int) -> torch.Tensor:
    """All that a block's tokens may look at, (batch, heads, blocks, others, features): its window, then the chosen tokens."""
    import torch

    windows = _windows(states, reach)
    tokens = _gather(states, chosen)[:, :, None]
    return torch.cat((windows, tokens.expand(-1, -1, windows.shape[2], -1, -1)), dim=3)


def _windows(states: torch.Tensor, size: int) -> torch.Tensor:
    """`_blocks`, each with the block before and the one after it; zeros stand outside."""
    import torch

    blocks = torch.nn.functional.pad(_blocks(states, size), (0, 0, 0, 0, 1, 1))
    return torch.cat([blocks.narrow(2, first, blocks.shape[2] - 2) for first in range(3)], dim=3)


def _blocks(states: torch.Tensor, size: int) -> torch.Tensor:
    """Cut (batch, heads, tokens, features) into (batch, heads, blocks, size, features); zeros fill the last block up."""
    import torch

    tokens = states.shape[2]
    count = (tokens + size - 1) // size
    if not _is_tracing():  # to which it is a tensor
        # Never 1: captured with a short sequence, 1 would be 1 for ever.
        count = torch.sym_max(2, count)  # type: ignore[no-untyped-call]  # torch's own lacks types
    padded = torch.nn.functional.pad(states, (0, 0, 0, count * size - tokens))
    return padded.reshape(*states.shape[:2], count, size, states.shape[3])


def _is_tracing() -> bool:
    """Whether `torch.jit.trace` looks on."""
    import torch

    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # not in torch.jit's __all__


ARCHITECTURE = Architecture(
    name="Longformer",
    model_type="longformer",
    features=("default", "masked-lm", "multiple-choice", "question-answering", "sequence-classification", "token-classification"),
    onnx_config=LongformerOnnxConfig,
)
