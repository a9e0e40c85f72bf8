"""The setting of transformers.js for files beside an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

from converter.backends.onnx.clients.transformers_js import set_external_data_format

CONFIG = b'{"model_type": "bert",\n "x": "\xc3\xa9"}'


def test_a_file_with_its_tensors_beside_it_is_announced_with_how_many_files_they_are_in(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.onnx_data", "model.onnx_data_1", "model_fp16.onnx", "model_fp16.onnx_data", "model_q4.onnx"):
        (tmp_path / name).touch()
    config = json.loads(set_external_data_format(CONFIG, tmp_path, ["model.onnx", "model_fp16.onnx", "model_q4.onnx"]))
    assert config == {
        "model_type": "bert",
        "x": "é",
        "transformers.js_config": {"use_external_data_format": {"model.onnx": 2, "model_fp16.onnx": 1}},
    }


def test_what_the_checkpoint_says_to_it_beside_stays(tmp_path: Path) -> None:
    (tmp_path / "model.onnx_data").touch()
    theirs = {"transformers.js_config": {"dtype": "q8", "use_external_data_format": True}}
    config = json.loads(set_external_data_format(json.dumps(theirs).encode(), tmp_path, ["model.onnx"]))
    assert config == {"transformers.js_config": {"dtype": "q8", "use_external_data_format": {"model.onnx": 1}}}


def test_a_config_of_files_that_hold_their_tensors_is_as_it_was(tmp_path: Path) -> None:
    assert set_external_data_format(CONFIG, tmp_path, ["model.onnx"]) == CONFIG
