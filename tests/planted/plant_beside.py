"""What lies beside an artifact: tokenizer, configurations, stray and missing files, and a record that asks for less."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from tests.planted.fault import Fault, Plant, on_graph
from tests.planted.graph import Surgery
from tests.planted.plant_precisions import _DENSE, change_rows, double
from tests.planted.plant_weights import scale_by_node
from tests.planted.witness import Call, Folder, Witness

RECORD = "converter.json"


def set_values(file: str, **changes: Any) -> Plant:
    """Change values of a JSON file; `a__b` is the value b in a. None removes it."""

    def plant(folder: Path) -> None:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        for path, value in changes.items():
            *parents, name = path.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            if value is None:
                del place[name]
            else:
                place[name] = value
        (folder / file).write_text(json.dumps(content), encoding="utf-8")

    return plant


def swap_words(one: str, other: str) -> Plant:
    """Two words of a vocabulary with each other's ids."""

    def plant(folder: Path) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        words = content["model"]["vocab"]
        words[one], words[other] = words[other], words[one]
        path.write_text(json.dumps(content), encoding="utf-8")

    return plant


def change_tokenizer(change: Callable[[dict[str, Any]], None]) -> Plant:
    def plant(folder: Path) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return plant


def _without_template(content: dict[str, Any]) -> None:
    content["post_processor"] = None


def _lower(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "?"}]}


def delete(*names: str) -> Plant:
    def plant(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return plant


def copy_to(source: str, target: str) -> Plant:
    def plant(folder: Path) -> None:
        (folder / target).write_bytes((folder / source).read_bytes())

    return plant


def in_turn(*plants: Plant) -> Plant:
    def plant(folder: Path) -> None:
        for action in plants:
            action(folder)

    return plant


def rehash(folder: Path) -> None:
    """Update the record to the files, as if the converter had written them."""
    (path,) = folder.glob(f"*/{RECORD}")
    record = json.loads(path.read_text(encoding="utf-8"))
    for files, place in ((record["files"], path.parent), (record["sidecars"], folder)):
        for file in files:
            content = (place / file["path"]).read_bytes()
            state = (place / file["path"]).stat()
            file |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "mtime_ns": state.st_mtime_ns}
    path.write_text(json.dumps(record), encoding="utf-8")


def loosen(**options: Any) -> Plant:
    """Have the record ask for less."""

    def plant(folder: Path) -> None:
        (path,) = folder.glob(f"*/{RECORD}")
        record = json.loads(path.read_text(encoding="utf-8"))
        record["options"] |= options
        path.write_text(json.dumps(record), encoding="utf-8")

    return plant


TEXT = "the runtime was using a ! ? [MASK]"


