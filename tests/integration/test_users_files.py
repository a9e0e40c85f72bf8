"""A conversion touches no file that its user did not name, in the working folder or beside the destination."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.foreign import FOREIGN, put_foreign, state


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of a shell's, in a folder; `converter` is this package's."""
    command = line.replace("converter ", f"{shlex.quote(sys.executable)} -m converter ", 1)
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize("name", ["onnx", "hub", "out"])
def test_what_a_shell_redirects_beside_the_artifact_stays_there(name: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    done = shell(f"converter onnx --model=tiny {name}/ > {name}.log", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "All good" in (tmp_path / f"{name}.log").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}.log", "tiny"])
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["converter.json", "model.onnx"]


def test_what_a_shell_redirects_into_the_artifacts_folder_survives_the_next_artifact(tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    (tmp_path / "onnx").mkdir()
    for opset in (18, 20):  # the second is another artifact, which takes the place of the first
        done = shell(f"converter onnx --model=tiny --opset {opset} --log-format json onnx/ 2> onnx/converter.log", tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "onnx" / "converter.log").read_text(encoding="utf-8").splitlines()[0])["event"] == "batch-began"
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"converter.json", "converter.log", "model.onnx"}


def test_a_batch_leaves_what_has_a_name_of_its_logs_and_of_its_staged_files(tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    lines = [f"./tiny output=good/{kind}\n./missing output=bad/{kind}\n" for kind in FOREIGN]
    (tmp_path / "models.txt").write_text("".join(lines), encoding="utf-8")
    for folder in (f"{outcome}/{kind}" for outcome in ("good", "bad") for kind in FOREIGN):
        for name in ("onnx.log", "onnx.converter.log", ".converter-onnx", ".converter-onnx-0123abcd", ".converter-config.json"):
            put_foreign(tmp_path / folder / name, Path(folder).name)
    before = state(tmp_path)
    done = shell("converter run --manifest models.txt --output . > good/batch.log", tmp_path)
    assert done.returncode == 1, done.stderr
    after = state(tmp_path)
    assert {path: content for path, content in after.items() if path in before} == before
    outcomes = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["outcomes"]
    for kind, good, bad in zip(FOREIGN, outcomes[::2], outcomes[1::2], strict=True):
        assert (good["status"], good["log"]) == ("converted", f"good/{kind}/onnx/converter.log")
        assert (bad["status"], bad["log"]) == ("failed", f"bad/{kind}/onnx.converter-2.log")
        assert "status=failed" in (tmp_path / bad["log"]).read_text(encoding="utf-8")
    assert "4 failed" in (tmp_path / "good" / "batch.log").read_text(encoding="utf-8")
    sidecars = {f"good/{kind}/{file.name}" for kind in FOREIGN for file in tiny("bert").iterdir()}
    made = {path for path in after if path not in before and "/onnx/" not in path and not path.startswith("report.")}
    assert made <= {"good/batch.log", *(f"good/{kind}/onnx" for kind in FOREIGN), *(bad["log"] for bad in outcomes[1::2]), *sidecars}
