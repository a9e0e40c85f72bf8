"""Weights: changed, swapped, dropped, transposed, or beside the point."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from tests.planted.fault import Fault, on_graph
from tests.planted.graph import Array, Graph, Surgery
from tests.planted.witness import Call, Witness

LAYER = "bert.encoder.layer"


def change_one_element(name: str, by: float = 0.05) -> Surgery:
    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        array.flat[array.size // 2 + 1] += by
        graph.set_tensor(name, array)

    return plant


def change_row(name: str, row: int, by: float = 0.3) -> Surgery:
    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        array[row, ::2] += by  # not all alike, which a norm would take away
        graph.set_tensor(name, array)

    return plant


def drop(name: str) -> Surgery:
    """Zeros in its place, as a loader that did not find it leaves."""

    def plant(graph: Graph) -> None:
        graph.set_tensor(name, np.zeros_like(graph.tensor(name)))

    return plant


def leave_out_bias(ending: str) -> Surgery:
    """Compute a product without its bias, which stays in the file."""

    def plant(graph: Graph) -> None:
        (name, *_) = graph.weight_names(ending)
        (node,) = graph.users(name)
        if node.op_type == "Gemm":
            node.input.remove(name)
        else:
            (other,) = [value for value in node.input if value != name]
            graph.rename(node.output[0], other)
            graph.remove(node)

    return plant


def transpose_square_matrix(ending: str) -> Surgery:
    """Take the matrix as it lies for its transpose: the stored bytes are the checkpoint's."""

    def plant(graph: Graph) -> None:
        (node,) = graph.users(graph.weight_names(ending)[0])
        (flag,) = [attribute.i for attribute in node.attribute if attribute.name == "transB"]
        graph.set_attribute(node, "transB", 1 - flag)

    return plant


def exchange(one: str, other: str) -> Surgery:
    """Use one weight for the other: both stay stored."""

    def plant(graph: Graph) -> None:
        graph.rename(one, "one of two")
        graph.rename(other, one)
        graph.rename("one of two", other)

    return plant


def use_changed_copy(name: str, row: int) -> Surgery:
    """The true weight stays in the file; a changed one is used, as one that was untied by mistake and trained on."""

    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        array[row, ::2] += 0.3  # not all alike, which a norm would take away
        gather = next(node for node in graph.users(name) if node.op_type == "Gather")
        graph.proto.initializer.append(numpy_helper.from_array(array, "copy"))
        graph.redirect(name, "copy", [gather])

    return plant


def hide(name: str, row: int) -> Surgery:
    """A changed weight under another name."""

    def plant(graph: Graph) -> None:
        change_row(name, row)(graph)
        graph.initializers[name].name = "hidden"
        graph.rename(name, "hidden")

    return plant


def put_in_a_node(name: str, row: int) -> Surgery:
    """The true weight stays in the file, unused, beside a changed constant."""

    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        array[row, ::2] += 0.3
        users = graph.users(name)
        graph.redirect(name, graph.constant(array, "float32"), users)

    return plant


def store_in_two_parts(name: str, row: int) -> Surgery:
    """An embedding in two halves, as shards are merged, with a changed row in the second."""

    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        array[row, ::2] += 0.3  # not all alike, which a norm would take away
        half = len(array) // 2
        for part, rows in (("upper", array[:half]), ("lower", array[half:])):
            graph.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(rows), part))
        users = graph.users(name)
        graph.redirect(name, graph.first("Concat", "upper", "lower", axis=0), users)
        graph.proto.initializer.remove(graph.initializers[name])

    return plant


def round_to(dtype: str, name: str) -> Surgery:
    """Round a weight to another type and back, as a checkpoint that went through a cast."""

    def plant(graph: Graph) -> None:
        import torch

        tensor = torch.from_numpy(graph.tensor(name)).to(getattr(torch, dtype)).float()
        graph.set_tensor(name, tensor.numpy())

    return plant


def scale(name: str, factor: float) -> Surgery:
    def plant(graph: Graph) -> None:
        graph.set_tensor(name, graph.tensor(name) * np.float32(factor))

    return plant


