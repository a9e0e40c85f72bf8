"""The limits of a trace are refused, guarded or reported; stored weights are the checkpoint's, once or twice as requested."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from converter.backends import BACKENDS
from converter.cli.convert import _call
from converter.core.errors import InputError
from converter.core.records import Job, Outcome, Source
from converter.padding import cut, pad
from converter.pipeline import run_job
from tests.coverage.tiny import save_tiny as save_other
from tests.integration.test_quantised_ibert import save_calibrated
from tests.support.by_hand import reference
from tests.support.checkpoints import TINY_CONFIGS, save_tiny, save_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")

Convert = Callable[..., Outcome]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# transformers' own Longformer: its code slices by the sizes of the trace
OWN_LONGFORMER = """
from contextlib import nullcontext
from converter.onnx import LongformerOnnxConfig, OnnxConfig


class LocalOnly(OnnxConfig):
    atol_for_validation = 1e-4
    positions = 38

    @property
    def inputs(self):
        axes = {0: "batch", 1: "sequence"}
        return {"input_ids": axes, "attention_mask": axes}


class WithGlobalTokens(LongformerOnnxConfig):
    def patch(self, model):
        return nullcontext()
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN_LONGFORMER)
    return str(path)


@pytest.fixture(scope="module", params=["named", "frozen"])
def guarded(request: pytest.FixtureRequest, tiny: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, own: str) -> Outcome:
    """A trace that holds at one shape alone, of two texts of 16 tokens."""
    asked = {"feature": "masked-lm", "config": f"{own}:LocalOnly", "batch_size": 2, "sequence_length": 16}
    outcome = run_job(
        Job(
            source=Source(name="tiny", folder=tiny("longformer", "AutoModelForMaskedLM")),
            backend="torchscript",
            options=BACKENDS["torchscript"].options.model_validate({**asked, "freeze": request.param == "frozen"}),
            destination=tmp_path_factory.mktemp("guarded") / "artifact",
        )
    )
    assert outcome.status == "converted", outcome.failure
    return outcome


def _module(outcome: Outcome) -> Any:
    return torch.jit.load(Path(outcome.destination) / "model.pt")


def _texts(batch: int, length: int) -> dict[str, Any]:
    tokens = np.random.default_rng(3).integers(3, 119, (batch, length))
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}


def test_a_trace_that_holds_at_one_shape_raises_at_any_other(guarded: Outcome) -> None:
    module = _module(guarded)
    for batch, length in ((2, 15), (2, 17), (1, 16), (3, 16), (2, 24), (2, 32), (2, 1), (0, 16), (2, 0)):
        texts = {name: torch.from_numpy(array) for name, array in _texts(batch, length).items()}
        shape = re.escape(f"input_ids has the shape [{batch}, {length}], and this model takes batch 2, sequence 16 alone: pad to that")
        for _ in range(3):  # an executor that has seen a shape compiles for it
            with pytest.raises(torch.jit.Error, match=shape), torch.no_grad():
                module(**texts)
    with pytest.raises(torch.jit.Error, match="input_ids has the shape"):
        module(torch.ones(16).long(), torch.ones(16).long())
    whole, short = (torch.from_numpy(_texts(2, length)["attention_mask"]) for length in (16, 8))
    with pytest.raises(torch.jit.Error, match="attention_mask has the shape"):
        module(whole, short)


def test_a_shorter_text_is_padded_to_the_shape_and_gives_what_the_checkpoint_gives(guarded: Outcome, tiny: Callable[..., Path]) -> None:
    assert guarded.artifact
    signature = guarded.artifact.signature
    assert (signature.fixed, signature.padding) == ({"batch": 2, "sequence": 16}, {"input_ids": 1})
    assert guarded.artifact.tried == {"batch": (1, 2), "sequence": (1, 16)}
    assert "it takes batch 2, sequence 16 alone, pad to that; tried: batch 1 to 2, sequence 1 to 16" in _call(guarded.artifact)
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny("longformer", "AutoModelForMaskedLM"))
    module = _module(guarded)
    for batch, length in ((2, 16), (1, 16), (2, 11), (1, 1), (1, 5)):
        inputs = _texts(batch, length)
        padded = pad(inputs, signature)
        with torch.no_grad():
            (logits,) = module(*(torch.from_numpy(array) for array in padded.values()))
        array = cut({"logits": logits}, inputs, signature)["logits"]
        np.testing.assert_allclose(array, reference(model, inputs, ["logits"])["logits"], rtol=1e-5, atol=1e-4)
    with pytest.raises(InputError, match="17 long along sequence, and the artifact takes 16 at most"):
        pad(_texts(1, 17), signature)


