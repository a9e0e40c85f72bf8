"""Artifacts in the profile of the Hub, from a manifest to their files, and faults planted in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.backends.conversion import Conversion
from converter.checkpoints import export_wrappers
from converter.core.records import Job, Options, Outcome, Source, Verdict
from converter.pipeline import run_job
from converter.validation.measurement import measure
from tests.coverage.tiny import save_tiny as save_other
from tests.support.checkpoints import save_tiny

Command = Callable[..., subprocess.CompletedProcess[str]]

HUB: Mapping[str, Any] = {"profile": "hub"}
T5, GPT2 = "seq2seq-lm-with-past", "causal-lm-with-past"


def options(**chosen: Any) -> Options:
    return BACKENDS["onnx"].options(**HUB, **chosen)


def convert(checkpoint: Path, folder: Path, *, fresh: bool = False, **chosen: Any) -> Outcome:
    """Convert with the graphs of this run, or with a `fresh` capture: a fault that is planted in a model has to be in its graph."""
    return run_job(
        Job(
            source=Source(name="tiny", folder=checkpoint),
            backend="onnx",
            options=options(**chosen),
            destination=folder / "onnx",
            model_folder=folder,
            cache=None if fresh else Path(os.environ["CONVERTER_CACHE"]),
        )
    )


def judged(folder: Path, checkpoint: Path, model_type: str, feature: str) -> Verdict:
    conversion = Conversion(
        backend=BACKENDS["onnx"], architecture=find_architecture(model_type), checkpoint=checkpoint, options=options(feature=feature)
    )
    return measure(conversion, folder / "onnx").verdict


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "onnx").iterdir() if path.suffix == ".onnx"}


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("t5"), "t5", "AutoModelForSeq2SeqLM")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("gpt2"), "gpt2", "AutoModelForCausalLM")


@pytest.mark.canary
def test_a_manifest_has_the_files_of_the_hub_and_on_request_the_documented_ones(
    command: Command, t5: Path, gpt2: Path, tmp_path: Path
) -> None:
    lines = f"{t5} output=t5\n{gpt2} output=gpt2\n{gpt2} output=documented profile=documented\n"
    (tmp_path / "models.txt").write_text(lines, encoding="utf-8")
    result = command("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out/t5") == {"encoder_model.onnx", "decoder_model_merged.onnx"}
    assert files(tmp_path / "out/gpt2") == files(tmp_path / "out/documented") == {"model.onnx"}
    assert json.loads((tmp_path / "out/gpt2/genai_config.json").read_bytes())["model"]["decoder"]["filename"] == "onnx/model.onnx"
    assert not (tmp_path / "out/documented/genai_config.json").exists()
    kept = {name: json.loads((tmp_path / "out" / name / "onnx/converter.json").read_bytes()) for name in ("t5", "gpt2", "documented")}
    assert [record["options"]["feature"] for record in kept.values()] == [T5, GPT2, "causal-lm"]
    assert [part["file"] for part in kept["t5"]["signature"]["submodels"]] == ["encoder_model.onnx", "decoder_model_merged.onnx"]
    assert "genai_config.json" in {file["path"] for file in kept["gpt2"]["sidecars"]}
    again = command("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"))
    assert "0 converted, 3 unchanged" in again.stdout


def test_a_decoder_of_an_encoder_has_no_branches_and_each_weight_once(t5: Path, tmp_path: Path) -> None:
    import onnx

    outcome = convert(t5, tmp_path, feature=T5)
    assert outcome.status == "converted", outcome.failure
    model = onnx.load(tmp_path / "onnx/decoder_model_merged.onnx")
    assert "If" not in {node.op_type for node in model.graph.node}
    stored = [tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) > 1024]
    assert len(stored) == len(set(stored))
    assert outcome.verdict
    assert outcome.verdict.generation
    assert outcome.verdict.generation.passed


def test_the_first_call_takes_an_empty_cache_and_later_ones_the_encoders_keys_as_they_are(t5: Path, tmp_path: Path) -> None:
    import numpy as np

    assert convert(t5, tmp_path, feature=T5).status == "converted"
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / "onnx" / name, providers=["CPUExecutionProvider"])
        for name in ("encoder_model.onnx", "decoder_model_merged.onnx")
    )
    mask = np.ones((1, 6), np.int64)
    (states,) = encoder.run(None, {"input_ids": np.arange(6)[None], "attention_mask": mask})
    names = [node.name for node in decoder.get_outputs()]
    feed = {"encoder_attention_mask": mask, "encoder_hidden_states": states, "input_ids": np.zeros((1, 1), np.int64)}
    feed |= {node.name: np.zeros((1, 4, 0, 8), np.float32) for node in decoder.get_inputs() if node.name.startswith("past_")}
    first = dict(zip(names, decoder.run(None, feed), strict=True))
    feed |= {f"past_key_values{name.removeprefix('present')}": array for name, array in first.items() if name.startswith("present.")}
    second = dict(zip(names, decoder.run(None, feed), strict=True))
    assert second["present.0.decoder.key"].shape[2] == 2
    np.testing.assert_array_equal(first["present.0.encoder.key"], second["present.0.encoder.key"])


def test_an_encoder_of_another_checkpoint_is_found(t5: Path, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", "t5", "AutoModelForSeq2SeqLM", seed=9)
    for checkpoint, name in ((t5, "one"), (other, "two")):
        assert convert(checkpoint, tmp_path / name, feature=T5).status == "converted"
    assert judged(tmp_path / "one", t5, "t5", T5).passed
    shutil.copy(tmp_path / "two/onnx/encoder_model.onnx", tmp_path / "one/onnx")
    verdict = judged(tmp_path / "one", t5, "t5", T5)
    assert any("differs by" in problem for problem in verdict.all_problems())
    assert verdict.weights.different


def test_a_decoder_that_does_not_look_at_its_positions_is_found(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export_wrappers.ExportWrapper.forward

    def blind(self: export_wrappers.ExportWrapper, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        place = self._inputs.index("position_ids")
        length = tensors[0].shape[1]
        held = tensors[self._inputs.index("attention_mask")].shape[1] - length
        counted = (torch.arange(length) + held).expand(tensors[place].shape)
        return whole(self, *tensors[:place], counted, *tensors[place + 1 :])

    monkeypatch.setattr(export_wrappers.ExportWrapper, "forward", blind)
    outcome = convert(gpt2, tmp_path, fresh=True, feature=GPT2)
    assert outcome.status == "failed"
    assert outcome.verdict
    problems = [*outcome.verdict.all_problems()]
    assert any("padded left" in problem for problem in problems)
    assert any("'position_ids' matters to the checkpoint" in problem for problem in problems)


def test_an_encoder_that_encodes_another_text_is_found(t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export_wrappers.DecoderWrapper.forward

    def shifted(self: export_wrappers.DecoderWrapper, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        place = self._inputs.index("last_hidden_state")
        return whole(self, *tensors[:place], tensors[place].flip(1), *tensors[place + 1 :])

    monkeypatch.setattr(export_wrappers.DecoderWrapper, "forward", shifted)
    outcome = convert(t5, tmp_path, fresh=True, feature=T5)
    assert outcome.status == "failed"
    assert outcome.failure
    assert "does not match the checkpoint" in outcome.failure.message


def test_a_feature_without_its_cache_is_one_file_and_told_to_be_none_of_the_clients(t5: Path, tmp_path: Path) -> None:
    outcome = convert(t5, tmp_path, feature="seq2seq-lm")
    assert outcome.status == "converted", outcome.failure
    assert files(tmp_path) == {"model.onnx"}
    assert any("pass --feature seq2seq-lm-with-past" in note for note in outcome.notes)


def test_one_command_validates_an_artifact_of_two_files(command: Command, t5: Path, tmp_path: Path) -> None:
    assert convert(t5, tmp_path, feature=T5).status == "converted"
    for path in (tmp_path, tmp_path / "onnx", tmp_path / "onnx/decoder_model_merged.onnx"):
        result = command("validate", str(path), "--reference", str(t5))
        assert result.returncode == 0, result.stderr
        assert "decoder_model_merged.onnx matches the checkpoint" in result.stdout


def test_without_its_record_an_artifact_is_known_by_its_files(command: Command, t5: Path, gpt2: Path, tmp_path: Path) -> None:
    for name, checkpoint, feature in (("t5", t5, T5), ("gpt2", gpt2, GPT2)):
        assert convert(checkpoint, tmp_path / name, feature=feature).status == "converted"
        (tmp_path / name / "onnx/converter.json").unlink()
        result = command("validate", tmp_path / name / "onnx", "--reference", checkpoint)
        assert result.returncode == 0, result.stderr
        assert f"matches the checkpoint for {feature}" in result.stdout


def test_the_command_says_how_its_two_files_are_called(command: Command, t5: Path, tmp_path: Path) -> None:
    result = command("onnx", "--model", str(t5), "--profile", "hub", str(tmp_path / "onnx"))
    assert result.returncode == 0, result.stderr
    assert "call encoder_model.onnx with (input_ids, attention_mask)" in result.stderr
    assert f"All good, model saved at: {tmp_path}/onnx/decoder_model_merged.onnx" in result.stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")
def test_a_model_that_turns_out_to_have_no_cache_is_converted_without_one_unless_it_was_asked_for(command: Command, tmp_path: Path) -> None:
    save_other(tmp_path / "moonshine", "moonshine", "AutoModelForSpeechSeq2Seq")
    asked = "automatic-speech-recognition-with-past"
    (tmp_path / "models.txt").write_text(f"./moonshine\n./moonshine output=asked feature={asked}\n", encoding="utf-8")
    result = command("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--json")
    assert result.returncode == 1
    outcome, failed = json.loads(result.stdout)["outcomes"]
    assert (outcome["status"], outcome["feature"]) == ("converted", "automatic-speech-recognition")
    assert any(note.startswith("it is tried for automatic-speech-recognition, without a cache: ") for note in outcome["notes"])
    assert files(tmp_path / "out/moonshine") == {"model.onnx"}
    assert (failed["status"], failed["failure"]["kind"]) == ("failed", "NotSupportedError")
    again = command("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--json")
    assert json.loads(again.stdout)["outcomes"][0]["status"] == "skipped"
