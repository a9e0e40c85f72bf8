"""The commands of each page, run in their order, in a folder with the page's files.

Other tests run docker's commands (tests/container), a command on a cluster (test_ray.py) and `cache warm` (test_graph_cache.py, with
fewer configurations). Neuron's compiler is missing here; test_neuron_guide.py has a double.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest
import transformers

from tests.hub_server import OWNER_TOKEN, HubClient, HubServer
from tests.support.checkpoints import save_tokenizer
from tests.support.docs import ROOT, ShownCommand, shown_commands

_BERT, _CLASSIFIER = ("bert", "AutoModel"), ("distilbert", "AutoModelForSequenceClassification")
REPOSITORIES = {
    "sentence-transformers/all-MiniLM-L6-v2": _BERT,
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": _CLASSIFIER,
    "openai-community/gpt2": ("gpt2", "AutoModelForCausalLM"),
    "org/name": _BERT,
}
"""The repositories that the pages name: tiny models of the same kinds."""

MOVED = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "distilbert-base-uncased-finetuned-sst-2-english": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
}
"""The namespaces that the Hub has given to old names."""

FOLDERS = {"ours": _BERT, "my-model": _BERT, "checkpoints/ours": _CLASSIFIER}
MANIFEST = "# two\norg/name\n#\n#\n#\n#\nbert-base-uncased to=torchscript\n"
"""For the pages that show none; the lines of its jobs are 2 and 7."""
TEXTS = "".join(f"using {word} with runtime {number}!\n" for number, word in enumerate(["was", "a", "runtime", "using"] * 20))


def _is_elsewhere(shown: ShownCommand) -> bool:
    line = " ".join(shown.arguments)
    return shown.in_docker or "--ray-address" in line or line == "cache warm"


PAGES = {
    page.relative_to(ROOT).as_posix(): [shown for shown in commands if not _is_elsewhere(shown)]
    for page, commands in groupby(shown_commands(), lambda shown: shown.page)
}


@pytest.fixture(scope="module")
def client(hub: HubServer, tiny: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    for name, kind in REPOSITORIES.items():
        hub.add_repository(name, {path.name: path for path in tiny(*kind).iterdir()})
    config = transformers.BertConfig(vocab_size=120, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32)
    folder = save_tokenizer(tmp_path_factory.mktemp("bert") / "base", "input_ids", "attention_mask", "token_type_ids")
    transformers.BertModel(config).save_pretrained(folder)
    hub.add_repository(MOVED["bert-base-uncased"], {path.name: path for path in folder.iterdir()})
    hub.moved.update(MOVED)
    with HubClient(hub, tmp_path_factory.mktemp("home")) as running:
        yield running


def _prepare(page: str, tiny: Callable[..., Path]) -> None:
    """Write a page's files and checkpoints to the working folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, kind in FOLDERS.items():
        shutil.copytree(tiny(*kind), name)
    Path("models.txt").write_text(next(iter(re.findall(r"^```\n(\S+ +to=.*?)^```$", text, re.M | re.S)), MANIFEST), encoding="utf-8")
    Path("ours.txt").write_text(TEXTS, encoding="utf-8")
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", text, re.M | re.S):
        Path(name).write_text(code, encoding="utf-8")
    config = transformers.ElectraConfig(vocab_size=120, embedding_size=16, hidden_size=32, num_hidden_layers=1, intermediate_size=32)
    transformers.ElectraModel(config).save_pretrained("electra")
    save_tokenizer(Path("electra"), "input_ids", "attention_mask", "token_type_ids")


@pytest.mark.parametrize("page", [page for page, commands in PAGES.items() if commands])
def test_the_commands_of_a_page_work_one_after_the_other(
    page: str, client: HubClient, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _prepare(page, tiny)
    if page.endswith("push-to-hub.md"):
        client("run", "--manifest", "models.txt", folder=tmp_path)
    for shown in PAGES[page]:
        needs_sdk = shown.arguments[0] == "neuron" and "--check" not in shown.arguments
        said = client(*shown.arguments, expect=None, token=OWNER_TOKEN, folder=tmp_path)
        assert said.code == (1 if needs_sdk else 0), f"{shown}\n{said.out}{said.err}"
        assert needs_sdk == ("is not installed" in said.err), said.err


def test_two_commands_beside_those_of_docker_are_run_elsewhere() -> None:
    left = [" ".join(shown.arguments) for shown in shown_commands() if _is_elsewhere(shown) and not shown.in_docker]
    assert left == ["--manifest models.txt --output /shared/out --executor ray --ray-address HEAD:6379", "cache warm"]
