"""A browser without a network, and the page of a real batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from converter import report
from converter.cli import main
from converter.core.records import Failure, Position
from converter.report import Report
from tests.support.debian import install
from tests.support.samples import failed, outcome, pushed

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&{{ 7 * 7 }}"
"""A name and a message as a checkpoint or a manifest could have them."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, or Chrome if installed."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        install("chromium", why="there is no Chrome")
        executable = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])  # root may not have one
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def written(tiny: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """report.html of a batch that was run twice, the second time with more, and with outcomes and pushes of hostile names."""
    folder = tmp_path_factory.mktemp("batch")
    out, manifest = folder / "out", folder / "models.txt"
    first = f"{tiny('bert')} output=bert\n"
    for text in (
        first,
        f"{first}{tiny('distilbert')} output=distilbert\n{tiny('roberta')} output=roberta atol=1e-30\n./gone output=gone\n",
    ):
        manifest.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit):
            main(["run", "--manifest", str(manifest), "--output", str(out), "--jobs", "1"])
    real = Report.model_validate_json((out / report.JSON_NAME).read_bytes())
    position = Position(file=HOSTILE, line=9)
    failure = Failure(stage=HOSTILE, kind=HOSTILE, message=HOSTILE, hint=HOSTILE)
    hostile = (failed(model=HOSTILE, position=position, failure=failure), outcome(model="x" * 300, feature=HOSTILE, notes=(HOSTILE,)))
    pushes = (pushed(), pushed(repository=HOSTILE, url="javascript:alert(3)", status="failed", failure=failure, notes=(HOSTILE,)))
    report.write(Report(outcomes=(*real.outcomes, *hostile), pushes=pushes), out)
    return out / report.HTML_NAME
