"""A configuration in a user's own file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from converter.architectures import custom_architecture
from converter.core.errors import NotSupportedError

GOOD = """
from converter.onnx import OnnxConfig, OnnxConfigWithPast

class Mine(OnnxConfig):
    @property
    def inputs(self):
        return {"input_ids": {0: "batch", 1: "sequence"}}

class WithPast(OnnxConfigWithPast):
    @property
    def inputs(self):
        return {"input_ids": {0: "batch", 1: "sequence"}}

class Unfinished(OnnxConfig):
    pass

class Other:
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my config.py"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_class_of_a_file_describes_any_model_type_and_is_known_by_the_files_contents(file: Path) -> None:
    architecture = custom_architecture(f"{file}:Mine", "electra")
    assert (architecture.name, architecture.model_type, architecture.onnx_config.__name__) == ("Mine", "electra", "Mine")
    assert architecture.origin == {"Mine": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"}


def test_only_a_class_with_a_cache_has_the_features_with_a_cache(file: Path) -> None:
    assert "causal-lm-with-past" in custom_architecture(f"{file}:WithPast", "x").features
    assert "causal-lm-with-past" not in custom_architecture(f"{file}:Mine", "x").features


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Other", "Other of .* is not a subclass of converter.onnx.OnnxConfig"),
        ("Missing", "Missing of .* has no such class"),
        ("Unfinished", "Unfinished of .* has no inputs"),
        ("OnnxConfig", "OnnxConfig of .* has no inputs"),
    ],
)
def test_what_is_no_configuration_is_told_by_name(file: Path, name: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        custom_architecture(f"{file}:{name}", "bert")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match=r"cannot read the configuration .*nothing\.py:Mine"):
        custom_architecture(f"{tmp_path}/nothing.py:Mine", "bert")


@pytest.mark.parametrize("content", ["def", "import no_such_module", "1/0"])
def test_a_file_that_cannot_be_run_is_told_with_the_reason(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.py").write_text(content, encoding="utf-8")
    for _ in range(2):  # a failed import leaves nothing behind
        with pytest.raises(NotSupportedError, match=r"broken\.py cannot be run: (SyntaxError|ModuleNotFoundError|ZeroDivisionError)"):
            custom_architecture(f"{tmp_path}/broken.py:Mine", "bert")
