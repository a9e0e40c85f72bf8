"""Passes over a captured graph, one file each: `onnx_ir.passes.InPlacePass`, run by a `PassManager`."""
