"""Artifacts in other precisions: from the options to the files, their record and their tables, and losses that are planted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from converter.backends import BACKENDS
from converter.backends.onnx.precision import derive
from converter.backends.onnx.session import OnnxSession
from converter.backends.onnx.variants import OnnxVariants
from converter.checkpoints.loading import load_model
from converter.core.records import Job, Outcome, Source, Variant
from converter.pipeline import run_job
from converter.validation.reference import Reference
from converter.validation.weights import check_variant_weights
from tests.coverage.tiny import save_tiny as save_other
from tests.support.checkpoints import save_tiny, save_tokenizer

Command = Callable[..., subprocess.CompletedProcess[str]]

ALL = "fp32,fp16,bf16,q8,int8-static,w8,q4,q4f16"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def convert(checkpoint: Path, folder: Path, **chosen: Any) -> Outcome:
    options = BACKENDS["onnx"].options.model_validate({"profile": "hub", **chosen})
    source = Source(name="tiny", folder=checkpoint)
    cache = Path(os.environ["CONVERTER_CACHE"])  # so that one capture serves all of its artifacts
    return run_job(Job(source=source, backend="onnx", options=options, destination=folder / "onnx", model_folder=folder, cache=cache))


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "onnx").iterdir()}


def variants(outcome: Outcome) -> dict[str, Variant]:
    assert outcome.verdict, outcome.failure
    return {variant.name: variant for variant in outcome.verdict.variants}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(save_tiny(tmp_path_factory.mktemp("bert"), "bert", "AutoModelForSequenceClassification"), *INPUTS)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(save_tiny(tmp_path_factory.mktemp("tagger"), "bert", "AutoModelForTokenClassification"), *INPUTS)


@pytest.fixture(scope="module")
def made(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("made")
    return folder, convert(bert, folder, variants=ALL, tier="any")


@pytest.mark.canary
def test_every_precision_is_a_file_of_its_own_by_the_name_that_transformers_js_asks_for(made: tuple[Path, Outcome]) -> None:
    folder, outcome = made
    assert outcome.status == "converted", outcome.failure
    names = ["", "_fp16", "_bf16", "_quantized", "_int8", "_w8", "_q4", "_q4f16"]
    assert files(folder) == {"converter.json", *(f"model{name}.onnx" for name in names)}
    assert [variant.files for variant in variants(outcome).values()] == [(f"model{name}.onnx",) for name in names]
    for path in (folder / "onnx").glob("*.onnx"):
        onnx.checker.check_model(path)


def test_the_record_says_what_is_stored_and_computed_in_which_type_and_what_it_lost(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    record = json.loads((folder / "onnx" / "converter.json").read_bytes())
    records = {entry["name"]: entry for entry in record["verdict"]["variants"]}
    assert records["fp32"]["is_base"]
    assert records["fp16"]["stored"].keys() >= {"float16"}
    assert "float32" not in records["fp16"]["stored"]
    assert records["bf16"]["stored"]["bfloat16"] > records["bf16"]["stored"]["float32"]
    assert records["q8"]["stored"]["int8"] > 0
    assert "int8" in records["q8"]["computed"]
    for name, entry in records.items():
        assert entry["accuracy_drop"]["inputs"] == 320
        assert entry["size"] == (folder / "onnx" / entry["files"][0]).stat().st_size
        assert sum(entry["stored"].values()) < entry["reference_size"] or name == "fp32"
        assert entry["latency"] is None if name == "fp32" else entry["latency"]["seconds"] > 0
        assert entry["cpu"]
        assert (entry["search"] is None) == (name in ("fp32", "fp16", "bf16"))
        assert (entry["calibrated"] > 0) == (name == "int8-static")
    exact, fp16 = records["fp32"]["accuracy_drop"], records["fp16"]["accuracy_drop"]
    assert exact["agreement"] == 1.0
    assert fp16["r2"] > 0.999


def test_one_that_is_there_already_is_not_made_again(made: tuple[Path, Outcome], bert: Path) -> None:
    folder, _ = made
    assert convert(bert, folder, variants=ALL, tier="any").status == "skipped"


def test_the_exact_file_is_the_one_that_a_conversion_without_variants_writes(
    made: tuple[Path, Outcome], bert: Path, tmp_path: Path
) -> None:
    folder, _ = made
    convert(bert, tmp_path)
    assert (tmp_path / "onnx/model.onnx").read_bytes() == (folder / "onnx/model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("chosen", "file"),
    [({"dtype": "fp16"}, "model_fp16.onnx"), ({"dtype": "bfloat16"}, "model_bf16.onnx"), ({"quantize": "w8"}, "model_w8.onnx")],
)
def test_one_precision_is_one_file_and_what_it_was_made_of_is_gone(chosen: dict[str, Any], file: str, bert: Path, tmp_path: Path) -> None:
    outcome = convert(bert, tmp_path, weights="shared", **chosen)
    assert files(tmp_path) == {"converter.json", file}
    assert outcome.artifact
    assert [file_record.path for file_record in outcome.artifact.files] == [file]
    assert outcome.artifact.shared_files == ()
    assert outcome.notes == ()


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(save_tiny(tmp_path_factory.mktemp("t5"), "t5", "AutoModelForSeq2SeqLM"), "input_ids", "attention_mask")


def test_an_encoder_and_a_decoder_are_each_a_file_in_a_precision(t5: Path, tmp_path: Path) -> None:
    outcome = convert(t5, tmp_path, variants="q8,int8-static,q4f16", tier="any")
    suffixes = ("_quantized", "_int8", "_q4f16")
    assert files(tmp_path) == {
        "converter.json",
        *(f"{name}{suffix}.onnx" for name in ("encoder_model", "decoder_model_merged") for suffix in suffixes),
    }
    assert outcome.artifact
    assert [part.file for part in outcome.artifact.signature.submodels] == [
        "encoder_model_quantized.onnx",
        "decoder_model_merged_quantized.onnx",
    ]
    assert {variant.accuracy_drop.kind for variant in variants(outcome).values()} == {"language model"}


def test_a_decoder_with_a_cache_keeps_its_inputs_and_outputs_in_float32(tmp_path: Path) -> None:
    checkpoint = save_tokenizer(save_other(tmp_path / "llama", "llama", "AutoModelForCausalLM"), "input_ids", "attention_mask")
    outcome = convert(checkpoint, tmp_path, variants="fp16,q4f16", tier="any")
    assert outcome.artifact
    kinds = {spec.dtype for spec in (*outcome.artifact.signature.inputs, *outcome.artifact.signature.outputs)}
    assert kinds == {"int64", "float32"}
    assert outcome.artifact.dtype == "float16"
    named = json.loads((tmp_path / "genai_config.json").read_bytes())["model"]["decoder"]["filename"]
    assert named == "onnx/model_fp16.onnx"
    assert variants(outcome)["fp16"].tier == "near-lossless"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_checkpoint_of_16_bits_loses_nothing_by_being_stored_in_them(dtype: str, tmp_path: Path) -> None:
    checkpoint = save_tokenizer(save_tiny(tmp_path / "bert", "bert", dtype=dtype), *INPUTS)
    outcome = convert(checkpoint, tmp_path, variants=f"fp32,{ {'float16': 'fp16', 'bfloat16': 'bf16'}[dtype] }".replace(" ", ""))
    *_, variant = variants(outcome).values()
    assert variant.tier == "near-lossless"
    if dtype == "bfloat16":  # widened to the checkpoint's values, and computed like the float32 file
        exact, narrow = variants(outcome).values()
        assert narrow.accuracy_drop.distance == exact.accuracy_drop.distance


def test_real_weights_lose_little_in_8_bits_and_are_a_quarter_of_their_size(minilm: Path, tmp_path: Path) -> None:
    outcome = convert(minilm, tmp_path, quantize="w8")
    assert outcome.status == "converted", outcome.failure
    (variant,) = variants(outcome).values()
    assert variant.accuracy_drop.cosine_min is not None
    assert variant.accuracy_drop.cosine_min > 0.999
    assert variant.accuracy_drop.neighbours is not None
    assert variant.accuracy_drop.neighbours > 0.95
    assert variant.quantized == 37
    assert sum(variant.stored.values()) < 0.3 * variant.reference_size


# --- losses that are planted ------------------------------------------------------------------------------------------

Change = Callable[[onnx.ModelProto], None]


def zero_a_layer(model: onnx.ModelProto) -> None:
    """The outputs of quantized products are discarded; all weights stay unchanged."""
    products = ("MatMulNBits", "MatMulInteger")
    place, node = next(
        (place, node) for place, node in enumerate(model.graph.node) if node.op_type in products and "layer.1.intermediate" in node.input[1]
    )
    name, kind = node.output[0], np.int32 if node.op_type == "MatMulInteger" else np.float32
    node.output[0] = f"{name}.thrown_away"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, kind), "nothing"))
    model.graph.node.insert(place + 1, onnx.helper.make_node("Mul", [f"{name}.thrown_away", "nothing"], [name]))


def _change(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(initializer for initializer in model.graph.initializer if initializer.name == name)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(array.copy()).astype(array.dtype), name))


def _names(model: onnx.ModelProto, *ends: str) -> list[str]:
    return [initializer.name for initializer in model.graph.initializer if initializer.name.endswith(ends)]


def scales_of_the_wrong_axis(model: onnx.ModelProto) -> None:
    """The scales of square matrices as if they were of the other axis: right in number, and of the wrong channels."""
    rng = np.random.default_rng(0)
    for name in [scale for scale in _names(model, "_scale", "_scales") if "attention" in scale]:
        _change(model, name, lambda scales: (rng.permutation(scales.reshape(-1)) * rng.uniform(0.5, 2, scales.size)).reshape(scales.shape))


def turn_embeddings(model: onnx.ModelProto) -> None:
    _change(model, _names(model, ".scales")[0], lambda scales: scales[::-1] * 3)


def plant(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Have every quantized file changed once it is made: the search would leave out a layer that its own quantizer had spoilt."""
    make = OnnxVariants.derive

    def broken(self: OnnxVariants, folder: Path, name: str, evaluator: Any) -> Any:
        derived = make(self, folder, name, evaluator)
        if derived.quantized:
            model = onnx.load(folder / derived.files[-1])
            change(model)
            onnx.save(model, folder / derived.files[-1])
        return derived

    monkeypatch.setattr(OnnxVariants, "derive", broken)


