"""`converter cache warm`: the configurations and the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.cli import cache
from converter.core.records import Source
from converter.warming import most_used

Run = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Source, str | None, Path]]:
    """The requested configurations; nothing is warmed."""
    calls: list[tuple[Source, str | None, Path]] = []
    monkeypatch.setattr(cache, "warm", lambda source, feature, folder, _: calls.append((source, feature, folder)) or [])
    return calls


def test_with_nothing_named_those_of_the_package_are_warmed(converter: Run, tmp_path: Path, asked: list[Any]) -> None:
    assert converter("cache", "warm", "--cache", tmp_path / "cache").code == 0
    assert asked == [(source, None, tmp_path / "cache") for source in most_used()]


def test_what_is_named_is_warmed_for_the_feature_that_is_asked_for(
    converter: Run, tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERTER_CACHE", str(tmp_path / "cache"))
    assert converter("cache", "warm", "org/name@main", tmp_path, "--feature", "masked-lm").code == 0
    hub, folder = Source(name="org/name", revision="main"), Source(name=str(tmp_path), folder=tmp_path)
    assert asked == [(hub, "masked-lm", tmp_path / "cache"), (folder, "masked-lm", tmp_path / "cache")]


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_made(converter: Run, tmp_path: Path, asked: list[Any]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = converter("cache", "warm", "--cache", tmp_path / "file" / "cache")
    assert (result.code, asked) == (1, [])
    assert "cannot write to" in result.err