def scale_by_node(ending: str, factor: float) -> Surgery:
    """A factor behind the product that takes the weight, such as a scale of LoRA that is merged twice."""

    def plant(graph: Graph) -> None:
        (node, *_) = graph.users(graph.weight_names(ending)[0])
        result = node.output[0]
        users = graph.users(result)
        graph.redirect(result, graph.after(result, "Mul", result, _float(graph, factor)), users)

    return plant


def permute_heads(name: str, heads: int) -> Surgery:
    """The rows of a projection in the order of another layout of rotary positions: halves for pairs."""

    def plant(graph: Graph) -> None:
        array = graph.tensor(name)
        rows = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        graph.set_tensor(name, rows)

    return plant


def split_in_another_order(graph: Graph) -> None:
    """Take GPT-2's joint projection for key, query, value."""
    (node, *_) = graph.nodes("Split")
    node.output[0], node.output[1] = node.output[1], node.output[0]


def hide_row_in_a_constant(name: str, row: int) -> Surgery:
    """A row of an embedding added to by a node with a constant of less than a kilobyte: the stored weight is right."""

    def plant(graph: Graph) -> None:
        gather = next(node for node in graph.users(name) if node.op_type == "Gather")
        result, ids = gather.output[0], gather.input[1]
        width = graph.tensor(name).shape[1]
        users = graph.users(result)
        is_row = graph.after(result, "Equal", ids, graph.constant(row))
        column = graph.after(is_row, "Unsqueeze", is_row, graph.constant([-1]))
        number = graph.after(column, "Cast", column, to=1)
        term = graph.after(number, "Mul", number, graph.constant(np.arange(width) % 2 * 0.3, "float32"))
        graph.redirect(result, graph.after(term, "Add", result, term), users)

    return plant


def _float(graph: Graph, value: float) -> str:
    return graph.constant(value, "float32")


def _fault(name: str, base: str, surgery: Surgery, witness: Witness | None = None, file: str = "model.onnx", impossible: str = "") -> Fault:
    witness = witness or Call(batch=4, sequence=12)
    return Fault(name=name, kind="weights", base=base, plant=on_graph(surgery, file=file), witness=witness, impossible=impossible)


_WORDS = "cls.predictions.decoder.weight"
_ENCODER, _DECODER = "encoder_model.onnx", "decoder_model_merged.onnx"
_VISION = "vit.layers.1.attention.q_proj.weight"

