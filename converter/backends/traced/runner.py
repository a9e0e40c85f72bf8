"""Load and run an archive in a process that can import neither transformers nor this package.

It is started as a file, reads requests from standard input and answers on standard output; `session.py` is the other end. A message
is a JSON object and named tensors as safetensors, each preceded by its length in 8 bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import IO, Any

import torch
from safetensors.torch import load, save

SIGNATURE = "signature.json"
"""The archive's extra file that says how it is called."""

_ABSENT = ("transformers", "converter")

Message = tuple[dict[str, Any], Mapping[str, torch.Tensor]]


def send(stream: IO[bytes], said: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write one message. Raises BrokenPipeError where nobody reads."""
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in (tensors or {}).items()}  # safetensors takes no views
    for part in (json.dumps(said).encode(), save(whole)):
        stream.write(len(part).to_bytes(8, "little"))
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Read one message. Raises EOFError at the end of the stream."""
    said, tensors = _read(stream), _read(stream)
    return json.loads(said), load(tensors)


def _read(stream: IO[bytes]) -> bytes:
    length = stream.read(8)
    if len(length) < 8:
        raise EOFError("the stream has ended")
    part = stream.read(int.from_bytes(length, "little"))
    if len(part) < int.from_bytes(length, "little"):
        raise EOFError("the stream has ended in the middle of a message")
    return part


def attributes_in_use(module: torch.jit.ScriptModule) -> dict[str, torch.Tensor]:
    """The tensors that the code of `module` takes from its attributes, by their dotted names."""
    return {name: tensor for name, tensor in _tensors_of_code(module) if not name.startswith(_CONSTANT)}


_CONSTANT = "constant."


def _tensors_of_code(module: torch.jit.ScriptModule) -> Iterator[tuple[str, torch.Tensor]]:
    graph = module.inlined_graph
    names = {next(graph.inputs()).debugName(): ""}
    for node in _nodes(graph):
        if node.kind() == "prim::Constant" and node.outputsSize() == 1 and "value" in node.attributeNames() and node.kindOf("value") == "t":
            yield f"{_CONSTANT}{node.output().debugName()}", node.t("value")
        elif node.kind() == "prim::GetAttr":
            owner = names[node.input().debugName()]
            name = f"{owner}.{node.s('name')}" if owner else node.s("name")
            names[node.output().debugName()] = name
            if isinstance(node.output().type(), torch.TensorType):
                yield name, attrgetter(name)(module)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def tensors_of(module: torch.jit.ScriptModule) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the archive, by the names of parameters and buffers and those that the code has."""
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    yield from {**dict(_tensors_of_code(module)), **dict(named)}.items()


def integers_of(module: torch.jit.ScriptModule) -> set[int]:
    """The whole numbers that the code of `module` has for constants, alone or in small tensors."""
    numbers: set[int] = set()
    for node in _nodes(module.inlined_graph):
        if node.kind() != "prim::Constant" or "value" not in node.attributeNames():
            continue
        kind = node.kindOf("value")
        if kind in ("i", "f"):
            values = [getattr(node, kind)("value")]
        elif kind == "t" and node.t("value").numel() <= _FEW:
            values = node.t("value").reshape(-1).tolist()
        else:
            continue
        numbers.update(int(value) for value in values if value == value and abs(value) < 2**31 and value == int(value))
    return numbers


_FEW = 64
"""Elements of a constant tensor that names numbers; a larger one is a table."""


def attributes_set(module: torch.jit.ScriptModule) -> list[str]:
    """The attributes that the code of `module` writes to, by the names that it has for them."""
    return [node.s("name") for node in _nodes(module.inlined_graph) if node.kind() == "prim::SetAttr"]


class _State:
    """The state of an archive that runs may change: copies of buffers and other tensors, and attributes that its code sets.

    Parameters are too large to copy; they are compared with the checkpoint's after all runs.
    """

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module
        self._before = {name: tensor.clone() for name, tensor in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        parameters = {tensor.data_ptr() for tensor in self._module.parameters()}
        yield from ((name, tensor) for name, tensor in tensors_of(self._module) if tensor.data_ptr() not in parameters)

    def changed(self) -> list[str]:
        """The names of changed tensors, bit for bit, and of attributes that the code sets."""
        now = dict(self._tensors())
        moved = [name for name, before in self._before.items() if name not in now or not _is_same(before, now[name])]
        return list(dict.fromkeys((*moved, *attributes_set(self._module))))


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    flat = [tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
    return torch.equal(*flat)


def _run(module: torch.jit.ScriptModule, order: list[str], inputs: Mapping[str, torch.Tensor]) -> Message:
    try:
        with torch.no_grad():
            results = module(*(inputs[name] for name in order))
    except Exception as error:  # whatever the code of the archive raises
        return {"error": _message(error)}, {}
    if not isinstance(results, tuple) or not all(isinstance(result, torch.Tensor) for result in results):
        return {"error": f"it gives {type(results).__name__} and no tuple of tensors"}, {}
    return {}, {str(place): result for place, result in enumerate(results)}


def _message(error: Exception) -> str:
    """What torch says, in a line: of an error inside an archive the last, as the others are the way there; of others the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[-1] if "Traceback of TorchScript" in str(error) else lines[0]).removeprefix("builtins.")


def main() -> None:
    """Serve the archive argv[1] with argv[2] threads, with the modules that follow imported, until the requests end."""
    warnings.simplefilter("ignore")  # nobody would read them
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints belongs to no answer
    torch.set_num_threads(int(sys.argv[2]))
    extra: dict[str, Any] = {SIGNATURE: b""}
    try:
        for name in sys.argv[3:]:
            importlib.import_module(name)
        for name in _ABSENT:
            sys.modules[name] = None  # type: ignore[assignment]  # so that importing it fails
        module = torch.jit.load(sys.argv[1], map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]  # torch's own lacks types
        order = [argument.name for argument in module.forward.schema.arguments[1:]]
    except Exception as error:  # of a file that may be anything
        send(answers, {"error": _message(error)})
        return
    state = _State(module)
    send(answers, {"signature": extra[SIGNATURE].decode(errors="replace"), "inputs": order})
    try:
        while True:
            for answer in _answers(module, state, *receive(sys.stdin.buffer)):
                send(answers, *answer)
    except EOFError:
        return


def _answers(
    module: torch.jit.ScriptModule, state: _State, said: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]
) -> Iterator[Message]:
    """The messages that answer a request."""
    if said["do"] == "run":
        yield _run(module, said["order"], inputs)
    elif said["do"] == "time":
        started = time.perf_counter()
        answer, _ = _run(module, said["order"], inputs)
        yield {**answer, "seconds": time.perf_counter() - started}, {}
    elif said["do"] == "integers":
        yield {"integers": sorted(integers_of(module))}, {}
    elif said["do"] == "changes":
        yield {"changed": state.changed()}, {}
    else:
        used = dict(_tensors_of_code(module))
        for name, tensor in tensors_of(module):
            storage = [tensor.untyped_storage().data_ptr(), tensor.storage_offset()]
            yield {"name": name, "storage": storage, "used": name in used}, {"tensor": tensor}
        yield {"name": None}, {}


if __name__ == "__main__":
    main()
