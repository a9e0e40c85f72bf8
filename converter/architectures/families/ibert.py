"""I-BERT: integer arithmetic in floats, which transformers computes in ways that no graph can express.

In quantised mode `QuantEmbedding`, `QuantAct`, `QuantLinear`, `IntGELU` and `IntLayerNorm` read `.data`, write into buffers, split scales
with numpy and `decimal`, and divide with `//`. `patched` lets them compute the same numbers, bit for bit, with operations of ONNX and
TorchScript. `IntSoftmax` is captured unchanged, except `floor_ste`, which is `torch.floor` with a custom gradient that no archive can
hold.

The graph computes every scale from weights and calibrated ranges, and a runtime folds this once at load. So every stored tensor is the
checkpoint's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from converter.architectures.architecture import Architecture
from converter.architectures.families.roberta import RobertaOnnxConfig

if TYPE_CHECKING:
    import torch

    Scaled = tuple[torch.Tensor, torch.Tensor]  # numbers, and the scale that they are whole multiples of


class IBertOnnxConfig(RobertaOnnxConfig):
    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        return patched(model)


@contextmanager
def patched(model: torch.nn.Module) -> Iterator[None]:
    """Let the quantised modules of `model` compute by operations that can be captured; other models stay unchanged.

    This relies on private names of `transformers.models.ibert.quant_modules`, and on each `forward`: `QuantEmbedding` (`weight`,
    `weight_bit`), `QuantAct` (`x_min`, `x_max`, `activation_bit`), `QuantLinear` (`weight`, `bias`, `weight_bit`, `bias_bit`,
    `per_channel`), `IntGELU` (`int_erf`, `k`), `IntLayerNorm` (`weight`, `bias`, `shift`), all with `quant_mode`; on the arguments
    `identity` and `identity_scaling_factor` of `QuantAct.forward`, and on `floor_ste`.
    """
    import torch
    from transformers.models.ibert import quant_modules

    def forward(module: Any) -> Callable[..., Scaled]:
        if type(module) is quant_modules.IntLayerNorm:
            # taken here, eagerly: torch's root is not always the nearest float, a runtime's is
            return partial(_layer_norm, module, torch.sqrt(torch.tensor(float(module.weight.numel()))).item())
        return partial(forwards[type(module)], module)

    forwards: dict[type, Callable[..., Scaled]] = {
        quant_modules.QuantEmbedding: _embedding,
        quant_modules.QuantAct: _activation,
        quant_modules.QuantLinear: _linear,
        quant_modules.IntGELU: _gelu,
        quant_modules.IntLayerNorm: _layer_norm,
    }
    modules: list[Any] = [module for module in model.modules() if type(module) in forwards and getattr(module, "quant_mode", False)]
    before = [vars(module).get("forward") for module in modules]
    names: Any = quant_modules
    floor_ste = names.floor_ste
    try:
        if modules:
            names.floor_ste = SimpleNamespace(apply=torch.floor)
        for module in modules:
            module.forward = forward(module)
        yield
    finally:
        names.floor_ste = floor_ste
        for module, own in zip(modules, before, strict=True):
            vars(module).pop("forward", None)
            if own is not None:
                module.forward = own


def _embedding(module: Any, x: torch.Tensor) -> Scaled:
    from torch.nn import functional

    scale = _scale(module.weight_bit, module.weight.min().view(1), module.weight.max().view(1))
    return _quantise(functional.embedding(x, module.weight), module.weight_bit, scale) * scale, scale


def _activation(
    module: Any,
    x: torch.Tensor,
    x_scale: torch.Tensor | None = None,
    identity: torch.Tensor | None = None,
    identity_scaling_factor: torch.Tensor | None = None,
) -> Scaled:
    bits = module.activation_bit
    scale = _scale(bits, module.x_min, module.x_max)
    if x_scale is None:
        return _quantise(x, bits, scale) * scale, scale
    quanta = _requantise(x, x_scale, scale)
    if identity is not None and identity_scaling_factor is not None:
        quanta = _requantise(identity, identity_scaling_factor, scale) + quanta
    limit = 1 << (bits - 1)
    return quanta.float().clamp(-limit, limit - 1) * scale, scale


def _linear(module: Any, x: torch.Tensor, x_scale: torch.Tensor) -> Scaled:
    from torch.nn import functional

    low, high = module.weight.amin(1), module.weight.amax(1)
    if not module.per_channel:
        low, high = low.amin(0, keepdim=True), high.amax(0, keepdim=True)
    weight_scale = _scale(module.weight_bit, low, high)
    scale = weight_scale * x_scale
    weight = _quantise(module.weight, module.weight_bit, weight_scale.view(-1, 1))
    bias = _quantise(module.bias, module.bias_bit, scale)
    # a vector of the one scale: ONNX Runtime takes a scalar out of the sum, and so rounds another way
    return functional.linear(x / x_scale.expand(x.shape[-1]), weight, bias) * scale, scale


def _gelu(module: Any, x: torch.Tensor, scale: torch.Tensor) -> Scaled:
    quanta = x / scale
    sigmoid, sigmoid_scale = module.int_erf(quanta, scale / module.k)
    quanta = quanta * (sigmoid + _one_floordiv(sigmoid_scale))
    scale = scale * sigmoid_scale / 2
    return quanta * scale, scale


def _layer_norm(module: Any, dim_sqrt: float, x: torch.Tensor, scale: torch.Tensor) -> Scaled:
    power = 2**module.shift
    quanta = x / scale
    quanta = quanta - quanta.mean(2, keepdim=True).round()
    variance = ((quanta / power).floor() ** 2).sum(2, keepdim=True)
    factor = (2**31 / (variance.sqrt().floor() * power)).floor()
    unit = dim_sqrt / 2**30
    bias = (module.bias / module.weight / unit).floor()
    scale = unit * module.weight
    return ((quanta * factor / 2).floor() + bias) * scale, scale


def _scale(bits: int, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """`symmetric_linear_quantization_params`, which asks Python for the larger."""
    limit = (1 << (bits - 1)) - 1
    return low.abs().maximum(high.abs()).clamp(min=1e-8) / limit


def _quantise(x: torch.Tensor, bits: int, scale: torch.Tensor) -> torch.Tensor:
    """`SymmetricQuantFunction`, without its zero point of 0."""
    limit = (1 << (bits - 1)) - 1
    return (1.0 / scale * x).round().clamp(-limit, limit - 1)


def _requantise(x: torch.Tensor, scale: torch.Tensor, new_scale: torch.Tensor) -> torch.Tensor:
    """`FixedPointMul` of one operand: multiples of `scale` as multiples of `new_scale`, in doubles."""
    ratio = scale.double() / new_scale.double()
    return ((x / scale).round().double() * _to_31_bits(ratio)).round()


def _to_31_bits(x: torch.Tensor) -> torch.Tensor:
    """`batch_frexp`, put together again: `x` with 31 bits of mantissa, halves rounded away from zero.

    The power of two comes by Rump's `ufp`; the constants are powers of two, since the exporter writes others in float32.
    """
    spread = x * 2.0**52 + x
    unit = (spread - (spread - spread * 2.0**-53)) * 2.0**-30  # 2**(floor(log2(|x|)) - 30) with the sign of x, exactly
    return (x / unit + 0.5).floor() * unit


def _one_floordiv(x: torch.Tensor) -> torch.Tensor:
    """`1.0 // x` for x < 0, as torch computes it; `floor(1 / x)` is another number where 1 / x is rounded to a whole one."""
    rest = x.new_ones(1).fmod(x)
    quotient = (1 - rest) / x - (rest != 0).to(x.dtype)
    whole = quotient.floor()
    return whole + (quotient - whole > 0.5).to(x.dtype)


ARCHITECTURE = Architecture(
    name="I-BERT",
    model_type="ibert",
    features=("default", "masked-lm", "sequence-classification", "multiple-choice", "token-classification", "question-answering"),
    onnx_config=IBertOnnxConfig,
)