def test_a_trace_that_holds_for_some_values_alone_is_refused(tiny: Callable[..., Path], convert: Convert, own: str) -> None:
    """transformers' Longformer counts its global tokens during the trace, and keeps this number."""
    outcome = convert(tiny("longformer"), backend="torchscript", config=f"{own}:WithGlobalTokens", sequence_length=16)
    assert outcome.failure and outcome.failure.stage == "validate"
    assert "the artifact does not match the checkpoint" in outcome.failure.message
    assert not Path(outcome.destination).exists()


def test_longformer_is_right_for_any_number_of_global_tokens_at_any_length(tiny: Callable[..., Path], convert: Convert) -> None:
    checkpoint = tiny("longformer")
    outcome = convert(checkpoint, backend="torchscript", sequence_length=7)
    assert outcome.status == "converted", outcome.failure
    model, module = transformers.AutoModel.from_pretrained(checkpoint), _module(outcome)
    rng = np.random.default_rng(11)
    for length in (1, 2, 7, 8, 9, 16, 24, 37):
        for marked in {0, 1, length // 2, length}:
            inputs = _texts(3, length)
            inputs["attention_mask"][1, (length + 1) // 2 :] = 0
            inputs["global_attention_mask"] = rng.permuted(np.repeat([[1] * marked + [0] * (length - marked)], 3, axis=0), axis=1)
            with torch.no_grad():
                results = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
            expected = reference(model, inputs, ["last_hidden_state", "pooler_output"])
            kept = inputs["attention_mask"].astype(bool)
            np.testing.assert_allclose(results[0].numpy()[kept], expected["last_hidden_state"][kept], rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(results[1].numpy(), expected["pooler_output"], rtol=1e-5, atol=1e-4)


# --- stored tensors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "feature", "auto_class", "embedding"),
    [
        ("bert", "masked-lm", "AutoModelForMaskedLM", "bert.embeddings.word_embeddings.weight"),
        ("bart", "seq2seq-lm", "AutoModelForSeq2SeqLM", "model.shared.weight"),
        ("t5", "seq2seq-lm", "AutoModelForSeq2SeqLM", "shared.weight"),
        ("gpt2", "causal-lm", "AutoModelForCausalLM", "transformer.wte.weight"),
    ],
)
def test_a_tied_weight_is_one_tensor_after_loading_and_two_where_asked(
    model_type: str,
    feature: str,
    auto_class: str,
    embedding: str,
    tiny: Callable[..., Path],
    trace: Callable[[str, str], Outcome],
    convert: Convert,
) -> None:
    tied = trace(model_type, feature)
    untied = convert(tiny(model_type, auto_class), backend="torchscript", feature=feature, untie=True)
    assert tied.artifact and untied.artifact and tied.verdict and untied.verdict, (tied.failure, untied.failure)
    groups = tied.verdict.weights.tied
    (group,) = (group for group in groups if embedding in group)
    assert len(group) > 1
    assert untied.verdict.weights.tied == ()

    more = 0
    weights = [dict(_module(outcome).named_parameters(remove_duplicate=False)) for outcome in (tied, untied)]
    for names in groups:
        one, several = (
            {parameters[f"model.{name}"].data_ptr() for name in names if parameters[f"model.{name}"].numel()} for parameters in weights
        )
        assert len(one) == 1
        assert len(several) > 1 or embedding not in names  # of a bias that is tied the code takes one name alone
        more += weights[0][f"model.{names[0]}"].nbytes * (len(several) - 1)
    assert _stored(untied) - _stored(tied) == more > 10_000
    assert untied.artifact.size > tied.artifact.size + 0.9 * more


def _stored(outcome: Outcome) -> int:
    """The bytes of an archive's tensors: its code is longer in a process that has traced before, by the names that torch gives."""
    with zipfile.ZipFile(Path(outcome.destination) / "model.pt") as archive:
        return sum(record.file_size for record in archive.infolist() if record.filename.startswith("model/data/"))


def test_untying_and_freezing_are_refused_together(command: Run, tiny: Callable[..., Path], tmp_path: Path) -> None:
    result = command("torchscript", "--model", tiny("bert"), "--freeze", "--untie", tmp_path / "out")
    assert result.returncode == 2
    assert "--untie: a frozen model stores equal weights once" in result.stderr


def test_a_model_that_is_exported_stays_as_it_was(tiny: Callable[..., Path], tmp_path: Path) -> None:
    from converter.architectures import find_architecture
    from converter.torchscript import TorchScriptOptions, export

    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny("bert", "AutoModelForMaskedLM")).train()
    config = find_architecture("bert").configure(model.config, "masked-lm")
    before = {name: (parameter.data_ptr(), parameter.requires_grad) for name, parameter in model.named_parameters(remove_duplicate=False)}
    export(None, model, config, TorchScriptOptions(untie=True, sequence_length=5), tmp_path / "model.pt")
    after = {name: (parameter.data_ptr(), parameter.requires_grad) for name, parameter in model.named_parameters(remove_duplicate=False)}
    assert after == before
    assert model.training and list(tmp_path.iterdir()) == [tmp_path / "model.pt"]


def test_what_the_feature_does_not_use_is_not_stored(tiny: Callable[..., Path], convert: Convert) -> None:
    """A masked language model has no pooler; transformers fills one with random numbers, and no output depends on it."""
    checkpoint = tiny("bert", "AutoModelForMaskedLM")
    outcome = convert(checkpoint, backend="torchscript", feature="default")
    assert outcome.status == "converted", outcome.failure
    stored = dict(_module(outcome).named_parameters())
    assert stored["model.pooler.dense.weight"].numel() == 0
    assert stored["model.encoder.layer.0.output.dense.weight"].numel() > 0


def test_a_head_of_random_numbers_is_never_traced(tiny: Callable[..., Path], convert: Convert) -> None:
    outcome = convert(tiny("bert", "AutoModelForMaskedLM"), backend="torchscript", feature="token-classification")
    assert outcome.failure
    assert outcome.failure.message.startswith("the checkpoint has no weights for classifier.bias, classifier.weight")


def test_an_archive_tells_nothing_of_the_machine_it_was_made_on_and_is_the_same_twice(tiny: Callable[..., Path], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from converter.checkpoints.source import parse_source\nfrom converter.pipeline import run_job\n"
        "from converter.backends import BACKENDS\nfrom converter.core.records import Job\n"
        "for place in sys.argv[2:]:\n"
        "    job = Job(source=parse_source(sys.argv[1], Path()), backend='torchscript',\n"
        "              options=BACKENDS['torchscript'].options(sequence_length=9), destination=Path(place))\n"
        "    assert run_job(job).status == 'converted'\n"
    )
    places = [tmp_path / "first", tmp_path / "second"]
    for place in places:
        subprocess.run([sys.executable, "-c", program, tiny("bert"), place], check=True, capture_output=True)
    first, second = (place / "model.pt" for place in places)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        paths = {str(Path(torch.__file__).parent), str(Path(transformers.__file__).parent), str(Path(__file__).parents[2])}
        for name in archive.namelist():
            assert "debug" not in name
            assert not any(path.encode() in archive.read(name) for path in paths)


@pytest.mark.parametrize("freeze", [False, True])
def test_the_room_that_is_reserved_is_enough_for_the_code_of_many_layers(
    freeze: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's writer would end this process on a full disk: its size is measured before the copy."""
    from converter.architectures import find_architecture
    from converter.backends.traced import archive
    from converter.torchscript import TorchScriptOptions, export

    reserved: list[int] = []
    written: list[int] = []
    reserve, copy = archive._reserve, archive._copy
    monkeypatch.setattr(archive, "_reserve", lambda path, size: (reserved.append(size), reserve(path, size)))
    monkeypatch.setattr(archive, "_copy", lambda source, target: (written.append(source.stat().st_size), copy(source, target)))
    model = transformers.AutoModelForSeq2SeqLM.from_config(
        transformers.AutoConfig.for_model("t5", **{**TINY_CONFIGS["t5"], "num_layers": 24, "num_decoder_layers": 24})
    )
    config = find_architecture("t5").configure(model.config, "seq2seq-lm")
    export(None, model, config, TorchScriptOptions(freeze=freeze, sequence_length=5), tmp_path / "model.pt")
    assert written[0] < reserved[0]
    assert (tmp_path / "model.pt").stat().st_size < reserved[0]
    assert written[0] + 3_000_000 > reserved[0]  # and not so much that a disk with room is refused


# --- other forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", [False, True])
def test_a_quantised_ibert_is_traced(convert: Convert, tmp_path: Path, freeze: bool) -> None:
    checkpoint = save_calibrated(tmp_path / "ibert", "AutoModelForTokenClassification", num_hidden_layers=1)
    outcome = convert(checkpoint, tmp_path / "out", backend="torchscript", feature="token-classification", freeze=freeze)
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact and outcome.artifact.signature.fixed == {}


def test_half_precision_is_widened_or_kept_and_bfloat16_refused(tiny: Callable[..., Path], convert: Convert, tmp_path: Path) -> None:
    half = tiny("bert", "AutoModel", 0, "float16")
    wide, kept = (
        convert(half, tmp_path / "wide", backend="torchscript"),
        convert(half, tmp_path / "kept", backend="torchscript", dtype="checkpoint"),
    )
    assert wide.artifact and kept.artifact, (wide.failure, kept.failure)
    assert [outcome.artifact.signature.outputs[0].dtype for outcome in (wide, kept) if outcome.artifact] == ["float32", "float16"]
    refused = convert(tiny("bert", "AutoModel", 0, "bfloat16"), tmp_path / "refused", backend="torchscript", dtype="checkpoint")
    assert refused.failure and "bfloat16" in refused.failure.message


def test_real_sentences_are_tried_and_cut_to_the_shape_of_a_guarded_trace(convert: Convert, own: str, tmp_path: Path) -> None:
    checkpoint = save_tokenizer(save_tiny(tmp_path / "longformer", "longformer"), "input_ids", "attention_mask")
    outcome = convert(checkpoint, tmp_path / "out", backend="torchscript", config=f"{own}:LocalOnly", batch_size=3, sequence_length=6)
    assert outcome.verdict and outcome.status == "converted", outcome.failure
    (case,) = (case for case in outcome.verdict.cases if case.name == "sentences")
    assert case.axes == {"batch": 3, "sequence": 6}
    assert {case.name: case.axes for case in outcome.verdict.cases}["whole"] == {"batch": 3, "sequence": 6}


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "auto_class", "flags", "message"),
    [
        ("bert", "AutoModel", ["--sequence-length=41"], "--sequence-length 41 is more than the 40 tokens that the model has positions for"),
        ("roberta", "AutoModel", ["--sequence-length=39"], "--sequence-length 39 is more than the 38 tokens"),
        ("bart", "AutoModel", ["--decoder-length=41"], "--decoder-length 41 is more than the 40 tokens"),
        ("bert", "AutoModel", ["--decoder-length=4"], "this model has no decoder beside an encoder for default"),
        ("bart", "AutoModelForSequenceClassification", ["--sequence-length=9", "--decoder-length=4"], "as many tokens as the encoder, 9"),
    ],
)
def test_a_shape_that_cannot_be_is_told(
    model_type: str, auto_class: str, flags: list[str], message: str, command: Run, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    result = command("torchscript", "--model", tiny(model_type, auto_class), *flags, tmp_path / "out")
    assert result.returncode == 1
    assert message in result.stderr and "to do: " in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_relative_positions_have_no_longest_text(tiny: Callable[..., Path], convert: Convert) -> None:
    outcome = convert(tiny("t5"), backend="torchscript", sequence_length=700, decoder_length=3)
    assert outcome.status == "converted", outcome.failure


def test_a_model_that_gives_nothing_but_a_cache_is_told(tiny: Callable[..., Path], command: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from converter.onnx import GPT2OnnxConfig\n\n\nclass CacheAlone(GPT2OnnxConfig):\n"
        "    outputs = {'past_key_values': {0: 'batch'}}\n    values_override = {'use_cache': True}\n"
    )
    result = command("torchscript", "--model", tiny("gpt2"), "--config", f"{path}:CacheAlone", tmp_path / "out")
    assert result.returncode == 1
    assert "GPT2Model gives no output past_key_values" in result.stderr and "Traceback" not in result.stderr
    nothing = path.read_text().replace("{'past_key_values': {0: 'batch'}}", "{}").replace("CacheAlone", "Nothing")
    path.write_text(nothing)
    result = command("torchscript", "--model", tiny("gpt2"), "--config", f"{path}:Nothing", tmp_path / "out")
    assert "Nothing declares no outputs" in result.stderr


def _no_archives(folder: Path, other: Path) -> Iterator[tuple[bytes, str]]:
    yield b"", "is not a TorchScript archive"
    yield b"\0" * 5000, "is not a TorchScript archive"
    yield (folder / "model.pt").read_bytes()[:50_000], "is not a TorchScript archive"
    torch.save({"weight": torch.ones(3)}, other)
    yield other.read_bytes(), "is not a TorchScript archive"
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), other)
    yield other.read_bytes(), "holds no signature.json"


