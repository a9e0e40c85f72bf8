"""Neuron from checkpoint to folder, with doubles of the SDKs: our code is tested, and of the SDK only the call."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.utils import import_utils

from converter.artifacts.record_file import read_record
from converter.backends import BACKENDS
from converter.cli.convert import _call
from converter.core.records import Job, Outcome, Source
from converter.padding import choose, cut, pad
from converter.pipeline import run_job
from tests.support.by_hand import reference
from tests.support.checkpoints import save_tiny, save_tokenizer
from tests.support.neuron_doubles import Calls, Doubles

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")

Convert = Callable[..., Outcome]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tiny = Callable[..., Path]

SHAPE: dict[str, Any] = {"backend": "neuron", "target": "inf2", "batch_size": 2, "sequence_length": 8}


@pytest.fixture
def calls(doubles: Doubles) -> Calls:
    """torch-neuronx 2.9's double, on a machine with a device's double."""
    doubles.device(True)
    return doubles.install("torch_neuronx-2.9")


def _names(calls: Calls) -> list[str]:
    return [call["name"] for call in calls()]


def _texts(batch: int, length: int) -> dict[str, Any]:
    tokens = np.random.default_rng(3).integers(3, 119, (batch, length))
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}


# --- compiled files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "double", "compiler", "version"),
    [
        ("inf1", "torch_neuron-1.13", "neuron-cc", "1.24.0.0"),
        ("inf2", "torch_neuronx-2.9", "neuronx-cc", "2.26.6360.0"),
        ("trn1", "torch_neuronx-1.13", "neuronx-cc", "2.4.0.21"),
    ],
)
def test_each_sdk_that_has_a_trace_is_called_once_with_the_model_at_its_shape(
    target: str, double: str, compiler: str, version: str, doubles: Doubles, tiny: Tiny, convert: Convert
) -> None:
    doubles.device(True)
    calls = doubles.install(double)
    outcome = convert(tiny("bert", "AutoModelForTokenClassification"), **{**SHAPE, "target": target}, feature="token-classification")
    assert outcome.status == "converted", outcome.failure
    (call,) = calls()
    assert call["model"] == "ExportWrapper"
    assert call["example_inputs"] == [["torch.int64", 2, 8]] * 3
    assert not Path(call["compiler_workdir"]).exists()  # nothing of the compiler's is left
    block = json.loads((Path(outcome.destination) / "config.json").read_text())["neuron"]
    assert (block["compiler_type"], block["compiler_version"]) == (compiler, version)
    assert outcome.artifact
    assert outcome.artifact.signature.fixed == {"batch": 2, "sequence": 8}
    assert outcome.artifact.tried == {"batch": (1, 2), "sequence": (1, 8)}
    assert {file.path for file in outcome.artifact.files} == {"model.neuron", "config.json"}
    assert outcome.artifact.versions[compiler] == version
    assert "on a Neuron device" in outcome.validation.runtime


def test_several_lengths_are_buckets_and_each_is_validated(calls: Calls, tiny: Tiny, convert: Convert, command: Run) -> None:
    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    outcome = convert(checkpoint, **{**SHAPE, "sequence_length": "24,8,16"}, feature="masked-lm")
    assert outcome.artifact and outcome.verdict, outcome.failure
    folder, signature = Path(outcome.destination), outcome.artifact.signature
    assert [(bucket.file, bucket.fixed["sequence"]) for bucket in signature.buckets] == [
        ("buckets/8/model.neuron", 8),
        ("buckets/16/model.neuron", 16),
        ("model.neuron", 24),
    ]
    assert [call["example_inputs"][0] for call in calls()] == [["torch.int64", 2, length] for length in (8, 16, 24)]
    whole = {case.name: case.axes["sequence"] for case in outcome.verdict.cases if case.name.startswith("the whole")}
    assert whole == {"the whole of bucket 1": 8, "the whole of bucket 2": 16, "the whole of bucket 3": 24}
    sentence = "it takes batch 2, sequence 8 or batch 2, sequence 16 or batch 2, sequence 24 alone, pad to that"
    assert sentence in _call(outcome.artifact)

    model = transformers.AutoModelForMaskedLM.from_pretrained(checkpoint)
    loaded = {bucket.file: torch.jit.load(folder / bucket.file) for bucket in signature.buckets}
    for batch, length, file in ((1, 3, "buckets/8/"), (2, 8, "buckets/8/"), (2, 9, "buckets/16/"), (1, 17, ""), (2, 24, "")):
        inputs = _texts(batch, length)
        bucket = choose(inputs, signature)
        assert bucket.file == f"{file}model.neuron"
        with torch.no_grad():
            (logits,) = loaded[bucket.file](*(torch.from_numpy(array) for array in pad(inputs, signature).values()))
        output = cut({"logits": logits}, inputs, signature)["logits"]
        np.testing.assert_allclose(output, reference(model, inputs, ["logits"])["logits"], rtol=1e-5, atol=1e-5)
    result = command("validate", folder / "buckets/16/model.neuron", "--reference", checkpoint, "--feature=masked-lm")
    assert result.returncode == 0, result.stderr

    # optimum-neuron's clients load a folder with one archive, and read its compile settings
    for length, place in ((8, folder / "buckets/8"), (16, folder / "buckets/16"), (24, folder)):
        assert [path.name for path in place.glob("*.neuron")] == ["model.neuron"]
        assert json.loads((place / "config.json").read_text())["neuron"]["static_sequence_length"] == length

    # with fewer buckets nothing is left of the others
    fewer = convert(checkpoint, **{**SHAPE, "sequence_length": "16,24"}, feature="masked-lm")
    assert fewer.status == "converted", fewer.failure
    assert sorted(path.name for path in (folder / "buckets").iterdir()) == ["16"]


def test_a_bucket_that_is_of_another_model_is_found(calls: Calls, tiny: Tiny, convert: Convert, command: Run, tmp_path: Path) -> None:
    """Its figures tell, as a compiled archive has no weights that could be read."""
    ours = Path(convert(tiny("bert"), **{**SHAPE, "sequence_length": "8,16"}).destination)
    other = convert(tiny("bert", "AutoModel", 1), tmp_path / "other", **SHAPE)
    shutil.copy(Path(other.destination) / "model.neuron", ours / "buckets/8/model.neuron")
    (ours / "converter.json").unlink()
    result = command("validate", ours, "--reference", tiny("bert"))
    assert result.returncode == 1
    assert "differs by" in result.stderr, result.stderr


def test_a_bucket_that_takes_another_shape_than_it_says_is_found(calls: Calls, tiny: Tiny, convert: Convert, command: Run) -> None:
    folder = Path(convert(tiny("bert"), **{**SHAPE, "sequence_length": "8,16"}).destination)
    shutil.copy(folder / "model.neuron", folder / "buckets/8/model.neuron")
    (folder / "converter.json").unlink()
    result = command("validate", folder, "--reference", tiny("bert"))
    assert result.returncode == 1
    assert "Incorrect tensor shape" in result.stderr


def test_a_dynamic_batch_takes_any_number_of_texts(calls: Calls, tiny: Tiny, convert: Convert) -> None:
    outcome = convert(tiny("bert"), **{**SHAPE, "batch_size": 1}, dynamic_batch=True)
    assert outcome.artifact, outcome.failure
    assert _names(calls) == ["torch_neuronx.trace", "torch_neuronx.dynamic_batch"]
    assert outcome.artifact.signature.fixed == {"sequence": 8}
    assert outcome.artifact.tried == {"batch": (1, 9), "sequence": (1, 8)}
    block = json.loads((Path(outcome.destination) / "config.json").read_text())["neuron"]
    assert (block["static_batch_size"], block["dynamic_batch_size"]) == (1, True)


def test_the_config_has_the_names_that_optimum_neuron_reads(calls: Calls, tiny: Tiny, convert: Convert) -> None:
    """By optimum-neuron 0.4.5's `store_compilation_config`, which writes it, and `NeuronTracedModel`, which reads it."""
    checkpoint = tiny("bert", "AutoModelForMultipleChoice")
    asked = {"auto_cast": "matmult", "compiler_args": "--optlevel=1", "atol": 1e-4}
    outcome = convert(checkpoint, **SHAPE, **asked, feature="multiple-choice")
    assert outcome.status == "converted", outcome.failure
    written = json.loads((Path(outcome.destination) / "config.json").read_text())
    block = written.pop("neuron")
    assert written == json.loads((checkpoint / "config.json").read_text())
    assert block == {
        "compiler_type": "neuronx-cc",
        "compiler_version": "2.26.6360.0",
        "inline_weights_to_neff": True,
        "static_batch_size": 2,
        "static_sequence_length": 8,
        "static_num_choices": 4,
        "dynamic_batch_size": False,
        "tensor_parallel_size": 1,
        "optlevel": "1",
        "auto_cast": "matmul",
        "auto_cast_type": "bf16",
        "disable_fast_relayout": False,
        "disable_fallback": False,
        "input_names": ["input_ids", "attention_mask", "token_type_ids"],
        "output_names": ["logits"],
        "int_dtype": "int64",
        "float_dtype": "fp32",
        "model_type": "bert",
        "task": "multiple-choice",
        "output_attentions": False,
        "output_hidden_states": False,
    }


