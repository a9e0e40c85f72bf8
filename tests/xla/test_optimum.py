"""The classes of the real optimum-neuron load our folders; the SDK below is a double or a mock.

optimum-neuron is bound to transformers 4, so `make neuron-check` installs it in a separate folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from converter.backends.neuron import NeuronOptions
from converter.core.records import Job, Source
from converter.pipeline import run_job
from tests.support.neuron_doubles import Doubles

CLIENT = Path(__file__).with_name("optimum_client.py")
OPTIMUM = Path(sys.prefix) / "optimum"


@pytest.mark.parametrize(
    ("model_type", "head", "feature", "place", "batch"),
    [
        ("bert", "", "default", "", 1),
        ("bert", "", "default", "buckets/8", 1),
        ("bert", "MaskedLM", "masked-lm", "", 1),
        ("bert", "MultipleChoice", "multiple-choice", "", 1),
        ("bert", "QuestionAnswering", "question-answering", "", 1),
        ("bert", "TokenClassification", "token-classification", "", 1),
        ("roberta", "SequenceClassification", "sequence-classification", "", 3),  # with a dynamic batch
    ],
)
def test_a_class_of_optimum_neuron_takes_the_folder_and_gives_what_the_checkpoint_gives(
    doubles: Doubles,
    tiny: Callable[..., Path],
    tmp_path: Path,
    model_type: str,
    head: str,
    feature: str,
    place: str,
    batch: int,
) -> None:
    doubles.device(True)
    doubles.install("torch_neuronx-2.9")
    auto_class = f"AutoModelFor{head}" if head else "AutoModel"
    checkpoint = tiny(model_type, auto_class)
    asked = {"target": "inf2", "batch_size": 1, "sequence_length": "8,16", "feature": feature, "dynamic_batch": batch > 1}
    source, options = Source(name="tiny", folder=checkpoint), NeuronOptions.model_validate(asked)
    outcome = run_job(Job(source=source, backend="neuron", options=options, destination=tmp_path / "neuron"))
    assert outcome.status == "converted", outcome.failure

    command = [sys.executable, CLIENT, tmp_path / "neuron" / place, head or "FeatureExtraction", str(batch)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(OPTIMUM)})
    assert result.returncode == 0, result.stderr
    reply = json.loads(result.stdout[result.stdout.index('{"inputs"') :])
    inputs = {name: torch.tensor(values) for name, values in reply["inputs"].items()}
    with torch.no_grad():
        expected = getattr(transformers, auto_class).from_pretrained(checkpoint)(**inputs)
    outputs = {name: torch.tensor(values) for name, values in reply["outputs"].items() if name in expected}
    assert outputs
    for name, output in outputs.items():
        torch.testing.assert_close(output, expected[name], rtol=1e-5, atol=1e-5)
