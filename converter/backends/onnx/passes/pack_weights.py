"""Replace computations on weights alone by a packed weight, whose name says how it is made (`files/packed_weights.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import onnx_ir as ir
import torch

from converter.backends.onnx.files.packed_weights import PackedWeight


class PackWeightsPass(ir.passes.InPlacePass):
    """Replace each Transpose or Concat of weights by one unbound value named after its recipe.

    Args:
        untied: the names of the weights that share their memory with no other. Packing a tied weight would store it twice.
    """

    def __init__(self, untied: Collection[str]) -> None:
        self.untied = untied

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Pack the weights of `model`. Leaves the replaced nodes behind, unused."""
        modified = False
        for node in reversed(list(model.graph)):
            packed_weight = self._packed_weight(node)
            if packed_weight is not None:
                value = ir.Value(name=packed_weight.name, shape=node.outputs[0].shape, type=node.outputs[0].type)
                ir.convenience.replace_all_uses_with(node.outputs[0], value)
                modified = True
        return ir.passes.PassResult(model, modified)

    def _packed_weight(self, node: ir.Node) -> PackedWeight | None:
        """The weight that a node makes of weights that nothing else reads."""
        if node.op_type not in ("Transpose", "Concat"):
            return None  # before the inputs are visited: a Split in each of n layers gives 3^n ways up
        parts = [self._part(value) for value in node.inputs]
        if node.op_type == "Transpose" and list(node.attributes.get_ints("perm", [1, 0])) == [1, 0]:
            part = parts[0]
            return PackedWeight(part.of, transposed=not part.transposed) if part is not None else None
        known = [part for part in parts if part is not None]
        transposed = {part.transposed for part in known}
        if len(known) < len(parts) or transposed != {bool(node.attributes.get_int("axis"))}:
            return None
        return PackedWeight(tuple(name for part in known for name in part.of), transposed.pop())

    def _part(self, value: ir.Value | None) -> PackedWeight | None:
        if value is None or len(value.uses()) != 1:
            return None
        producer = value.producer()
        if producer is not None:
            return self._packed_weight(producer)
        return PackedWeight((value.name,)) if value.name in self.untied and value.name else None


def untied_names(weights: Mapping[str, torch.Tensor]) -> frozenset[str]:
    """The names of the tensors that share their memory with no other.

    Args:
        weights: a model's tensors by name.
    """
    sharing = Counter(tensor.data_ptr() for tensor in weights.values())
    return frozenset(name for name, tensor in weights.items() if sharing[tensor.data_ptr()] == 1)