def test_a_file_that_is_no_archive_is_told(
    command: Run, trace: Callable[[str, str], Outcome], tiny: Callable[..., Path], tmp_path: Path
) -> None:
    made = Path(trace("bert", "default").destination)
    place = tmp_path / "other"
    place.mkdir()
    for content, message in _no_archives(made, tmp_path / "made.pt"):
        (place / "model.pt").write_bytes(content)
        result = command("validate", place, "--reference", tiny("bert"), "--json")
        assert result.returncode == 1
        assert message in json.loads(result.stdout)[0]["error"]
        assert "Traceback" not in result.stderr and result.stderr.count("\n") < 8


def test_both_backends_of_an_entry_and_what_is_done_already(command: Run, tiny: Callable[..., Path], tmp_path: Path) -> None:
    manifest = tmp_path / "models.txt"
    manifest.write_text(f"{tiny('distilbert')} to=onnx,torchscript output=ours sequence-length=9 opset=20\n")
    first = command("--manifest", manifest, "--output", tmp_path / "out", "--json")
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("TorchScript is deprecated by PyTorch") == 1
    assert [outcome["status"] for outcome in json.loads(first.stdout)["outcomes"]] == ["converted"] * 2
    left = {path.relative_to(tmp_path / "out/ours").as_posix() for path in (tmp_path / "out/ours").rglob("*") if path.is_file()}
    onnx, torchscript = (
        {f"{backend}/{name}" for name in (main, "converter.json", "converter.log")}
        for backend, main in (("onnx", "model.onnx"), ("torchscript", "model.pt"))
    )
    assert left == {"config.json", *onnx, *torchscript}
    again = command("--manifest", manifest, "--output", tmp_path / "out", "--json")
    assert [outcome["status"] for outcome in json.loads(again.stdout)["outcomes"]] == ["skipped"] * 2
    validated = command("validate", tmp_path / "out/ours", "--reference", tiny("distilbert"), "--json")
    assert [row["passed"] for row in json.loads(validated.stdout)] == [True, True], validated.stderr
    assert "It takes any shape; tried: batch 1 to 9, sequence 1 to 40." in (tmp_path / "out/report.md").read_text()


