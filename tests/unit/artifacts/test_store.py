"""An artifact is up to date if its record has the job's key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from converter.artifacts.integrity import describe_files
from converter.artifacts.record_file import RECORD
from converter.artifacts.store import cache_key, find_up_to_date
from converter.backends.onnx.options import OnnxOptions
from converter.core.records import USERS_FILES, Checkpoint, Source
from tests.support.artifact_folders import CHECKPOINT, KEY, VERSIONS
from tests.support.samples import artifact_record


@pytest.mark.parametrize(
    "key",
    [
        cache_key(Checkpoint(source=Source(name="org/a"), identity="commit:2", config={}, files={}), "onnx", OnnxOptions(), VERSIONS),
        cache_key(CHECKPOINT, "torchscript", OnnxOptions(), VERSIONS),
        *(
            cache_key(CHECKPOINT, "onnx", OnnxOptions.model_validate(options), VERSIONS)
            for options in ({"opset": 18}, {"opset": 21}, {"atol": 1e-3})
        ),
        *(
            cache_key(CHECKPOINT, "onnx", OnnxOptions.model_validate(options), VERSIONS)
            for options in ({"dtype": "checkpoint"}, {"feature": "masked-lm"})
        ),
        *(cache_key(CHECKPOINT, "onnx", OnnxOptions(), {**VERSIONS, name: "3"}) for name in ("converter", "torch", "onnx")),
    ],
)
def test_another_source_backend_option_or_version_is_another_key(key: str) -> None:
    assert key != KEY


def test_the_same_commit_under_another_name_or_revision_is_the_same_key() -> None:
    source = Source(name="org/renamed", revision="v1")
    assert cache_key(Checkpoint(source=source, identity="commit:1", config={}, files={}), "onnx", OnnxOptions(), VERSIONS) == KEY
    assert cache_key(CHECKPOINT, "onnx", OnnxOptions(opset=None), dict(reversed(VERSIONS.items()))) == KEY


def test_every_option_of_a_backend_is_part_of_the_key() -> None:
    values = {"feature": "x", "atol": 1.0, "precision": "fp32,q8", "allow_pickle": True, "trust_remote_code": True, "drop_weights": True}
    values |= {
        "opset": 18,
        "weights": "shared",
        "profile": "documented",
        "optimize": "cpu",
        "tier": "any",
    }
    assert set(values) == set(OnnxOptions.model_fields) - {*USERS_FILES, *OnnxOptions.aliases}  # files count by what is in them
    keys = {cache_key(CHECKPOINT, "onnx", OnnxOptions.model_validate({name: value}), VERSIONS) for name, value in values.items()}
    assert len(keys | {KEY}) == len(values) + 1


def test_a_configuration_counts_by_what_is_in_it_and_not_by_where_it_lies() -> None:
    options = [OnnxOptions(config=f"{place}/mine.py:Mine") for place in ("here", "there")]
    keys = [
        cache_key(CHECKPOINT, "onnx", option, {**VERSIONS, "Mine": digest}) for digest in ("sha256:1", "sha256:2") for option in options
    ]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_an_artifact_with_the_key_and_its_files_is_done(artifact: Path) -> None:
    record = find_up_to_date(artifact, None, KEY)
    assert record is not None
    assert [file.path for file in record.files] == ["model.onnx", "model.onnx_data"]


def test_an_artifact_of_another_key_is_not_done(artifact: Path) -> None:
    assert find_up_to_date(artifact, None, "other") is None


def test_an_artifact_that_lost_a_file_is_not_done(artifact: Path) -> None:
    (artifact / "model.onnx_data").unlink()
    assert find_up_to_date(artifact, None, KEY) is None


def test_one_byte_changed_after_the_record_is_noticed(artifact: Path) -> None:
    (artifact / "model.onnx_data").write_bytes(b"weightz")
    assert find_up_to_date(artifact, None, KEY) is None
    os.utime(artifact / "model.onnx_data", ns=(1, 1))  # nor does a date long past hide it
    assert find_up_to_date(artifact, None, KEY) is None


def test_a_sidecar_that_is_missing_or_changed_is_noticed(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = tmp_path_factory.mktemp("model")
    (model / "config.json").write_text("{}", encoding="utf-8")
    record = artifact_record(*describe_files(artifact), key=KEY).model_copy(update={"sidecars": describe_files(model)})
    (artifact / RECORD).write_text(record.model_dump_json(), encoding="utf-8")
    assert find_up_to_date(artifact, model, KEY) == record
    (model / "config.json").write_text("[]", encoding="utf-8")
    assert find_up_to_date(artifact, model, KEY) is None
    (model / "config.json").unlink()
    assert find_up_to_date(artifact, model, KEY) is None


def test_another_length_is_noticed_whatever_the_time_says(artifact: Path) -> None:
    (artifact / "model.onnx_data").write_bytes(b"weights and more")
    os.utime(artifact / "model.onnx_data", ns=(10**18, 10**18))
    assert find_up_to_date(artifact, None, KEY) is None


def test_a_file_that_was_copied_later_and_is_the_same_is_done(artifact: Path) -> None:
    later = (artifact / RECORD).stat().st_mtime_ns + 1
    os.utime(artifact / "model.onnx", ns=(later, later))
    assert find_up_to_date(artifact, None, KEY) is not None


def test_a_record_of_the_format_before_is_not_done(artifact: Path) -> None:
    record = json.loads((artifact / RECORD).read_bytes())
    assert (record["format"], find_up_to_date(artifact, None, KEY) is not None) == (2, True)
    (artifact / RECORD).write_text(json.dumps(record | {"format": 1}), encoding="utf-8")
    assert find_up_to_date(artifact, None, KEY) is None