def tokens_of(folder: Path) -> object:
    """The tokens and padding of a text by the tokenizer in a folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return {name: list(value) for name, value in tokenizer([TEXT, "a"], padding=True).items()}


def values_of(file: str, *names: str) -> Callable[[Path], object]:
    """Values of a JSON file, or the whole."""

    def read(folder: Path) -> object:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        return {name: content.get(name) for name in names} if names else content

    return read


def files_of(pattern: str) -> Callable[[Path], object]:
    return lambda folder: sorted(path.name for path in folder.glob(pattern))


def _fault(name: str, base: str, plant: Plant, witness: Witness | None, hashed: bool = True, impossible: str = "") -> Fault:
    return Fault(
        name=name,
        kind="files beside it",
        base=base,
        plant=in_turn(plant, rehash) if hashed else plant,
        witness=witness or Folder(tokens_of),
        record=True,
        impossible=impossible,
    )


def _with(surgery: Surgery, file: str, *others: Plant) -> Plant:
    return in_turn(on_graph(surgery, file=file), *others)


_GENAI, _CONFIG, _GENERATION = "genai_config.json", "config.json", "generation_config.json"

_PROCESSOR, _POOLING, _SENTENCES = "preprocessor_config.json", "1_Pooling/config.json", "sentence_bert_config.json"

FAULTS = (
    _fault("two words of the tokenizer exchanged", "electra", swap_words("was", "with"), None),
    _fault("two words of a decoder's tokenizer exchanged", "llama", swap_words("was", "with"), None),
    _fault("a tokenizer without its special tokens", "electra", change_tokenizer(_without_template), None),
    _fault("a tokenizer that normalizes otherwise", "electra", change_tokenizer(_lower), None),
    _fault("a tokenizer that pads left", "electra", set_values("tokenizer_config.json", padding_side="left"), None),
    _fault("a tokenizer that pads with another token", "llama", set_values("tokenizer_config.json", pad_token="[SEP]"), None),
    _fault("a tokenizer that gives other inputs", "electra", set_values("tokenizer_config.json", model_input_names=["input_ids"]), None),
    _fault(
        "labels exchanged",
        "roberta",
        set_values(_CONFIG, id2label={"0": "LABEL_1", "1": "LABEL_0", "2": "LABEL_2"}),
        Folder(values_of(_CONFIG, "id2label")),
    ),
    _fault(
        "another model type in config.json", "electra", set_values(_CONFIG, model_type="bert"), Folder(values_of(_CONFIG, "model_type"))
    ),
    _fault(
        "another number of heads in config.json",
        "llama",
        set_values(_CONFIG, num_key_value_heads=4),
        Folder(values_of(_CONFIG, "num_key_value_heads")),
    ),
    _fault(
        "another end of text in generation_config.json",
        "llama",
        set_values(_GENERATION, eos_token_id=7),
        Folder(values_of(_GENERATION, "eos_token_id")),
    ),
    _fault(
        "sampling in generation_config.json",
        "gpt2-hub",
        set_values(_GENERATION, do_sample=True, temperature=2.0),
        Folder(values_of(_GENERATION, "do_sample")),
    ),
    _fault(
        "another number of heads in genai_config.json",
        "llama",
        set_values(_GENAI, model__decoder__num_key_value_heads=4),
        Folder(values_of(_GENAI)),
    ),
    _fault("another length in genai_config.json", "llama", set_values(_GENAI, model__context_length=32), Folder(values_of(_GENAI))),
    _fault("another end of text in genai_config.json", "llama", set_values(_GENAI, model__eos_token_id=5), Folder(values_of(_GENAI))),
    _fault(
        "another file in genai_config.json",
        "llama",
        set_values(_GENAI, model__decoder__filename="onnx/model_q4.onnx"),
        Folder(values_of(_GENAI)),
    ),
    _fault(
        "another mean in preprocessor_config.json",
        "vit",
        set_values(_PROCESSOR, image_mean=[0.48, 0.45, 0.4]),
        Folder(values_of(_PROCESSOR)),
    ),
    _fault("images that are not rescaled", "vit", set_values(_PROCESSOR, do_rescale=False), Folder(values_of(_PROCESSOR))),
    _fault("a preprocessor_config.json that is gone", "vit", delete(_PROCESSOR), Folder(values_of(_PROCESSOR)), hashed=False),
    _fault(
        "another pooling of sentences",
        "sentences",
        set_values(_POOLING, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False),
        Folder(values_of(_POOLING)),
    ),
    _fault("sentences without their pooling", "sentences", delete("modules.json"), Folder(values_of("modules.json")), hashed=False),
    _fault("sentences cut earlier", "sentences", set_values(_SENTENCES, max_seq_length=16), Folder(values_of(_SENTENCES))),
    _fault(
        "a chat template that nobody wrote",
        "llama",
        set_values("tokenizer_config.json", chat_template="{{ messages[0].content }}"),
        Folder(values_of("tokenizer_config.json", "chat_template")),
    ),
    _fault(
        "texts cut earlier by the tokenizer",
        "electra",
        set_values("tokenizer_config.json", model_max_length=16),
        Folder(values_of("tokenizer_config.json", "model_max_length")),
    ),
    _fault(
        "an input that genai_config.json forgets",
        "llama",
        set_values(_GENAI, model__decoder__inputs__position_ids=None),
        Folder(values_of(_GENAI)),
    ),
    _fault(
        "a stray file of another precision", "gpt2-hub", copy_to("onnx/model.onnx", "onnx/model_q4.onnx"), Folder(files_of("onnx/*.onnx"))
    ),
    _fault("a stray file in the model's folder", "llama", copy_to("onnx/model.onnx", "model.onnx"), Folder(files_of("*.onnx"))),
    _fault("a tokenizer that is gone", "llama", delete("tokenizer.json"), None, hashed=False),
    _fault("a config.json that is gone", "electra", delete(_CONFIG), Folder(values_of(_CONFIG)), hashed=False),
    _fault("a genai_config.json that is gone", "llama", delete(_GENAI), Folder(values_of(_GENAI)), hashed=False),
    _fault("a changed tokenizer whose record is the old one", "bert", swap_words("was", "with"), None, hashed=False),
    _fault(
        "a record that asks for an atol of 1",
        "qwen3",
        _with(scale_by_node("0.mlp.down_proj.weight", 1.01), "model.onnx", loosen(atol=1.0)),
        Call(batch=4, sequence=12),
    ),
    _fault(
        "a record that asks for any tier",
        "bert-w8",
        _with(change_rows(f"{_DENSE}.transposed_scales", double, slice(0, 8)), "model_w8.onnx", loosen(tier="any")),
        Call(variant="w8", batch=4),
    ),
    _fault(
        "a record that allows float16's tolerance",
        "electra",
        _with(scale_by_node("0.output.dense.weight", 1.001), "model.onnx", loosen(atol=1e-2)),
        Call(batch=4, sequence=12),
    ),
)
