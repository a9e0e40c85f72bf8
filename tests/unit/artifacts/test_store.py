"""An artifact is up to date by its content."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from converter.artifacts.store import RECORD, cache_key, damaged_files, describe_files, find_up_to_date, read_record, versions_of
from converter.backends.onnx.options import OnnxOptions
from converter.core.records import USERS_FILES, Checkpoint, Source
from tests.support.samples import artifact_record

CHECKPOINT = Checkpoint(source=Source(name="org/a"), identity="commit:1", config={}, files={})
VERSIONS = {"converter": "1", "torch": "2"}
KEY = cache_key(CHECKPOINT, "onnx", OnnxOptions(), VERSIONS)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact of two files, written before its record."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx_data").write_bytes(b"weights")
    for file in describe_files(tmp_path):
        os.utime(tmp_path / file.path, ns=(10**18, 10**18))
    (tmp_path / RECORD).write_text(artifact_record(*describe_files(tmp_path), key=KEY).model_dump_json(), encoding="utf-8")
    return tmp_path


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
    assert set(values) == set(OnnxOptions.model_fields) - {*USERS_FILES, *OnnxOptions.aliases}  # files count by their contents
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


def test_a_second_look_at_every_file_does_not_trust_the_time(artifact: Path) -> None:
    record = read_record(artifact)
    assert record is not None
    (artifact / "model.onnx").write_bytes(b"grapH")
    os.utime(artifact / "model.onnx", ns=(10**18, 10**18))
    assert damaged_files(artifact, record.files, trust_mtime=False) == ["model.onnx"]


def test_a_record_of_the_format_before_is_not_done(artifact: Path) -> None:
    record = json.loads((artifact / RECORD).read_bytes())
    assert (record["format"], find_up_to_date(artifact, None, KEY) is not None) == (2, True)
    (artifact / RECORD).write_text(json.dumps(record | {"format": 1}), encoding="utf-8")
    assert find_up_to_date(artifact, None, KEY) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"format": 1}', "\ufeff{}"])
def test_a_record_that_cannot_be_read_is_none(artifact: Path, text: str) -> None:
    (artifact / RECORD).write_text(text, encoding="utf-8")
    assert read_record(artifact) is None
    assert find_up_to_date(artifact, None, KEY) is None


def test_no_record_no_folder_and_a_folder_for_a_record_are_none(tmp_path: Path) -> None:
    (tmp_path / "x" / RECORD).mkdir(parents=True)
    assert [read_record(folder) for folder in (tmp_path, tmp_path / "nothing", tmp_path / "x")] == [None] * 3


@pytest.mark.parametrize("path", ["../victim", "/etc/victim", "a/../../victim", "", ".", "a\0b"])
def test_a_record_that_speaks_of_files_elsewhere_is_none(artifact: Path, path: str) -> None:
    record = artifact / RECORD
    record.write_text(record.read_text(encoding="utf-8").replace('"model.onnx"', f'"{path}"'.replace("\0", "\\u0000")), encoding="utf-8")
    assert read_record(artifact) is None


def test_the_description_is_of_every_file_but_the_record(artifact: Path) -> None:
    (artifact / "deeper").mkdir()
    (artifact / "deeper" / "x").touch()
    files = {file.path: file for file in describe_files(artifact)}
    assert list(files) == ["deeper/x", "model.onnx", "model.onnx_data"]
    assert files["deeper/x"].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files["model.onnx"].size == 5


def test_versions_are_of_the_installed_distributions_and_ours() -> None:
    assert set(versions_of(("pydantic", "click", "no-such-package"))) == {"converter", "pydantic", "click"}


def test_a_record_that_is_a_pipe_or_without_end_is_none(artifact: Path) -> None:
    (artifact / RECORD).unlink()
    os.mkfifo(artifact / RECORD)
    assert read_record(artifact) is None
    (artifact / RECORD).unlink()
    (artifact / RECORD).symlink_to("/dev/zero")
    assert read_record(artifact) is None


@pytest.mark.parametrize("field", ["size", "mtime_ns"])
def test_a_record_of_files_larger_than_any_is_none(artifact: Path, field: str) -> None:
    """Its size was an OverflowError when it was shown."""
    record = json.loads((artifact / RECORD).read_text(encoding="utf-8"))
    record["files"][0][field] = 10**400
    (artifact / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert read_record(artifact) is None


def test_a_pipe_in_the_place_of_a_file_is_not_done_and_not_waited_for(artifact: Path) -> None:
    path = artifact / "model.onnx"
    path.unlink()
    os.mkfifo(path)
    record = json.loads((artifact / RECORD).read_text(encoding="utf-8"))
    record["files"][0] |= {"size": 0, "mtime_ns": path.stat().st_mtime_ns}
    (artifact / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert find_up_to_date(artifact, None, KEY) is None
    read = read_record(artifact)
    assert read and damaged_files(artifact, read.files, trust_mtime=False) == ["model.onnx"]
