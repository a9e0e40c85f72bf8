"""Model types without a dedicated configuration: converted by the command line, named as such, and wrong artifacts of them are found."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import numpy_helper

from converter.core.records import Outcome
from tests.coverage.tiny import save_tiny

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Convert = Callable[..., Outcome]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for model_type, auto_class in (
        ("albert", "AutoModelForMaskedLM"),
        ("llama", "AutoModelForCausalLM"),
        ("vit", "AutoModelForImageClassification"),
        ("detr", "AutoModelForObjectDetection"),
        ("whisper", "AutoModelForSpeechSeq2Seq"),
    ):
        save_tiny(folder / model_type, model_type, auto_class)
    return folder


@pytest.mark.canary
def test_a_manifest_of_texts_images_and_sounds_is_converted_by_what_each_was_trained_for(
    checkpoints: Path, command: Run, tmp_path: Path
) -> None:
    (tmp_path / "models.txt").write_text("".join(f"{checkpoints / name}\n" for name in ("albert", "vit", "whisper")), encoding="utf-8")
    result = command("run", "--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    outcomes = {Path(outcome["model"]).name: outcome for outcome in json.loads(result.stdout)["outcomes"]}
    assert {name: outcome["feature"] for name, outcome in outcomes.items()} == {
        "albert": "masked-lm",
        "vit": "image-classification",
        "whisper": "automatic-speech-recognition-with-past",
    }
    for name, outcome in outcomes.items():
        assert outcome["artifact"]["configuration"] == "GenericOnnxConfig"
        assert f"{name} has no dedicated configuration; its inputs and outputs were inferred from the model" in outcome["notes"]
    again = command("run", "--manifest", tmp_path / "models.txt", "--output", tmp_path / "out", "--json")
    assert {outcome["status"] for outcome in json.loads(again.stdout)["outcomes"]} == {"skipped"}


def test_a_described_type_is_told_by_its_own_configuration(tiny: Callable[..., Path], convert: Convert) -> None:
    outcome = convert(tiny("bert"))
    assert outcome.artifact
    assert outcome.artifact.configuration == "BertOnnxConfig"
    assert not outcome.notes


def test_images_are_of_the_size_that_the_processor_gives_where_the_model_takes_it(tmp_path: Path, convert: Convert) -> None:
    checkpoint = save_tiny(tmp_path / "checkpoint", "dinov2_with_registers", "AutoModel")
    size = transformers.AutoConfig.from_pretrained(checkpoint).image_size // 2
    (checkpoint / "preprocessor_config.json").write_text(json.dumps({"do_center_crop": True, "crop_size": {"height": size, "width": size}}))
    outcome = convert(checkpoint)
    assert outcome.artifact, outcome.failure
    assert outcome.artifact.signature.inputs[0].shape == ("batch", 3, size, size)


def test_a_fault_of_the_installed_version_is_told_with_the_version_that_has_the_type(
    checkpoints: Path, command: Run, tmp_path: Path
) -> None:
    newer = shutil.copytree(checkpoints / "albert", tmp_path / "newer")
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps({**config, "model_type": "albert_of_tomorrow", "transformers_version": "99.0.0"}))
    result = command("onnx", "--model", newer, tmp_path / "out")
    assert result.returncode == 1
    assert f"transformers {transformers.__version__} does not know it, and its config.json was written by 99.0.0" in result.stderr
    assert not (tmp_path / "out").exists()


# --- faults that are planted in good artifacts ----------------------------------------------------------------------------


def ignore_the_lower_half_of_an_image(model: onnx.ModelProto) -> None:
    height = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    half = np.ones((1, 1, height, 1), np.float32)
    half[:, :, height // 2 :] = 0
    _put_before(model, "pixel_values", onnx.helper.make_node("Mul", ["pixel_values", "half"], ["seen"]), half)


def take_all_pixels_for_the_image(model: onnx.ModelProto) -> None:
    _put_before(model, "pixel_mask", onnx.helper.make_node("Max", ["pixel_mask", "half"], ["seen"]), np.array(1))


def hear_another_recording(model: onnx.ModelProto) -> None:
    _put_before(model, "input_features", onnx.helper.make_node("Mul", ["input_features", "half"], ["seen"]), np.array(0.999, np.float32))


def forget_what_the_encoder_gave(model: onnx.ModelProto) -> None:
    """One layer's cache of keys is used for another's, of the same shape."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "past_key_values.1.encoder.key":
                node.input[index] = "past_key_values.0.encoder.key"


def _put_before(model: onnx.ModelProto, name: str, node: onnx.NodeProto, constant: np.ndarray) -> None:
    for user in model.graph.node:
        for index, value in enumerate(user.input):
            if value == name:
                user.input[index] = "seen"
    model.graph.initializer.append(numpy_helper.from_array(constant, "half"))
    model.graph.node.insert(0, node)


@pytest.mark.parametrize(
    ("name", "feature", "plant", "message"),
    [
        ("vit", "image-classification", ignore_the_lower_half_of_an_image, "differs by"),
        ("detr", "object-detection", take_all_pixels_for_the_image, "differs by"),
        ("whisper", "automatic-speech-recognition-with-past", hear_another_recording, "differs by"),
        ("whisper", "automatic-speech-recognition-with-past", forget_what_the_encoder_gave, "differs by"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(
    name: str, feature: str, plant: Callable[[onnx.ModelProto], None], message: str, checkpoints: Path, convert: Convert, command: Run
) -> None:
    outcome = convert(checkpoints / name, feature=feature)
    assert outcome.artifact, outcome.failure
    folder = Path(outcome.destination)
    (folder / "converter.json").unlink()
    asked = ("validate", folder, "--reference", checkpoints / name, "--feature", feature)
    assert command(*asked).returncode == 0
    model = onnx.load(folder / "model.onnx")
    plant(model)
    onnx.save(model, folder / "model.onnx")
    result = command(*asked)
    assert result.returncode == 1
    assert message in result.stderr


def test_an_encoder_is_not_run_again_once_the_cache_holds_what_it_gave(checkpoints: Path, convert: Convert) -> None:
    """By ONNX Runtime's profile of shapes: the convolutions of later calls have no rows."""
    folder = Path(convert(checkpoints / "whisper", feature="automatic-speech-recognition-with-past").destination)
    model = onnx.load(folder / "model.onnx")
    first_convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(first_convolution.output[0]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    shapes = {node.name: node.shape for node in session.get_inputs()}
    feed = {
        name: np.zeros([0 if axis == 2 else dim if isinstance(dim, int) else 2 for axis, dim in enumerate(shape)], np.float32)
        for name, shape in shapes.items()
        if name.startswith("past_key_values.")
    }
    features = torch.randn(2, *shapes["input_features"][1:]).numpy()
    feed |= {"input_features": features, "decoder_input_ids": np.full((2, 1), 5)}
    rows = []
    for length in (1, 2, 3):
        if "decoder_attention_mask" in shapes:
            feed["decoder_attention_mask"] = np.ones((2, length), np.int64)
        outputs = dict(zip(names, session.run(names, feed), strict=True))
        rows.append(outputs[names[-1]].shape[0])
        feed |= {f"past_key_values{name.removeprefix('present')}": array for name, array in outputs.items() if name.startswith("present.")}
    assert rows == [2, 0, 0]
