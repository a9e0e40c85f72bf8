"""The pass manager logs each pass, and names the one that failed."""

from __future__ import annotations

import logging

import onnx_ir as ir
import pytest

from converter.backends.onnx.passes.manager import PassManager
from converter.core.errors import ConversionError


class RenamePass(ir.passes.InPlacePass):
    """Renames the graph, once."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = model.graph.name != "renamed"
        model.graph.name = "renamed"
        return ir.passes.PassResult(model, modified)


class FailingPass(ir.passes.InPlacePass):
    """Fails on every graph."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        raise ValueError(f"no rule for {model.graph.name}")


def model() -> ir.Model:
    return ir.Model(ir.Graph([], [], nodes=[], name="before"), ir_version=10)


def test_each_pass_is_logged_with_what_it_did(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "converter")
    result = PassManager([RenamePass(), RenamePass()])(model())
    assert (result.modified, result.model.graph.name) == (True, "renamed")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("RenamePass modified the graph (")
    assert second.startswith("RenamePass changed nothing (")


def test_a_failing_pass_is_named_with_its_reason() -> None:
    with pytest.raises(ConversionError, match="the graph pass FailingPass failed: ValueError: no rule for renamed") as caught:
        PassManager([RenamePass(), FailingPass()])(model())
    assert "--debug" in caught.value.hint
