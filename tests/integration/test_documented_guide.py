"""The guide "Exporting Transformers models", typed in with `converter.onnx` in place of `transformers.onnx`, line by line.

The model ids of the guide are folders of that name here, as nothing is downloaded in a test; the classes that the guide
imports from `transformers.models.…` (`DistilBertOnnxConfig`) come from `converter.onnx`, as transformers has them no more.
"""

from __future__ import annotations

import doctest
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from converter.core.records import Outcome
from tests.support.checkpoints import save_tiny, save_tokenizer

GUIDE = """
>>> from transformers import AutoTokenizer
>>> from onnxruntime import InferenceSession

>>> tokenizer = AutoTokenizer.from_pretrained("distilbert-base-uncased")
>>> session = InferenceSession("onnx/model.onnx")
>>> # ONNX Runtime expects NumPy arrays as input
>>> inputs = tokenizer("Using DistilBERT with ONNX Runtime!", return_tensors="np")
>>> outputs = session.run(output_names=["last_hidden_state"], input_feed=dict(inputs))

>>> from transformers.models.distilbert import DistilBertConfig
>>> from converter.onnx import DistilBertOnnxConfig

>>> config = DistilBertConfig()
>>> onnx_config = DistilBertOnnxConfig(config)
>>> print(list(onnx_config.outputs.keys()))
['last_hidden_state']

>>> from converter.onnx.features import FeaturesManager

>>> distilbert_features = list(FeaturesManager.get_supported_features_for_model_type("distilbert").keys())
>>> print(distilbert_features)
['default', 'masked-lm', 'sequence-classification', 'multiple-choice', 'token-classification', 'question-answering']

>>> from typing import Mapping, OrderedDict
>>> from converter.onnx import OnnxConfig

>>> class DistilBertOnnxConfig(OnnxConfig):
...     @property
...     def inputs(self) -> Mapping[str, Mapping[int, str]]:
...         return OrderedDict(
...             [
...                 ("input_ids", {0: "batch", 1: "sequence"}),
...                 ("attention_mask", {0: "batch", 1: "sequence"}),
...             ]
...         )

>>> from transformers import AutoConfig

>>> config = AutoConfig.from_pretrained("distilbert-base-uncased")
>>> onnx_config = DistilBertOnnxConfig(config)

>>> print(onnx_config.default_onnx_opset)
20

>>> print(onnx_config.outputs)
OrderedDict(...'last_hidden_state'...{0: 'batch', 1: 'sequence'}...)

>>> config = AutoConfig.from_pretrained("distilbert-base-uncased")
>>> onnx_config_for_seq_clf = DistilBertOnnxConfig(config, task="sequence-classification")
>>> print(onnx_config_for_seq_clf.outputs)
OrderedDict(...'logits'...{0: 'batch'}...)

>>> from pathlib import Path
>>> from converter.onnx import export
>>> from transformers import AutoTokenizer, AutoModel

>>> onnx_path = Path("model.onnx")
>>> model_ckpt = "distilbert-base-uncased"
>>> base_model = AutoModel.from_pretrained(model_ckpt)
>>> tokenizer = AutoTokenizer.from_pretrained(model_ckpt)

>>> onnx_inputs, onnx_outputs = export(tokenizer, base_model, onnx_config, onnx_config.default_onnx_opset, onnx_path)

>>> import onnx

>>> onnx_model = onnx.load("model.onnx")
>>> onnx.checker.check_model(onnx_model)

>>> from converter.onnx import validate_model_outputs

>>> verdict = validate_model_outputs(
...     onnx_config, tokenizer, base_model, onnx_path, onnx_outputs, onnx_config.atol_for_validation
... )
"""

LOG = """Validating ONNX model...
        -[✓] ONNX model output names match reference model ({'last_hidden_state'})
        - Validating ONNX Model output "last_hidden_state":
                -[✓] (2, 8, 32) matches (2, 8, 32)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the guide's checkpoint: a masked language model, as distilbert-base-uncased is one, and its tokenizer."""
    save_tiny(tmp_path / "distilbert-base-uncased", "distilbert", "AutoModelForMaskedLM")
    save_tokenizer(tmp_path / "distilbert-base-uncased", "input_ids", "attention_mask")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guide_works_line_by_line(workspace: Path) -> None:
    log = _command("--model=distilbert-base-uncased", "onnx/")
    assert log.startswith(LOG.replace("        ", "\t"))
    assert log.endswith("All good, model saved at: onnx/model.onnx\n")
    guide = doctest.DocTestParser().get_doctest(GUIDE, {}, "guide", None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(guide, out=said.append, clear_globs=False)
    assert result.attempted > 30 and result.failed == 0, "".join(said)
    assert guide.globs["verdict"].max_abs_error < 1e-5
    assert list(guide.globs["outputs"][0].shape)[::2] == [1, 32]


def test_the_guides_second_command_exports_a_fine_tuned_head(
    workspace: Path, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny("distilbert", "AutoModelForSequenceClassification")
    monkeypatch.setattr(sys, "argv", ["converter.onnx", f"--model={checkpoint}", "--feature=sequence-classification", "onnx/"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("converter.onnx", run_name="__main__")
    log = capsys.readouterr().out
    assert ended.value.code == 0
    assert "({'logits'})" in log and "matches (2, 3)" in log


def _command(*arguments: str) -> str:
    """`python -m transformers.onnx …`, of ours."""
    line = [sys.executable, "-m", "converter.onnx", *arguments]
    run = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_loop_in_our_own_guide_generates_what_transformers_does(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tiny("gpt2", "AutoModelForCausalLM")
    assert convert(checkpoint, tmp_path / "onnx", feature="causal-lm-with-past").status == "converted"
    guide = (Path(__file__).parents[2] / "docs/reference/onnx.md").read_text(encoding="utf-8")
    code = guide.partition("```python\n")[2].partition("```")[0]
    prompt = np.array([[64, 90], [12, 18]])
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code.replace("[[464, 3290], [1212, 318]]", str(prompt.tolist())), names)  # tokens of this one's vocabulary

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    model.generation_config = GenerationConfig(pad_token_id=0)
    expected = model.generate(input_ids=torch.from_numpy(prompt), max_new_tokens=20, do_sample=False)
    assert expected[:, 2:].tolist() == np.concatenate(names["generated"], axis=1).tolist()
