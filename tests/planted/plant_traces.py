"""TorchScript and Neuron: archives that keep something, that were traced at a value, or whose weights are others."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.planted.bases import BASES
from tests.planted.fault import Fault, Plant
from tests.planted.witness import Call, Interface, Witness

Signature = dict[str, Any]
Operation = Callable[[Any, Signature], tuple[Any, Signature]]
"""Plants a fault in a loaded archive and its signature."""

FILES = {"torchscript": "model.pt", "neuron": "model.neuron"}


def on_archive(base: str, operation: Operation) -> Plant:
    def plant(folder: Path) -> None:
        backend = BASES[base].backend
        path = folder / backend / FILES[backend]
        extra = {"signature.json": b""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(path, _extra_files=extra)  # type: ignore[no-untyped-call]
            planted, signature = operation(module, json.loads(extra["signature.json"]))
            torch.jit.save(planted, path, _extra_files={"signature.json": json.dumps(signature)})

    return plant


def around(code: str, **buffers: torch.Tensor) -> Operation:
    """Another module around the one in the archive.

    `code` are lines that may change the inputs by name, `inner` is the call with them, and `result` its result.
    """

    def operate(module: Any, signature: Signature) -> tuple[Any, Signature]:
        names = [spec["name"] for spec in signature["inputs"]]
        holder = torch.nn.Module()
        holder.inner = module
        for name, tensor in buffers.items():
            holder.register_buffer(name, tensor.clone())
        outer = torch.jit.script(holder)
        count = len(signature["outputs"])
        lines = "\n    ".join(code.replace("CALL", f"self.inner({', '.join(names)})").splitlines())
        results = ", ".join(["result", *(f"other[{index}]" for index in range(1, count))])
        source = f"def forward(self, {', '.join(f'{name}' for name in names)}):\n    {lines}\n    return ({results},)\n"
        outer.define(source)
        return outer.eval(), signature

    return operate


_CALL = "other = CALL\nresult = other[0]\n"


def after(code: str, **buffers: torch.Tensor) -> Operation:
    """Change the archive's result."""
    return around(_CALL + code, **buffers)


def before(code: str) -> Operation:
    """Do something with the inputs."""
    return around(code + "\n" + _CALL.rstrip())


def change_weight(name: str, by: float = 0.1) -> Operation:
    def operate(module: Any, signature: Signature) -> tuple[Any, Signature]:
        parameter = dict(module.named_parameters())[f"model.{name}"]
        with torch.no_grad():
            parameter[3, ::2] += by
        return module, signature

    return operate


def change_weight_and_freeze(name: str) -> Operation:
    """A changed weight in an archive without names."""

    def operate(module: Any, signature: Signature) -> tuple[Any, Signature]:
        changed, signature = change_weight(name)(module, signature)
        return torch.jit.freeze(changed.eval()), signature

    return operate


def in_bfloat16(name: str) -> Operation:
    """A weight that was rounded on the way."""

    def operate(module: Any, signature: Signature) -> tuple[Any, Signature]:
        parameter = dict(module.named_parameters())[f"model.{name}"]
        with torch.no_grad():
            parameter.copy_(parameter.bfloat16().float())
        return module, signature

    return operate


def reverse_names(field: str) -> Operation:
    return lambda module, signature: (module, {**signature, field: signature[field][::-1]})


def forget_an_output(module: Any, signature: Signature) -> tuple[Any, Signature]:
    return module, {**signature, "outputs": signature["outputs"][:1]}


def claim(**values: Any) -> Operation:
    """A signature that says more than the archive keeps."""
    return lambda module, signature: (module, {**signature, **values})


def alone(module: Any, signature: Signature) -> tuple[Any, Signature]:
    """A tensor and no tuple of tensors."""
    holder = torch.nn.Module()
    holder.inner = module
    outer = torch.jit.script(holder)
    names = ", ".join(spec["name"] for spec in signature["inputs"])
    outer.define(f"def forward(self, {names}):\n    return self.inner({names})[0]\n")
    return outer.eval(), signature


def _fault(name: str, base: str, operation: Operation, witness: Witness | None = None, impossible: str = "") -> Fault:
    return Fault(
        name=f"{name}, {BASES[base].backend}",
        kind="TorchScript and Neuron",
        base=base,
        plant=on_archive(base, operation),
        witness=witness or Call(batch=3, sequence=9),
        impossible=impossible,
    )


_BERT, _LM, _GPT2, _VIT, _NEURON = "trace-bert", "trace-bert-lm", "trace-gpt2", "trace-vit", "neuron-bert"
_ROW = "bert.encoder.layer.1.output.dense.weight"