@pytest.mark.parametrize(
    ("change", "quantize"),
    [(zero_a_layer, "int8"), (zero_a_layer, "w8"), (scales_of_the_wrong_axis, "w8"), (turn_embeddings, "w8")],
)
def test_a_loss_that_is_planted_fails_the_gate_and_leaves_nothing(
    change: Change, quantize: str, bert: Path, tagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # products of 8-bit integers saturate on a processor without VNNI, which the nearly constant logits of the tiny classifier do not bear
    checkpoint = tagger if quantize == "int8" else bert
    assert convert(checkpoint, tmp_path / "good", quantize=quantize).status == "converted"
    plant(monkeypatch, change)
    outcome = convert(checkpoint, tmp_path / "bad", quantize=quantize)
    assert outcome.status == "failed"
    assert outcome.failure
    assert "lost more than lossy allows" in outcome.failure.message
    assert "--tier" in outcome.failure.hint
    assert not (tmp_path / "bad").exists()


def change_an_integer(model: onnx.ModelProto) -> None:
    """One of them, by the least there is."""
    _change(model, _names(model, "_Q8", "_Q4", ".transposed_quantized")[1], _one_step)


def _one_step(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1)
    flat[7] ^= 1
    return array


def change_a_row(model: onnx.ModelProto) -> None:
    """Of the embeddings; of a product if the search keeps these in float32, which depends on how exact the CPU's kernels are."""

    def change(rows: np.ndarray) -> np.ndarray:
        rows[-1] = rows[-2]
        return rows

    _change(model, [*_names(model, ".int8"), *_names(model, ".transposed_quantized")][0], change)


def change_a_scale(model: onnx.ModelProto) -> None:
    def change(scales: np.ndarray) -> np.ndarray:
        scales.reshape(-1)[5] *= 1.02
        return scales

    _change(model, _names(model, "_scales", ".transposed_scale")[1], change)


def swap_the_scales_of_two_matrices(model: onnx.ModelProto) -> None:
    """Their names stay right: it is the nodes that take the wrong ones."""
    names = [weight for weight in _names(model, "_scales", ".transposed_scale") if ".query." in weight][:2]
    for node in model.graph.node:
        inputs = [names[1 - names.index(value)] if value in names else value for value in node.input]
        del node.input[:]
        node.input.extend(inputs)


def change_a_zero_point(model: onnx.ModelProto) -> None:
    _change(model, _names(model, "_zero_points", ".transposed_zero_point")[0], _one_step)


def change_16_bits(model: onnx.ModelProto) -> None:
    """By a unit in the last place."""
    tensor = next(
        initializer for initializer in model.graph.initializer if initializer.name.startswith("bert.embeddings.word_embeddings.weight")
    )
    data = bytearray(tensor.raw_data)
    data[-2] ^= 1
    tensor.raw_data = bytes(data)


WRONG_WEIGHTS: dict[Change, tuple[str, ...]] = {
    change_an_integer: ("_quantized", "_int8", "_w8", "_q4", "_q4f16"),
    change_a_row: ("_quantized", "_int8", "_w8", "_q4", "_q4f16"),
    change_a_scale: ("_quantized", "_int8", "_w8", "_q4", "_q4f16"),
    swap_the_scales_of_two_matrices: ("_quantized", "_int8", "_w8", "_q4", "_q4f16"),
    change_a_zero_point: ("_quantized", "_int8", "_w8", "_q4", "_q4f16"),
    change_16_bits: ("_fp16", "_bf16"),
}


def weight_problems(folder: Path, checkpoint: Path, name: str) -> list[str]:
    model = load_model(checkpoint, "AutoModelForSequenceClassification", "float32")
    ids = np.arange(1, 17).reshape(2, 8)
    session = OnnxSession(folder / f"model{name}.onnx")
    return [*check_variant_weights(session, Reference(model, ("logits",)), [{"input_ids": ids}]).problems()]


@pytest.mark.parametrize("name", ["", "_fp16", "_bf16", "_quantized", "_int8", "_w8", "_q4", "_q4f16"])
def test_the_weights_of_a_good_file_are_the_checkpoints(name: str, made: tuple[Path, Outcome], bert: Path) -> None:
    assert weight_problems(made[0] / "onnx", bert, name) == []


@pytest.mark.parametrize(("change", "name"), [(change, name) for change, names in WRONG_WEIGHTS.items() for name in names])
def test_a_stored_number_that_is_not_the_checkpoints_is_found(
    change: Change, name: str, made: tuple[Path, Outcome], bert: Path, tmp_path: Path
) -> None:
    model = onnx.load(made[0] / f"onnx/model{name}.onnx")
    change(model)
    onnx.save(model, tmp_path / f"model{name}.onnx")
    (problem,) = weight_problems(tmp_path, bert, name)
    assert "of its weights are not the checkpoint's" in problem


def test_a_wrong_weight_that_loses_nothing_is_a_failure(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, change_an_integer)
    outcome = convert(bert, tmp_path, quantize="w8", tier="any")
    assert outcome.failure
    assert "model_w8.onnx 1 of its weights are not the checkpoint's, bert.encoder." in outcome.failure.message


def test_the_same_loss_is_kept_where_any_is_asked_for_and_told_to_be_beyond_lossy(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, zero_a_layer)
    outcome = convert(bert, tmp_path, quantize="w8", tier="any")
    assert outcome.status == "converted"
    assert variants(outcome)["w8"].tier == "any"


def _do_nothing(model: Any, target: Path, *_: Any) -> None:
    onnx.save(onnx.load(model.path), target)


def test_a_quantizer_that_does_nothing_is_a_failure_though_nothing_is_lost(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "quantize", _do_nothing)
    outcome = convert(bert, tmp_path, quantize="w8", tier="any")
    assert outcome.failure
    for phrase in ("nothing in it is", "layers that were to be quantized and are not", "nothing was won by it"):
        assert phrase in outcome.failure.message


def test_a_quantizer_that_leaves_out_a_layer_that_it_was_not_told_to_is_a_failure(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = derive.quantize

    def lazy(model: Any, target: Path, precision: Any, chosen: Collection[Any], calibration: Any) -> None:
        real(model, target, precision, [*chosen][:-1], calibration)

    monkeypatch.setattr(derive, "quantize", lazy)
    outcome = convert(bert, tmp_path, quantize="w8", tier="any")
    assert outcome.failure
    assert "has 1 of 14 layers that were to be quantized and are not" in outcome.failure.message


def test_all_precisions_that_lost_too_much_are_told_at_once(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, zero_a_layer)
    outcome = convert(bert, tmp_path, variants="fp32,fp16,q8,w8")
    assert outcome.failure
    for name in ("model_quantized.onnx", "model_w8.onnx"):  # with what else is wrong with it before, a product without its scale
        assert re.search(rf"(^|\. ){name} ([^;]*; )*lost more than lossy allows", outcome.failure.message)
    assert "model_fp16" not in outcome.failure.message


def test_how_much_may_be_lost_is_told_where_a_record_says_it(made: tuple[Path, Outcome], bert: Path, command: Command) -> None:
    asked = ["validate", str(made[0] / "onnx"), "--reference", str(bert)]
    result = command(*asked)
    assert "note: tier any comes from its record" in result.stdout
    assert result.returncode == 1
    assert "its record says tier any, which is looser than the default lossy: to accept that, pass --tier any" in result.stderr
    accepted = command(*asked, "--tier", "any")
    assert accepted.returncode == 0, accepted.stderr
    assert "comes from its record" not in accepted.stdout


@pytest.mark.parametrize("with_record", [True, False])
def test_a_file_that_was_changed_later_is_found_by_measuring_it_again(
    with_record: bool, made: tuple[Path, Outcome], bert: Path, tmp_path: Path, command: Command
) -> None:
    shutil.copytree(made[0] / "onnx", tmp_path / "onnx")
    kept = ["converter.json"] if with_record else []
    if not with_record:
        for path in (tmp_path / "onnx").iterdir():
            if path.name not in ("model_w8.onnx", *kept):
                path.unlink()
    asked = ["validate", str(tmp_path / "onnx"), "--reference", str(bert), "--tier", "lossy", "--json"]
    if not with_record:
        assert command(*asked).returncode == 0
    model = onnx.load(tmp_path / "onnx/model_w8.onnx")
    zero_a_layer(model)
    onnx.save(model, tmp_path / "onnx/model_w8.onnx")
    result = command(*asked)
    assert result.returncode == 1
    (row,) = json.loads(result.stdout)
    problems = [problem for entry in row["verdict"]["variants"] if entry["name"] == "w8" for problem in entry["problems"]]
    assert any("lost more than lossy allows" in problem for problem in problems)


# --- what cannot be done ----------------------------------------------------------------------------------------------


def test_a_model_without_products_has_no_quantized_variant_and_has_a_half_one(tmp_path: Path) -> None:
    checkpoint = save_other(tmp_path / "resnet", "resnet", "AutoModelForImageClassification")
    assert convert(checkpoint, tmp_path / "half", dtype="fp16", tier="any").status == "converted"
    outcome = convert(checkpoint, tmp_path / "q8", quantize="int8")
    assert outcome.failure
    assert outcome.failure.message == "model_quantized.onnx cannot be made: no product with weights of the model can be quantized"
    assert not (tmp_path / "q8").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text=nowhere.txt", "cannot be read"),
        ("text=short.txt", "64 are needed"),
        ("evaluate=mine.py:raises", "the metric {folder}/mine.py:raises failed: RuntimeError: no data"),
        ("evaluate=mine.py:nothing", "has no function nothing"),
        ("evaluate=mine.py:refuses", "model_fp16.onnx does not pass {folder}/mine.py:refuses"),
    ],
)
def test_what_a_user_brings_and_cannot_be_used_is_told_at_its_line_and_leaves_nothing(
    line: str, message: str, bert: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "short.txt").write_text("one\ntwo\n", encoding="utf-8")
    bodies = {"raises": "raise RuntimeError('no data')", "refuses": "return {'recall': 0.5, 'passed': False}"}
    text = "".join(f"def {name}(artifact, checkpoint, tokenizer):\n    {body}\n" for name, body in bodies.items())
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    (tmp_path / "models.txt").write_text(f"# ours\n{bert} output=bert dtype=fp16 {line}\n", encoding="utf-8")
    result = command("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"))
    assert result.returncode == 1
    assert f"models.txt:2:1: {bert}: " in result.stderr
    assert message.format(folder=tmp_path) in result.stderr
    assert not (tmp_path / "out/bert/onnx").exists()


