"""Custom configurations, in the documented style, for other architectures."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import transformers

from converter.core.errors import ConversionError, ValidationError
from converter.core.records import Outcome
from converter.onnx import FeaturesManager, OnnxConfig, OnnxConfigWithPast, export, validate_model_outputs

MY_CONFIG = """
from collections import OrderedDict
from converter.onnx import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast


class ElectraOnnxConfig(OnnxConfig):
    @property
    def inputs(self):
        axes = {0: "batch", 1: "sequence"}
        return OrderedDict([("input_ids", axes), ("attention_mask", axes), ("token_type_ids", axes)])


class OPTOnnxConfig(OnnxConfigWithPast):
    @property
    def inputs(self):
        common_inputs = OrderedDict({"input_ids": {0: "batch", 1: "sequence"}})
        if self.use_past:
            self.fill_with_past_key_values_(common_inputs, direction="inputs")
            common_inputs["attention_mask"] = {0: "batch", 1: "past_sequence + sequence"}
        else:
            common_inputs["attention_mask"] = {0: "batch", 1: "sequence"}
        return common_inputs


class OldBartOnnxConfig(OnnxSeq2SeqConfigWithPast):
    # one token at a time, and a constructor that hands on what it is given
    def __init__(self, config, task="default", patching_specs=None, use_past=False):
        super().__init__(config, task=task, patching_specs=patching_specs, use_past=use_past)

    @property
    def inputs(self):
        common_inputs = OrderedDict(
            [
                ("input_ids", {0: "batch", 1: "encoder_sequence"}),
                ("attention_mask", {0: "batch", 1: "encoder_sequence"}),
            ]
        )
        if self.use_past:
            common_inputs["decoder_input_ids"] = {0: "batch"}
            common_inputs["decoder_attention_mask"] = {0: "batch", 1: "past_decoder_sequence + sequence"}
            self.fill_with_past_key_values_(common_inputs, direction="inputs")
        else:
            common_inputs["decoder_input_ids"] = {0: "batch", 1: "decoder_sequence"}
            common_inputs["decoder_attention_mask"] = {0: "batch", 1: "decoder_sequence"}
        return common_inputs


class OtherNames(ElectraOnnxConfig):
    default_onnx_opset = 18

    @property
    def inputs(self):
        axes = {0: "batch_size", 1: "tokens"}
        return {"input_ids": axes, "attention_mask": axes, "token_type_ids": axes}

    @property
    def outputs(self):
        return {"logits": {0: "batch_size"}}

    def generate_dummy_inputs(self, tokenizer, batch_size=-1, seq_length=-1, is_pair=False, framework=None):
        return super().generate_dummy_inputs(tokenizer, batch_size, seq_length, is_pair=is_pair, framework=framework)


class NoMask(OPTOnnxConfig):
    @property
    def inputs(self):
        inputs = super().inputs
        del inputs["attention_mask"]
        return inputs


class FixedLength(ElectraOnnxConfig):
    def generate_dummy_inputs(self, tokenizer, batch_size=-1, seq_length=-1, **kwargs):
        return super().generate_dummy_inputs(tokenizer, batch_size=batch_size, seq_length=7)


class OldOpset(ElectraOnnxConfig):
    default_onnx_opset = 13


class Raises(ElectraOnnxConfig):
    @property
    def inputs(self):
        return {}[0]


class NoOutputs(ElectraOnnxConfig):
    outputs = {}


class OwnCache(OPTOnnxConfig):
    # as the documented classes were written
    def generate_dummy_inputs(self, tokenizer, batch_size=-1, seq_length=-1, is_pair=False, framework=None, **kwargs):
        import torch

        common_inputs = super(OnnxConfigWithPast, self).generate_dummy_inputs(
            tokenizer, batch_size=batch_size, seq_length=seq_length, is_pair=is_pair, framework=framework
        )
        batch, seqlen = common_inputs["input_ids"].shape
        shape = (batch, self.num_attention_heads, seqlen + 2, self._config.hidden_size // self.num_attention_heads)
        common_inputs["past_key_values"] = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(self.num_layers)]
        ones = torch.ones(batch, seqlen + 2, dtype=common_inputs["attention_mask"].dtype)
        common_inputs["attention_mask"] = torch.cat([common_inputs["attention_mask"], ones], dim=1)
        return common_inputs