@pytest.mark.parametrize(
    ("model_type", "auto_class", "feature", "task"),
    [
        ("distilbert", "AutoModelForSequenceClassification", "sequence-classification", "text-classification"),
        ("roberta", "AutoModelForQuestionAnswering", "question-answering", "question-answering"),
        ("layoutlm", "AutoModelForTokenClassification", "token-classification", "token-classification"),
        ("gpt2", "AutoModelForCausalLM", "causal-lm", "text-generation"),
        ("bart", "AutoModelForCausalLM", "causal-lm", "text-generation"),  # its output's axis has another name than its input's
        ("bart", "AutoModelForQuestionAnswering", "question-answering", "question-answering"),
        ("ibert", "AutoModelForMaskedLM", "masked-lm", "fill-mask"),
    ],
)
def test_a_feature_that_is_one_call_is_compiled_and_padded_to(
    model_type: str, auto_class: str, feature: str, task: str, calls: Calls, tiny: Tiny, convert: Convert
) -> None:
    outcome = convert(tiny(model_type, auto_class), **SHAPE, feature=feature)
    assert outcome.status == "converted", outcome.failure
    block = json.loads((Path(outcome.destination) / "config.json").read_text())["neuron"]
    assert block["task"] == task


def test_transformers_is_told_that_it_is_traced_while_the_sdk_records(
    calls: Calls, tiny: Tiny, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.jit.trace, which the double traces with, says so itself; XLA does not, and a mask of ones would be left out."""
    double = importlib.import_module("torch_neuronx")
    trace, states = double.trace, []

    def watching(*args: Any, **arguments: Any) -> Any:
        states.append(import_utils.is_tracing())
        return trace(*args, **arguments)

    monkeypatch.setattr(double, "trace", watching)
    assert convert(tiny("bert"), **SHAPE).status == "converted"
    assert (states, import_utils.is_tracing()) == ([True], False)


def test_real_sentences_are_cut_to_the_longest_bucket(calls: Calls, convert: Convert, tmp_path: Path) -> None:
    checkpoint = save_tokenizer(save_tiny(tmp_path / "bert", "bert"), "input_ids", "attention_mask", "token_type_ids")
    outcome = convert(checkpoint, tmp_path / "out", **{**SHAPE, "sequence_length": "4,6"})
    assert outcome.verdict and outcome.status == "converted", outcome.failure
    assert {case.name: case.axes for case in outcome.verdict.cases}["sentences"] == {"batch": 2, "sequence": 6}


# --- what nothing here can run ----------------------------------------------------------------------------------------


@pytest.fixture
def unrunnable(doubles: Doubles) -> Calls:
    """A machine without a device, whose SDK compiles and does not run."""
    doubles.runs(False)
    return doubles.install("torch_neuronx-2.9")


def test_what_nothing_can_run_is_a_failure_and_leaves_nothing(unrunnable: Calls, tiny: Tiny, command: Run, tmp_path: Path) -> None:
    shape = ("--target=inf2", "--batch-size=1", "--sequence-length=8")
    result = command("neuron", "--model", tiny("bert"), *shape, tmp_path / "out")
    assert result.returncode == 1
    assert "there is no Neuron device here" in result.stderr.splitlines()[0]
    assert (
        "error: the artifact could not be validated: there is no Neuron device here, and without one Neuron does not run it"
        in result.stderr
    )
    assert "--allow-unvalidated" in result.stderr.splitlines()[-1]
    assert "All good" not in result.stdout and "[✓]" not in result.stdout
    assert list(tmp_path.iterdir()) == []
    assert _names(unrunnable) == ["torch_neuronx.trace"]


def test_what_nothing_can_run_is_kept_on_request_and_says_so_everywhere(
    unrunnable: Calls, doubles: Doubles, tiny: Tiny, command: Run, tmp_path: Path
) -> None:
    out, folder = tmp_path / "out", tmp_path / "out/ours/neuron"
    job = Job(
        source=Source(name="ours", folder=tiny("bert")),
        backend="neuron",
        options=BACKENDS["neuron"].options.model_validate(
            {"target": "inf2", "batch_size": 1, "sequence_length": 8, "allow_unvalidated": True}
        ),
        destination=folder,
    )
    outcome = run_job(job)
    assert outcome.status == "unvalidated", outcome.failure
    record = read_record(folder)
    assert record
    assert record.verdict.unvalidated == (
        "there is no Neuron device here, and without one Neuron does not run it: RuntimeError: the double has no runtime"
    )
    assert str(tmp_path) not in record.model_dump_json(exclude={"source"})
    assert (record.verdict.passed, record.verdict.cases, record.tried) == (False, (), {})
    assert "tried: nothing" in _call(record)

    from converter import report

    result = report.in_order([outcome])
    assert (result.exit_code, result.summary) == (0, "0 converted, 1 not validated, 0 unchanged, 0 failed")
    report.write(result, out)
    text = (out / "report.md").read_text()
    assert "⚠️ not validated" in text and "**Not validated**: there is no Neuron device here" in text and "✅" not in text

    again = run_job(job)
    assert (again.status, len(again.stages)) == ("unvalidated", 1)  # nothing here could do better
    assert _names(unrunnable) == ["torch_neuronx.trace"]
    refused = command("validate", folder, "--reference", tiny("bert"))
    assert refused.returncode == 1 and "it was not validated: there is no Neuron device here" in refused.stderr

    doubles.install(None)
    refused = command("validate", folder, "--reference", tiny("bert"))
    assert refused.returncode == 1 and "torch-neuronx, which compiles for inf2, is not installed" in refused.stderr

    unrunnable = doubles.install("torch_neuronx-2.9")
    doubles.device(True)
    doubles.runs(True)
    assert run_job(job).status == "converted"  # something here can
    assert _names(unrunnable) == ["torch_neuronx.trace"]
    assert command("validate", folder, "--reference", tiny("bert")).returncode == 0


def test_what_the_sdk_runs_without_a_device_is_validated_and_says_so(doubles: Doubles, tiny: Tiny, convert: Convert) -> None:
    calls = doubles.install("torch_neuronx-2.9")
    outcome = convert(tiny("bert"), **SHAPE)
    assert outcome.verdict and outcome.status == "converted", outcome.failure
    assert calls()[0]["cpu_backend"] is True
    assert outcome.verdict.runtime == "torch-neuronx 2.9.0.2.15.32035 without a device"
    assert "torch-neuronx 2.9.0.2.15.32035 ran it without a Neuron device, so a device's results were not measured" in outcome.verdict.notes


def test_with_a_device_what_does_not_run_is_a_failure_whatever_is_allowed(doubles: Doubles, tiny: Tiny, convert: Convert) -> None:
    doubles.device(True)
    doubles.runs(False)
    doubles.install("torch_neuronx-2.9")
    outcome = convert(tiny("bert"), **SHAPE, allow_unvalidated=True)
    assert outcome.failure and "the double has no runtime" in outcome.failure.message


# --- refused before any compilation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "auto_class", "feature", "message"),
    [
        ("longformer", "AutoModelForMaskedLM", "masked-lm", "aten::_local_scalar_dense takes a value for a decision or a length"),
        ("bart", "AutoModelForSequenceClassification", "sequence-classification", "takes a value for a decision or a length"),
        ("t5", "AutoModel", "default", "calls a decoder once per token"),
        ("marian", "AutoModelForSeq2SeqLM", "seq2seq-lm", "calls a decoder once per token"),
        ("bert", "AutoModelForMaskedLM", "token-classification", "the checkpoint has no weights for classifier.bias, classifier.weight"),
    ],
)
def test_a_model_that_cannot_be_compiled_never_reaches_the_compiler(
    model_type: str, auto_class: str, feature: str, message: str, calls: Calls, tiny: Tiny, command: Run, tmp_path: Path
) -> None:
    asked = ("--model", tiny(model_type, auto_class), "--feature", feature, "--target=inf2", "--batch-size=1", "--sequence-length=8,16")
    result = command("neuron", *asked, tmp_path / "out")
    assert result.returncode == 1
    assert message in result.stderr and "to do: " in result.stderr and "Traceback" not in result.stderr
    assert calls() == [] and list(tmp_path.iterdir()) == []
    checked = command("neuron", "--check", *asked)
    assert checked.returncode == 1
    assert message in checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--target=inf3", "--batch-size=1", "--sequence-length=8"], 2, "'inf3' is not one of 'inf1', 'inf2', 'trn1'"),
        (["--target=inf2", "--batch-size=0", "--sequence-length=0"], 2, "--batch-size: input should be greater than or equal to 1; --seq"),
        ([], 2, "--target: field required; --batch-size: field required; --sequence-length: field required"),
        (["--target=inf2", "--batch-size=1", "--sequence-length=8,eight"], 2, "--sequence-length: give a number of tokens"),
        (["--target=inf2", "--batch-size=1", "--sequence-length=8,41"], 1, "--sequence-length 41 is more than the 40 tokens"),
        (["--target=inf2", "--batch-size=1", "--sequence-length=8", "--feature=seq2seq-lm-with-past"], 2, "a trace has no cache"),
    ],
)
def test_a_wrong_flag_is_told_and_nothing_is_compiled(
    flags: list[str], code: int, message: str, calls: Calls, tiny: Tiny, command: Run, tmp_path: Path
) -> None:
    result = command("neuron", "--model", tiny("bert"), *flags, tmp_path / "out")
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr
    assert calls() == [] and list(tmp_path.iterdir()) == []


def test_without_an_output_there_has_to_be_a_check(command: Run, tiny: Tiny) -> None:
    result = command("neuron", "--model", tiny("bert"), "--target=inf2", "--batch-size=1", "--sequence-length=8")
    assert result.returncode == 2
    assert "OUTPUT is missing" in result.stderr


def test_no_weight_is_fetched_where_there_is_no_sdk(doubles: Doubles, tiny: Tiny, convert: Convert, tmp_path: Path) -> None:
    doubles.install(None)
    checkpoint = shutil.copytree(tiny("bert"), tmp_path / "bert")
    outcome = convert(checkpoint, **SHAPE)
    assert outcome.failure and outcome.failure.stage == "fetch"
    assert outcome.failure.message == "torch-neuronx, which compiles for inf2, is not installed"


def test_an_entry_of_a_manifest_says_what_neuron_needs_and_shares_the_rest(command: Run, tiny: Tiny, tmp_path: Path) -> None:
    manifest = tmp_path / "models.txt"
    manifest.write_text(f"{tiny('bert')} to=onnx,torchscript,neuron batch-size=1\n")
    result = command("plan", "--manifest", manifest)
    assert result.returncode == 2
    assert f"{manifest}:1:1: neuron needs target=" in result.stderr
    assert f"{manifest}:1:1: neuron needs sequence-length=" in result.stderr
    manifest.write_text(f"{tiny('bert')} to=onnx,torchscript,neuron batch-size=1 sequence-length=16 target=trn1\n")
    planned = command("plan", "--manifest", manifest, "--json")
    assert [row["backend"] for row in json.loads(planned.stdout)] == ["onnx", "torchscript", "neuron"], planned.stderr


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_check_needs_no_sdk_and_promises_nothing(doubles: Doubles, tiny: Tiny, command: Run, tmp_path: Path) -> None:
    doubles.install(None)
    asked = ("--model", tiny("bert"), "--target=inf1", "--batch-size=1", "--sequence-length=8,16")
    result = command("neuron", "--check", *asked)
    assert result.returncode == 0, result.stderr
    for shape in ("At batch 1, sequence 8:", "At batch 1, sequence 16:"):
        assert shape in result.stdout
    assert result.stdout.count("[✓] no operator takes a value for a decision or a length") == 2
    lowered = "[✓] torch-xla" if find_spec("torch_xla") else "[?] torch-xla is not installed here, so nothing was lowered to HLO"
    assert result.stdout.count(lowered) == 2
    assert "the compiler may still refuse it" in result.stdout
    report = json.loads(command("neuron", "--check", "--json", *asked).stdout)
    assert report["passed"] is True and {finding["passed"] for finding in report["findings"]} <= {True, None}
    assert "may still refuse it" in report["note"]


BRANCHING = """
from contextlib import contextmanager
from converter.onnx import BertOnnxConfig


class Branching(BertOnnxConfig):
    '''A model that looks at its tokens, and does something else for some.'''

    @contextmanager
    def patch(self, model):
        own = model.embeddings.forward
        model.embeddings.forward = lambda **inputs: own(**inputs) * (2 if (inputs["input_ids"] == 1).any() else 1)
        try:
            yield
        finally:
            del model.embeddings.forward
"""


def test_a_decision_by_the_tokens_is_named_with_its_line(tiny: Tiny, command: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(BRANCHING)
    asked = ("--target=inf2", "--batch-size=3", "--sequence-length=24", "--config", f"{path}:Branching")
    result = command("neuron", "--check", "--model", tiny("bert"), *asked)
    assert result.returncode == 1
    assert (
        f"[x] aten::_local_scalar_dense takes a value for a decision or a length, which no compiled call can ({path}, line 12)"
        in result.stdout
    )
    assert "other inputs of this shape" in result.stdout
    assert "It cannot be converted" in result.stdout


OTHER_NAMES = """
from converter.onnx import OnnxConfig


class OtherNames(OnnxConfig):
    '''A configuration that takes embeddings in place of tokens, which has no input_ids.'''

    outputs = {"last_hidden_state": {0: "texts", 1: "tokens"}}

    @property
    def inputs(self):
        axes = {0: "texts", 1: "tokens"}
        return {"inputs_embeds": axes, "attention_mask": axes}

    def fixed_dims(self, name):
        return {2: self._config.hidden_size} if name == "inputs_embeds" else {}

    def draw(self, name, shape, rng):
        return rng.standard_normal(shape).astype("float32")
"""


def test_a_configuration_of_ones_own_needs_no_tokens(calls: Calls, tiny: Tiny, convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OTHER_NAMES)
    outcome = convert(tiny("bert"), **SHAPE, config=f"{tmp_path / 'own.py'}:OtherNames")
    assert outcome.artifact, outcome.failure
    assert outcome.artifact.signature.fixed == {"texts": 2, "tokens": 8}
    assert json.loads((Path(outcome.destination) / "config.json").read_text())["neuron"]["static_sequence_length"] == 8
