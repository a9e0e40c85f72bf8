"""The model types that people convert most, each for its main features, held against its checkpoint by other code than the converter's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.core.records import Job, Outcome, Source
from converter.pipeline import run_job
from tests.coverage.independent import compare_onnx, compare_torchscript
from tests.coverage.rows import Row, rows_of
from tests.coverage.tiny import save_tiny

MOST_CONVERTED = (
    "albert electra deberta deberta-v2 mpnet xlm-roberta modernbert nomic_bert bloom opt gpt_neox gptj llama mistral qwen2 qwen3 gemma "
    "gemma2 gemma3_text phi phi3 smollm3 olmo mt5 m2m_100 nllb-moe blenderbot blenderbot-small pegasus whisper wav2vec2 hubert vit deit "
    "beit dinov2 swin convnext resnet clip siglip detr yolos segformer layoutlmv3 vision-encoder-decoder"
).split()

TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.coverage,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),  # of the models' own code
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Makes a tiny checkpoint of a model type with the head of an auto class, each once."""
    made: dict[tuple[str, str], Path] = {}

    def make(model_type: str, auto_class: str) -> Path:
        key = (model_type, auto_class)
        if key not in made:
            made[key] = save_tiny(tmp_path_factory.mktemp(model_type) / "checkpoint", model_type, auto_class)
        return made[key]

    return make


def convert(row: Row, checkpoint: Path, destination: Path, **chosen: str) -> Outcome:
    options = row.options(**chosen)
    with warnings.catch_warnings():
        return run_job(
            Job(source=Source(name=row.model_type, folder=checkpoint), backend=row.backend, options=options, destination=destination)
        )


@pytest.mark.parametrize("row", [*rows_of(MOST_CONVERTED)], ids=lambda row: f"{row.model_type}-{row.feature}-{row.backend}")
def test_it_is_converted_and_does_what_its_checkpoint_does(row: Row, checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    auto_class = find_architecture(row.model_type).auto_class(row.feature)
    folder = checkpoint(row.model_type, auto_class)
    outcome = convert(row, folder, tmp_path)
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact
    assert outcome.verdict
    file = tmp_path / BACKENDS[row.backend].files.main
    if row.backend == "onnx":
        compare_onnx(file, folder, auto_class, TOLERANCE)
        assert (outcome.verdict.generation is not None) == ("with-past" in row.feature)
    else:
        compare_torchscript(file, outcome.artifact.signature, folder, auto_class, TOLERANCE)


@pytest.mark.parametrize(
    "row",
    [row for row in rows_of(MOST_CONVERTED) if row.feature == "causal-lm-with-past" and row.backend == "onnx"],
    ids=lambda row: row.model_type,
)
def test_a_decoder_is_converted_for_the_clients_of_the_hub(row: Row, checkpoint: Callable[[str, str], Path], tmp_path: Path) -> None:
    auto_class = find_architecture(row.model_type).auto_class(row.feature)
    folder = checkpoint(row.model_type, auto_class)
    outcome = convert(row, folder, tmp_path, profile="hub")
    assert outcome.status == "converted", outcome.failure
    compare_onnx(tmp_path / "model.onnx", folder, auto_class, TOLERANCE)