class ViTOnnxConfig(OnnxConfig):
    @property
    def inputs(self):
        return {"pixel_values": {0: "batch"}}

    @property
    def outputs(self):
        return {"last_hidden_state": {0: "batch"}}

    def generate_dummy_inputs(self, preprocessor, batch_size=-1, seq_length=-1, is_pair=False, framework=None, **kwargs):
        import torch

        size = self._config.image_size
        return {"pixel_values": torch.rand(max(batch_size, 1), self._config.num_channels, size, size)}


class WrongInputs(ElectraOnnxConfig):
    @property
    def inputs(self):
        return {**super().inputs, "bbox": {0: "batch", 1: "sequence"}}


class WrongOutputs(ElectraOnnxConfig):
    @property
    def outputs(self):
        return {"pooled": {0: "batch"}}


class WrongAxes(ElectraOnnxConfig):
    @property
    def outputs(self):
        return {"last_hidden_state": {0: "batch", 1: "sequence", 2: "features"}}
"""

TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "electra": (
        "AutoModelForSequenceClassification",
        {
            "embedding_size": 16,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 90,
        },
    ),
    "opt": (
        "AutoModelForCausalLM",
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": 90,
            "max_position_embeddings": 48,
        },
    ),
    "vit": (
        "AutoModel",
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 12,
            "patch_size": 4,
            "num_channels": 2,
        },
    ),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The user's file, and a checkpoint of each architecture."""
    (tmp_path / "my_config.py").write_text(MY_CONFIG, encoding="utf-8")
    for model_type, (auto_class, settings) in TINY.items():
        torch.manual_seed(0)
        model = getattr(transformers, auto_class).from_config(transformers.AutoConfig.for_model(model_type, **settings))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.1)
        model.save_pretrained(tmp_path / model_type)
    return tmp_path


def test_a_configuration_converts_from_the_command_line_and_again_only_when_it_changes(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    line = ("onnx", f"--config={workspace}/my_config.py:ElectraOnnxConfig", f"--model={workspace}/electra", workspace / "onnx")
    first = command(*line)
    assert first.returncode == 0, first.stderr
    assert "feature: sequence-classification, from the checkpoint's own files" in first.stderr
    assert "nothing to do" in command(*line).stderr
    record = json.loads((workspace / "onnx/converter.json").read_text())
    assert record["versions"]["ElectraOnnxConfig"].startswith("sha256:")

    (workspace / "my_config.py").write_text(MY_CONFIG + "\n# more\n", encoding="utf-8")
    changed = command(*line)
    assert changed.returncode == 0 and "nothing to do" not in changed.stderr

    again = ("validate", workspace / "onnx", "--reference", workspace / "electra")
    refused = command(*again)
    assert refused.returncode == 1 and "name it with --config" in refused.stderr  # a record's word runs no code
    assert command(*again, line[1]).returncode == 0


def test_a_configuration_converts_from_a_manifest_relative_to_it(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    manifest = workspace / "models.txt"
    manifest.write_text("./opt config=my_config.py:OPTOnnxConfig feature=causal-lm-with-past\n./vit config=my_config.py:ViTOnnxConfig\n")
    run = command("run", "--manifest", manifest, "--output", workspace / "out", "--json")
    assert run.returncode == 0, run.stderr
    opt, vit = json.loads(run.stdout)["outcomes"]
    assert opt["verdict"]["generation"] == {"tokens": 12, "equal": 12, "ties": 0, "lost_lead": 0.0, "error": None}
    assert (vit["feature"], vit["artifact"]["signature"]["inputs"][0]["shape"]) == ("default", ["batch", 2, 12, 12])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("my_config.py:WrongInputs", "ElectraForSequenceClassification takes no input bbox"),
        ("my_config.py:WrongOutputs", "ElectraForSequenceClassification gives no output pooled"),
        ("my_config.py:Nothing", "Nothing of"),
        ("my_config.py:OrderedDict", "is not a subclass of converter.onnx.OnnxConfig"),
        ("no_config.py:Mine", "cannot read the configuration"),
        ("my_config.py:OldOpset", "opset 13 cannot be made"),
        ("my_config.py:Raises", "cannot be used: KeyError: 0 in inputs, line"),
        ("my_config.py:NoOutputs", "NoOutputs declares no outputs"),
        ("exits.py:Mine", "cannot be run: SystemExit: 3"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_name(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]], config: str, message: str
) -> None:
    (workspace / "exits.py").write_text("import sys\nsys.exit(3)\n")
    run = command("onnx", f"--config={workspace}/{config}", f"--model={workspace}/electra", workspace / "onnx")
    assert run.returncode == 1 and message in run.stderr
    if config.endswith("WrongInputs"):
        assert "it takes: input_ids, attention_mask, token_type_ids" in run.stderr
    assert not (workspace / "onnx").exists()


def test_an_axis_that_is_declared_dynamic_and_is_not_is_told(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    line = ("onnx", f"--config={workspace}/my_config.py:WrongAxes", f"--model={workspace}/electra", "--feature=default", workspace / "onnx")
    run = command(*line)
    assert run.returncode == 1 and "axis 2 (features) of 'last_hidden_state' came out fixed at 32" in run.stderr


@pytest.mark.parametrize(
    ("config", "model", "feature"),
    [
        ("OtherNames", "electra", "sequence-classification"),
        ("NoMask", "opt", "causal-lm-with-past"),
        ("FixedLength", "electra", "default"),
    ],
)
def test_a_configuration_in_another_style_converts(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]], config: str, model: str, feature: str
) -> None:
    line = ("--config", workspace / f"my_config.py:{config}", "--feature", feature, "--model", workspace / model)
    run = command("onnx", *line, workspace / "onnx", "--json")
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    if config == "OtherNames":
        assert outcome["artifact"]["signature"]["inputs"][0]["shape"] == ["batch_size", "tokens"]
        (imported,) = onnx.load(workspace / "onnx/model.onnx").opset_import
        assert imported.version == 18
    untried = [note for note in outcome["verdict"]["notes"] if "no other length was tried" in note]
    expected = "FixedLength.generate_dummy_inputs makes sequence 7 long and no other length was tried"
    assert untried == ([expected] if config == "FixedLength" else [])