FAULTS = (
    _fault("one element of a matrix", "bert", change_one_element(f"{LAYER}.1.output.dense.weight", 0.2)),
    _fault("one element of a bias", "roberta", change_one_element("roberta.encoder.layer.0.attention.self.value.bias", 0.1)),
    _fault("one element of a norm's weight", "distilbert", change_one_element("distilbert.transformer.layer.1.sa_layer_norm.weight")),
    _fault("the embedding of one token", "bert", change_row(_WORDS, 77), Call(token=77)),
    _fault(
        "the embedding of the padding token's neighbour",
        "roberta",
        change_row("roberta.embeddings.word_embeddings.weight", 3),
        Call(token=3),
    ),
    _fault("the embedding of one position", "bert", change_row("bert.embeddings.position_embeddings.weight", 93), Call(sequence=96)),
    _fault("the embedding of one position of a decoder", "gpt2", change_row("transformer.wpe.weight", 79), Call(sequence=80)),
    _fault(
        "an embedding in two parts, a row of it changed",
        "bert-qa",
        store_in_two_parts("bert.embeddings.word_embeddings.weight", 90),
        Call(token=90),
    ),
    _fault(
        "an embedding of a decoder in two parts, a row of it changed",
        "llama",
        store_in_two_parts("model.embed_tokens.weight", 101),
        Call(token=101),
    ),
    _fault("a changed weight under another name", "bert", hide(_WORDS, 118), Call(token=118)),
    _fault("a changed embedding under another name", "bert-qa", hide("bert.embeddings.word_embeddings.weight", 117), Call(token=117)),
    _fault("a changed copy of a weight in a node", "bert", put_in_a_node(_WORDS, 109), Call(token=109)),
    _fault("an embedding that was untied and changed", "bert", use_changed_copy(_WORDS, 64), Call(token=64)),
    _fault("a decoder's embedding that was untied and changed", "gpt2-hub", use_changed_copy("lm_head.weight", 64), Call(token=64)),
    _fault(
        "a row of an embedding changed by a small constant",
        "electra",
        hide_row_in_a_constant("embeddings.word_embeddings.weight", 55),
        Call(token=55),
    ),
    _fault("a bias of zeros", "opt", drop("model.decoder.layers.0.fc1.bias")),
    _fault("a bias that is left out", "bert", leave_out_bias("0.attention.self.query.bias")),
    _fault("the bias of a head that is left out", "roberta", leave_out_bias("classifier.bias")),
    _fault("a square matrix taken for its transpose", "bert", transpose_square_matrix("1.attention.output.dense.weight")),
    _fault("a decoder's square matrix taken for its transpose", "llama", transpose_square_matrix("1.self_attn.o_proj.weight")),
    _fault("the matrices of two layers exchanged", "bert", exchange(f"{LAYER}.0.output.dense.weight", f"{LAYER}.1.output.dense.weight")),
    _fault(
        "query and key exchanged",
        "distilbert",
        exchange("distilbert.transformer.layer.0.attention.q_lin.weight", "distilbert.transformer.layer.0.attention.k_lin.weight"),
    ),
    _fault("gate and up exchanged", "qwen2", exchange("model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight")),
    _fault(
        "the norms of two layers exchanged",
        "gemma2",
        exchange("model.layers.0.input_layernorm.weight", "model.layers.1.input_layernorm.weight"),
    ),
    _fault("a joint projection split in another order", "gpt2", split_in_another_order),
    _fault("a projection in another layout of rotary positions", "llama", permute_heads("model.layers.0.self_attn.q_proj.weight", 4)),
    _fault("a matrix rounded to float16", "gpt2", round_to("float16", "transformer.h.1.mlp.c_fc.weight")),
    _fault("a head rounded to bfloat16", "llama", round_to("bfloat16", "lm_head.weight")),
    _fault("a matrix times 1.001", "qwen3", scale("model.layers.0.self_attn.v_proj.weight", 1.001)),
    _fault("a product times 1.01", "qwen3", scale_by_node("0.mlp.down_proj.weight", 1.01)),
    _fault("an encoder's matrix times 1.01", "t5", scale_by_node("encoder.block.0.layer.1.DenseReluDense.wo.weight", 1.01), file=_ENCODER),
    _fault(
        "a cross-attention's matrix times 1.01",
        "t5",
        scale_by_node("decoder.block.1.layer.1.EncDecAttention.o.weight", 1.01),
        file=_DECODER,
    ),
    _fault("a fused matrix, a part of it changed", "bert-cuda", lambda graph: _change_largest(graph)),
    _fault("a matrix of a fused graph rounded to float16", "bert-cpu", lambda graph: _round_largest(graph)),
    _fault(
        "one element of a patch embedding",
        "vit",
        lambda graph: change_one_element(graph.weight_names("patch_embeddings.projection.weight")[0], 0.3)(graph),
    ),
)


def _largest_matrix(graph: Graph) -> tuple[str, Array]:
    arrays = {name: graph.tensor(name) for name in graph.initializers if "embed" not in name and "predictions" not in name}
    name = max(
        (name for name, array in arrays.items() if array.ndim == 2 and array.dtype == np.float32), key=lambda name: arrays[name].size
    )
    return name, arrays[name]


def _change_largest(graph: Graph) -> None:
    name, array = _largest_matrix(graph)
    array[:, -1] += 0.1
    graph.set_tensor(name, array)


def _round_largest(graph: Graph) -> None:
    name, _ = _largest_matrix(graph)
    round_to("float16", name)(graph)