FAULTS = (
    # state between calls
    _fault(
        "the mean of the call before",
        _BERT,
        after("result = result + 0.1 * self.kept\nself.kept.copy_(other[0].mean())", kept=torch.zeros(())),
        Call(before=Call(batch=2)),
    ),
    _fault(
        "another answer after the first long text",
        _BERT,
        after("if input_ids.shape[1] > 30:\n    self.long.fill_(1.0)\nresult = result * (1 + 0.1 * self.long)", long=torch.zeros(())),
        Call(before=Call(batch=1, sequence=36)),
    ),
    _fault(
        "another answer from the third call on",
        _GPT2,
        after("self.calls.add_(1)\nresult = result * (1 + 0.1 * (self.calls > 2).float())", calls=torch.zeros(())),
        Call(before=Call(before=Call())),
    ),
    _fault(
        "a running mean that is updated, and used once it is large",
        _VIT,
        after(
            "self.mean.mul_(0.9).add_(0.1 * result.abs().max())\nresult = result + 0.1 * (self.mean > 0.2).float()", mean=torch.zeros(())
        ),
        Call(before=Call(batch=4, seed=3, before=Call(batch=4, seed=4, before=Call(batch=4, seed=5)))),
    ),
    _fault(
        "another answer from the 300th call on",
        _BERT,
        after("self.calls.add_(1)\nresult = result * (1 + 0.1 * (self.calls > 300).float())", calls=torch.zeros(())),
        Call(before=Call(), times=300),
    ),
    _fault(
        "another answer once pixels were large",
        _VIT,
        after(
            "if pixel_values.abs().max() > 200:\n    self.large.fill_(1.0)\nresult = result * (1 + 0.1 * self.large)", large=torch.zeros(())
        ),
        Call(before=Call(scale=1000)),
        impossible="pixels beyond two hundred standard deviations are of no processor, and until then no buffer changes",
    ),
    # a traced value
    _fault("a batch of more than 6", _BERT, after("if input_ids.shape[0] > 6:\n    result = result * 1.05"), Call(batch=7)),
    _fault("a batch of more than 6 images", _VIT, after("if pixel_values.shape[0] > 6:\n    result = result * 1.05"), Call(batch=8)),
    _fault("a batch of one", _LM, after("if input_ids.shape[0] == 1:\n    result = result * 1.05"), Call(batch=1)),
    _fault(
        "an odd batch",
        _GPT2,
        after("if input_ids.shape[0] % 2 == 1 and input_ids.shape[0] > 1:\n    result = result * 1.05"),
        Call(batch=3),
    ),
    _fault("exactly two tokens", _LM, after("if input_ids.shape[1] == 2:\n    result = result * 1.05"), Call(sequence=2)),
    _fault(
        "more than 33 tokens that are not the longest",
        _LM,
        after("if input_ids.shape[1] > 33 and input_ids.shape[1] < 40:\n    result = result * 1.05"),
        Call(sequence=37),
    ),
    _fault(
        "several rows of more than 33 tokens",
        _GPT2,
        after("if input_ids.shape[1] > 33 and input_ids.shape[0] > 1:\n    result = result * 1.05"),
        Call(sequence=37),
    ),
    _fault("the longest text", _GPT2, after("if input_ids.shape[1] == 40:\n    result = result * 1.05"), Call(sequence=40)),
    _fault(
        "a mask that is ignored for more than 20 tokens",
        _BERT,
        before("if input_ids.shape[1] > 20:\n    attention_mask = torch.ones_like(attention_mask)"),
        Call(batch=4, sequence=24, padding="right"),
    ),
    _fault(
        "a mask that is ignored",
        _BERT,
        before("attention_mask = torch.ones_like(attention_mask)"),
        Call(batch=4, sequence=12, padding="right"),
    ),
    _fault(
        "a mask of the first row for all",
        _LM,
        before("attention_mask = attention_mask[:1].expand_as(attention_mask)"),
        Call(batch=4, padding="right"),
    ),
    _fault("token types that are ignored", _BERT, before("token_type_ids = torch.zeros_like(token_type_ids)")),
    _fault(
        "a token taken for another",
        _LM,
        before("input_ids = torch.where(input_ids == 103, torch.full_like(input_ids, 100), input_ids)"),
        Call(token=103),
    ),
    _fault("images clipped at 6", _VIT, before("pixel_values = pixel_values.clamp(-6.0, 6.0)"), Call(scale=10)),
    # weights and dtypes
    _fault("a row of a matrix", _BERT, change_weight(_ROW)),
    _fault("the embedding of one token", _BERT, change_weight("bert.embeddings.word_embeddings.weight"), Call(token=3)),
    _fault(
        "the embedding of one token, in an archive without names",
        _BERT,
        change_weight_and_freeze("bert.embeddings.word_embeddings.weight"),
        Call(token=3),
    ),
    _fault("a matrix rounded to bfloat16", _BERT, in_bfloat16(_ROW)),
    _fault("float64 for float32", _BERT, after("result = result.double()")),
    _fault("dropout that is left on", _GPT2, after("result = torch.nn.functional.dropout(result, 0.1, True)")),
    _fault("inputs in another order", _BERT, reverse_names("inputs"), Interface()),
    _fault("outputs that bear each other's names", _BERT, reverse_names("outputs")),
    _fault("an output that the signature forgets", _BERT, forget_an_output),
    _fault("a length that nothing guards", _BERT, claim(fixed={"sequence": 16}, padding={"input_ids": 0}), Interface()),
    _fault("a length of an axis that there is not", _BERT, claim(fixed={"time": 16}), Interface()),
    _fault("a length in place of a constant", _BERT, after("result = result * (1 + (input_ids.shape[1] - 8) * 1e-2)")),
    _fault("no tuple", _BERT, alone),
    # Neuron, by a double of its SDK
    _fault(
        "a mask that is ignored",
        _NEURON,
        before("attention_mask = torch.ones_like(attention_mask)"),
        Call(batch=2, sequence=8, padding="right"),
    ),
    _fault("token types that are ignored", _NEURON, before("token_type_ids = torch.zeros_like(token_type_ids)"), Call(batch=2, sequence=8)),
    _fault(
        "another answer from the third call on",
        _NEURON,
        after("self.calls.add_(1)\nresult = result * (1 + 0.1 * (self.calls > 2).float())", calls=torch.zeros(())),
        Call(before=Call(before=Call())),
    ),
    _fault(
        "the mask token taken for unknown",
        _NEURON,
        before("input_ids = torch.where(input_ids == 103, torch.full_like(input_ids, 100), input_ids)"),
        Call(batch=2, sequence=8, token=103),
    ),
    _fault("a row that mixes with the others", _NEURON, after("result = result + 0.05 * result.mean(dim=0)"), Call(batch=2, sequence=8)),
)
