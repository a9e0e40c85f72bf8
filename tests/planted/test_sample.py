"""A sample of the planted faults, of each kind; `make planted-faults` plants all of them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.planted.bases import BASES, Workshop
from tests.planted.fault import KINDS, Fault
from tests.planted.faults import FAULTS
from tests.planted.harness import Result, judge, report
from tests.planted.witness import Harm
from tests.support.archive_processes import forked_archives  # noqa: F401 - a fixture for every test here

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

SAMPLE = {
    "one element of a matrix": "bert.encoder.layer.1.output.dense.weight",
    "the embedding of one token": "cls.predictions.decoder.weight",
    "a changed weight under another name": "hidden",
    "a changed copy of a weight in a node": "do not come from the checkpoint",
    "an embedding that was untied and changed": "do not come from the checkpoint",
    "a square matrix taken for its transpose": "differs by",
    "an epsilon of 1e-3 for 1e-12": "differs by",
    "an input by another name": "inputs are input_ids, input_mask, token_type_ids instead of",
    "axes that bear each other's names": "axis 1 of output 'logits' is 'batch' instead of 'sequence'",
    "a fixed batch": "axis 0 of input 'input_ids' is 2 instead of 'batch'",
    "a width that is declared and not so": "is declared as ('batch', 'sequence', 7)",
    "int32 for int64": "input 'input_ids' is int32 instead of int64",
    "token types that are ignored": "token_type_ids",
    "a mask that is ignored from position 33 on": "differs by",
    "positions counted by another padding token": "differs by",
    "a mask of the past that is ignored": "differs by",
    "values of the layers that come out exchanged": "differs by",
    "key and value that come out exchanged": "differs by",
    "key and value of a past exchanged": "differs by",
    "keys of two layers exchanged": "differs by",
    "the past's axis by the name of the present's": "axis 2 of input 'past_key_values.0.key'",
    "positions off by one behind a past, GPT-2": "differs by",
    "the first row's mask for all": "differs by",
    "w8: scales of eight columns doubled": "lost more than lossy allows",
    "a row of a matrix, torchscript": "bert.encoder.layer.1.output.dense.weight",
    "the embedding of one token, in an archive without names, torchscript": "do not come from the checkpoint",
    "a mask that is ignored, torchscript": "differs by",
    "the mean of the call before, torchscript": "another each time",
    "inputs in another order, torchscript": "signature.json says",
    "outputs that bear each other's names, torchscript": "outputs are end_logits, start_logits instead of",
    "an output that the signature forgets, torchscript": "gives 2 outputs, and its signature.json names 1",
    "a length that nothing guards, torchscript": "does not refuse another length",
    "a length of an axis that there is not, torchscript": "which is not an axis of its inputs",
    "a length in place of a constant, torchscript": "differs by",
    "float64 for float32, torchscript": "float64",
    "no tuple, torchscript": "and no tuple of tensors",
    "a changed tokenizer whose record is the old one": "its sha256 is not the record's",
}
"""Faults by name, and what validation says of each."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("planted"), Path(os.environ["CONVERTER_CACHE"]))


def _named(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_fault_is_proven_by_its_witness_and_caught(name: str, workshop: Workshop) -> None:
    result = judge(workshop, _named(name))
    assert result.harm.done, result.harm.message
    assert any(SAMPLE[name] in problem for problem in result.problems), result.problems


def test_the_sample_has_faults_of_every_kind() -> None:
    assert {_named(name).kind for name in SAMPLE} == {*KINDS}


def test_faults_have_names_of_their_own_and_bases_that_there_are() -> None:
    assert [name for name, count in Counter(fault.name for fault in FAULTS).items() if count > 1] == []
    assert {fault.base for fault in FAULTS} <= {*BASES}


def test_enough_faults_of_enough_architectures_are_planted() -> None:
    assert len(FAULTS) >= 150
    assert len({BASES[fault.base].model_type for fault in FAULTS}) >= 20
    assert {BASES[fault.base].backend for fault in FAULTS} == {"onnx", "torchscript", "neuron"}


def test_a_fault_that_does_no_harm_is_told_as_not_proven(workshop: Workshop) -> None:
    fault = _named("the embedding of one token")
    harmless = Fault(name="nothing", kind="weights", base="bert", plant=lambda folder: None, witness=fault.witness)
    result = judge(workshop, harmless)
    assert not result.harm.done and not result.caught
    assert "NOT PROVEN" in str(result)


def test_a_fault_whose_good_artifact_is_refused_is_told_as_not_proven(workshop: Workshop) -> None:
    fault = replace(_named("the embedding of one token"), asked={"atol": 1e-12})
    result = judge(workshop, fault)
    assert not result.harm.done and "the good artifact is refused: logits differs by" in result.harm.message


def test_the_report_tells_missed_faults_from_those_that_are_impossible_to_see() -> None:
    fault = _named("the embedding of one token")
    impossible = next(fault for fault in FAULTS if fault.impossible)
    text = report([Result(fault, Harm(True, ""), ()), Result(fault, Harm(True, ""), ("differs",)), Result(impossible, Harm(True, ""), ())])
    assert "| weights | 2 | 1 | 1 | 0 |" in text
    assert f"| {impossible.kind} | 1 | 0 | 0 | 1 |" in text
    assert f"- {fault.name} (bert)" in text and f"{impossible.name} ({impossible.base}): {impossible.impossible}" in text
