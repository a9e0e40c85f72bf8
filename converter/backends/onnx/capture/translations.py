"""Operators that we translate ourselves, where torch's own form is slower in ONNX Runtime or wrong.

Relied on in onnxscript: `torch_lib.ops.nn.aten_scaled_dot_product_attention`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention


def linear(tokens: Any, weight: Any, bias: Any = None) -> Any:
    """A linear layer as one Gemm, which takes the weight as the checkpoint has it.

    torch's own is a MatMul with the transposed weight, and a session has to make that: opening BERT-base takes 0.31 instead of 0.55 CPU s
    and 270 instead of 350 MB (`make bench`), and a call 2 to 7% less.
    """
    if len(weight.shape) == 1:  # a weight for each feature, and one number comes of them
        return op.MatMul(tokens, weight) if bias is None else op.Add(op.MatMul(tokens, weight), bias)
    if weight.producer() is not None:  # it is computed, so that there is nothing to be spared; I-BERT's integers are summed in this order
        product = op.MatMul(tokens, op.Transpose(weight, perm=[1, 0]))
        return product if bias is None else op.Add(product, bias)
    features, width = weight.shape
    constant: Any = op.Constant
    if len(tokens.shape) == 2:
        return op.Gemm(tokens, weight, bias, transB=1)
    shape = op.Concat(op.Shape(tokens, start=0, end=-1), constant(value_ints=[features]), axis=0)
    rows = op.Reshape(tokens, constant(value_ints=[-1, width]))
    return op.Reshape(op.Gemm(rows, weight, bias, transB=1), shape, allowzero=1)


def product(tokens: Any, weight: Any, bias: Any = None) -> Any:
    """A linear layer as torch translates it, for the fusions of onnxscript and transformers."""
    made = op.MatMul(tokens, weight if len(weight.shape) == 1 else op.Transpose(weight, perm=[1, 0]))
    return made if bias is None else op.Add(made, bias)


def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, *others: Any, **settings: Any) -> Any:
    """Scaled dot product attention that gives zeros at a position that may see no other, as PyTorch does; torch's own gives NaN."""
    made: Any = aten_scaled_dot_product_attention(query, key, value, attn_mask, *others, **settings)
    if attn_mask is None or attn_mask.dtype != ir.DataType.BOOL:
        return made
    constant: Any = op.Constant
    numbers: Any = op.Cast(attn_mask, to=ir.DataType.INT32)
    most: Any = op.ReduceMax(numbers, constant(value_ints=[-1]), keepdims=1)
    sees: Any = op.Cast(most, to=ir.DataType.BOOL)
    return op.Where(sees, made, op.CastLike(constant(value_float=0.0), made))


_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
TRANSLATIONS: Mapping[Any, Callable[..., Any]] = {torch.ops.aten.linear.default: linear, _ATTENTION: attention}
PRODUCTS: Mapping[Any, Callable[..., Any]] = {torch.ops.aten.linear.default: product, _ATTENTION: attention}
"""The translations for fused graphs of others: listed, because torch's table keeps the entries of an earlier capture."""