def test_a_metric_and_texts_of_ones_own_are_used_and_their_figures_told(bert: Path, tmp_path: Path, command: Command) -> None:
    texts = [f"{' '.join(['using', 'a', 'runtime', 'was', 'with'][: 1 + n % 5])} {'! ' * (n % 7)}{'? ' * (n // 35)}a" for n in range(70)]
    (tmp_path / "ours.txt").write_text("\n".join(dict.fromkeys(texts)), encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def metric(artifact, checkpoint, tokenizer):\n"
        "    inputs = {name: np.asarray(each) for name, each in tokenizer(['a runtime !'], return_tensors='np').items()}\n"
        "    return {'difference': abs(artifact(inputs)['logits'] - checkpoint(inputs)['logits']).max(), 'passed': True}\n",
        encoding="utf-8",
    )
    (tmp_path / "models.txt").write_text(f"{bert} output=bert variants=fp32,fp16 text=ours.txt evaluate=mine.py:metric\n", encoding="utf-8")
    result = command("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    record: Mapping[str, Any] = json.loads((tmp_path / "out/bert/onnx/converter.json").read_bytes())
    exact, half = record["verdict"]["variants"]
    assert 0 <= exact["custom_metrics"]["difference"] < 1e-5 < half["custom_metrics"]["difference"] < 0.1
    assert half["accuracy_drop"]["of"].startswith("ours.txt, sha256 ")
    assert half["accuracy_drop"]["inputs"] == 34
    assert "mine.py:metric" in record["versions"]
    report = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert f"Precisions of {bert}" in report.replace("\\", "")
    assert "difference" in report
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    again = command("--manifest", str(tmp_path / "models.txt"), "--output", str(tmp_path / "out"))
    assert "1 converted, 0 unchanged" in again.stdout


def test_bfloat16_is_stored_and_not_computed_and_the_user_is_told_how_to_have_it(tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "bert", "bert", dtype="bfloat16")
    outcome = convert(checkpoint, tmp_path, dtype="checkpoint")
    assert outcome.failure
    assert "does not compute bfloat16" in outcome.failure.message
    assert "precision=bf16" in outcome.failure.hint
    assert convert(checkpoint, tmp_path, dtype="bfloat16").status == "converted"
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "onnx/model_bf16.onnx").graph.initializer}
    assert TensorProto.BFLOAT16 in kinds