def test_the_documented_configuration_of_a_decoder_that_takes_one_token_at_a_time_converts(
    workspace: Path, tiny: Callable[..., Path], command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    line = ("--config", workspace / "my_config.py:OldBartOnnxConfig", "--model", tiny("bart", "AutoModelForSeq2SeqLM"))
    run = command("onnx", *line, "--feature", "seq2seq-lm-with-past", workspace / "onnx", "--json")
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    assert outcome["artifact"]["signature"]["inputs"][2]["shape"] == ["batch", 1]
    assert outcome["verdict"]["generation"]["equal"] == 12


def test_an_installed_package_adds_its_architecture_to_the_command(
    workspace: Path, converter: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """As an installer would lay it out: a module, and metadata with an entry point beside it."""
    site = workspace / "site"
    metadata = site / "my_package-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[converter.architectures]\nelectra = my_package:ARCHITECTURE\n")
    declared = 'Architecture(name="ELECTRA", model_type="electra", features=("sequence-classification",), onnx_config=ElectraOnnxConfig)'
    (site / "my_package.py").write_text(f"{MY_CONFIG}\nfrom converter.onnx import Architecture\n\nARCHITECTURE = {declared}\n")
    installed = {"env": {**os.environ, "PYTHONPATH": f"{site}:{Path(__file__).parents[2]}"}}
    assert "electra" in converter("features", **installed).stdout
    (workspace / "models.txt").write_text("./electra\n")
    run = converter("run", "--manifest", workspace / "models.txt", "--output", workspace / "out", **installed)
    assert run.returncode == 0, run.stderr
    record = json.loads((workspace / "out/electra/onnx/converter.json").read_text())
    assert (record["options"]["feature"], record["versions"]["my-package"]) == ("sequence-classification", "1.2")
    assert "electra" not in converter("features").stdout


def test_inputs_that_a_configuration_makes_in_the_documented_way_are_what_it_is_captured_and_measured_with(
    workspace: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    line = ("--config", workspace / "my_config.py:OwnCache", "--feature", "causal-lm-with-past", "--model", workspace / "opt")
    run = command("onnx", *line, workspace / "onnx", "--json")
    assert run.returncode == 0, run.stderr
    axes = [case["axes"] for case in json.loads(run.stdout)["verdict"]["cases"]]
    assert all(case["past_sequence"] == case["sequence"] + 2 for case in axes)
    assert {"batch": 2, "sequence": 8, "past_sequence": 10, "past_sequence + sequence": 18} in axes


def test_a_configuration_converts_from_python(workspace: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(MY_CONFIG, namespace)  # as a user would type it
    model = FeaturesManager.get_model_from_feature("causal-lm-with-past", str(workspace / "opt"))
    model.train()
    config: OnnxConfigWithPast = namespace["OPTOnnxConfig"].with_past(model.config, task="causal-lm")
    path = workspace / "opt.onnx"
    names, outputs = export(None, model, config, 18, path)
    assert (names, outputs) == (list(config.inputs), list(config.outputs))
    assert model.training and model.config.use_cache
    verdict = validate_model_outputs(config, None, model, path, outputs, config.atol_for_validation)
    assert verdict.passed and verdict.generation

    with torch.no_grad():
        next(model.parameters())[5] += 0.01
    with pytest.raises(ValueError, match="does not match the model") as caught:
        validate_model_outputs(config, None, model, path, outputs, config.atol_for_validation)
    assert isinstance(caught.value, ValidationError) and not caught.value.verdict.passed
    with pytest.raises(ValidationError, match="outputs logits are not the configuration's"):
        validate_model_outputs(config, None, model, path, ["logits"], 1.0)


def test_a_ready_made_configuration_converts_from_python_by_the_features_manager(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = FeaturesManager.get_model_from_feature("seq2seq-lm", str(tiny("t5", "AutoModelForSeq2SeqLM")))
    kind, configure = FeaturesManager.check_supported_model_or_raise(model, feature="seq2seq-lm")
    config = configure(model.config)
    assert (kind, type(config).__name__) == ("t5", "T5OnnxConfig") and isinstance(config, OnnxConfig)
    names, outputs = export(None, model, config, config.default_onnx_opset, tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx")
    ones = {name: np.ones((2, 3), np.int64) for name in names}
    assert session.run(outputs, ones)[0].shape == (2, 3, 120)


@pytest.mark.parametrize(("model_type", "feature"), [("gpt5", "default"), ("bert", "causal-lm-with-past")])
def test_the_features_manager_refuses_what_is_not_there(model_type: str, feature: str) -> None:
    for kind in (KeyError, ValueError):
        with pytest.raises(kind, match=r"not supported|has no feature"):
            FeaturesManager.get_config(model_type, feature)


def test_a_random_head_is_not_exported_from_python_either(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = FeaturesManager.get_model_from_feature("sequence-classification", str(tiny("bert")))
    config = FeaturesManager.get_config("bert", "sequence-classification")(model.config)
    with pytest.raises(ConversionError, match=r"has no weights for classifier\.bias, classifier\.weight"):
        export(None, model, config, None, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_seq2seq_checkpoint_without_a_feature_is_exported_as_what_it_is(
    tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    outcome = convert(tiny("marian", "AutoModelForSeq2SeqLM"))
    assert (outcome.status, outcome.feature) == ("converted", "seq2seq-lm"), outcome.failure


@pytest.mark.parametrize(
    ("config", "model_type", "feature", "fixed"),
    [
        ("ElectraOnnxConfig", "electra", "sequence-classification", {}),
        ("OtherNames", "electra", "sequence-classification", {}),
        ("FixedLength", "electra", "sequence-classification", {"sequence": 7}),
        ("OPTOnnxConfig", "opt", "causal-lm", {}),
        ("NoMask", "opt", "causal-lm", {}),
        ("ViTOnnxConfig", "vit", "default", {}),
    ],
)
def test_a_configuration_is_traced_and_a_length_that_it_never_makes_is_guarded(
    config: str, model_type: str, feature: str, fixed: dict[str, int], workspace: Path, convert: Callable[..., Outcome]
) -> None:
    outcome = convert(workspace / model_type, backend="torchscript", feature=feature, config=f"{workspace}/my_config.py:{config}")
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact and outcome.artifact.signature.fixed == fixed


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("WrongInputs", "ElectraForSequenceClassification takes no input bbox"),
        ("WrongOutputs", "ElectraForSequenceClassification gives no output pooled"),
        ("NoOutputs", "NoOutputs declares no outputs"),
        ("Raises", "the configuration"),
    ],
)
def test_a_wrong_configuration_is_told_of_a_trace_too(config: str, message: str, workspace: Path, convert: Callable[..., Outcome]) -> None:
    outcome = convert(
        workspace / "electra", backend="torchscript", feature="sequence-classification", config=f"{workspace}/my_config.py:{config}"
    )
    assert outcome.failure and message in outcome.failure.message