BRANCHING = """
from contextlib import contextmanager
from converter.onnx import BertOnnxConfig


class Branching(BertOnnxConfig):
    '''A model whose code is another beyond 30 tokens: a trace knows the branch alone that it was made in.'''

    @contextmanager
    def patch(self, model):
        own = model.embeddings.forward
        model.embeddings.forward = lambda **inputs: own(**inputs) * (2 if inputs["input_ids"].shape[1] > 30 else 1)
        try:
            yield
        finally:
            del model.embeddings.forward
"""


def test_code_that_is_another_beyond_some_length_is_noticed(tiny: Callable[..., Path], convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(BRANCHING)
    name = f"{tmp_path}/own.py:Branching"
    short = convert(tiny("bert"), tmp_path / "short", backend="torchscript", config=name, sequence_length=20)
    assert short.artifact and short.artifact.signature.fixed == {"sequence": 20}, short.failure
    whole = convert(tiny("bert"), tmp_path / "whole", backend="torchscript", config=name)
    assert whole.failure and whole.failure.stage == "validate"  # the branch beyond 30 differs from the checkpoint


def test_what_torch_and_transformers_warn_of_while_a_model_is_traced_reaches_nobody(
    converter: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    checkpoint = save_other(tmp_path / "deberta", "deberta-v2", "AutoModel")
    done = converter("torchscript", "--model", checkpoint, tmp_path / "out")  # in a separate process, because pytest holds warnings back
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
