"""Run passes over a graph in order, log each, and name the one that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import onnx_ir as ir

from converter.backends.onnx.intermediates import Intermediates
from converter.core.errors import ConversionError
from converter.core.reason import reason

_logger = logging.getLogger(__name__)


class PassManager(ir.passes.Sequential):
    """A sequence of passes that logs the CPU time of each, at level DEBUG.

    `ir.passes.PassManager` logs the address of a pass, not its name.

    Args:
        passes: the passes, in their order.
        intermediates: receives the graph after each pass.
    """

    def __init__(self, passes: Sequence[ir.passes.PassBase], intermediates: Intermediates | None = None) -> None:
        super().__init__(*passes)
        self._intermediates = intermediates or Intermediates()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Run every pass once. Raises ConversionError with the name of the pass that failed."""
        modified = False
        for graph_pass in self.passes:
            name, start = type(graph_pass).__name__, time.process_time()
            try:
                result = graph_pass(model)
            except Exception as error:  # a pass of a library may raise anything
                raise ConversionError(
                    f"the graph pass {name} failed: {reason(error)}", "report this, with the output of --debug"
                ) from error
            change = "modified the graph" if result.modified else "changed nothing"
            _logger.debug("%s %s (%.2f CPU s)", name, change, time.process_time() - start)
            model, modified = result.model, modified or result.modified
            self._intermediates.write(name, model)
        return ir.passes.PassResult(model, modified)
