"""What transformers.js gives with an artifact in a browser, beside what PyTorch gives with its checkpoint."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from tests.clients.models import PRECISIONS
from tests.clients.pytorch import SENTENCES, STEPS, TEXTS, embed, encode, greedy, load, lost
from tests.clients.test_transformers_js import NODE
from tests.support.debian import install

pytestmark = pytest.mark.client

HERE = Path(__file__).parent

Ask = Callable[..., Any]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        pass


@pytest.fixture(scope="module")
def site(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address on loopback of a site with the page, the library and the models."""
    root = tmp_path_factory.mktemp("site")
    for name, target in (("models", models), ("node_modules", NODE / "node_modules")):
        (root / name).symlink_to(target)
    for name in ("page.html", "tasks.mjs"):
        shutil.copy(HERE / name, root)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def ask(site: str) -> Iterator[Ask]:
    """Runs a task of transformers.js in Chromium on an input; the page reaches its own site only."""
    if not shutil.which("chromium"):
        install("chromium", why="there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        foreign: list[str] = []
        page.on("request", lambda request: None if request.url.startswith((site, "blob:", "data:")) else foreign.append(request.url))
        page.goto(f"{site}/page.html")
        page.wait_for_function("() => Boolean(window.ask)")
        yield lambda *arguments: page.evaluate("request => window.ask(request)", [*arguments, "fp32"][:4])
        assert foreign == []
        browser.close()


def test_sentences_have_the_embeddings_that_pytorch_gives_them(ask: Ask, checkpoints: Path) -> None:
    texts = ["The ferry leaves at seven.", "Où est la clé ?"]
    np.testing.assert_allclose(ask("minilm", "feature-extraction", texts), embed(checkpoints / "minilm", texts), atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS["minilm"][1:])
def test_a_precision_loses_no_more_than_its_record_says(precision: str, ask: Ask, models: Path, checkpoints: Path) -> None:
    embeddings = np.array(ask("minilm", "feature-extraction", TEXTS, precision))
    cosines = (embeddings * embed(checkpoints / "minilm", TEXTS).numpy()).sum(axis=1)
    assert cosines.min() >= lost(models / "minilm", precision)["cosine_min"] - 0.01


def test_an_encoder_and_a_decoder_translate_to_the_same_tokens(ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "t5", "AutoModelForSeq2SeqLM")
    tokens = ask("t5", "text2text-generation", {"texts": SENTENCES, "steps": STEPS})
    assert tokens == greedy(model, STEPS, **encode(tokenizer))
