"""Settings of the configuration that an exporter gets wrong: constants, activations, scales, norms, heads."""

from __future__ import annotations

import numpy as np
import onnx

from tests.planted.fault import Fault, on_graph
from tests.planted.graph import Graph, Surgery
from tests.planted.witness import Call, Witness


def set_epsilon(value: float, which: int = 0) -> Surgery:
    """Another epsilon of one layer's norm."""

    def plant(graph: Graph) -> None:
        graph.set_attribute(graph.nodes("LayerNormalization")[which], "epsilon", value)

    return plant


def set_rms_epsilon(value: float) -> Surgery:
    """Another epsilon of all root mean square norms."""

    def plant(graph: Graph) -> None:
        for mean in graph.nodes("ReduceMean"):
            (add,) = graph.users(mean.output[0])
            add.input[:] = [mean.output[0], graph.constant(value, "float32")]

    return plant


def approximate_gelu(kind: str) -> Surgery:
    def plant(graph: Graph) -> None:
        for node in graph.nodes("Gelu"):
            graph.set_attribute(node, "approximate", kind)

    return plant


def exact_gelu_for_tanh(graph: Graph) -> None:
    """GPT-2's gelu_new by the error function."""
    for tanh in graph.nodes("Tanh"):
        node = tanh
        while node.op_type != "Mul" or not _is_product_of_halves(graph, node):
            (node, *_) = graph.users(node.output[0])
        half = next(graph.maker(name) for name in node.input if graph.maker(name).op_type == "Mul")
        (hidden,) = [name for name in half.input if not graph.is_constant(name)]
        result = node.output[0]
        users = graph.users(result)
        graph.redirect(result, graph.after(result, "Gelu", hidden, approximate="none"), users)


def _is_product_of_halves(graph: Graph, node: onnx.NodeProto) -> bool:
    return not any(graph.is_constant(name) for name in node.input)


def relu_for(kind: str) -> Surgery:
    def plant(graph: Graph) -> None:
        for node in graph.nodes(kind):
            result = node.output[0]
            users = graph.users(result)
            graph.redirect(result, graph.after(result, "Relu", node.input[0]), users)

    return plant


def scale_attention(factor: float, layer: int = 0) -> Surgery:
    """Another scale of one layer's scores."""

    def plant(graph: Graph) -> None:
        scores = _scores(graph, layer)
        users = graph.users(scores)
        graph.redirect(scores, graph.after(scores, "Mul", scores, graph.constant(factor, "float32")), users)

    return plant


def _scores(graph: Graph, layer: int) -> str:
    """The product of queries and keys before the mask and the softmax."""
    node = graph.nodes("Softmax")[layer]
    while node.op_type not in ("MatMul", "Gemm"):
        node = next(graph.maker(name) for name in node.input if _comes_of_product(graph, name))
    return str(node.output[0])


def _comes_of_product(graph: Graph, name: str, depth: int = 0) -> bool:
    if depth > 8 or graph.is_constant(name) or not any(name in node.output for node in graph.proto.node):
        return False
    node = graph.maker(name)
    return node.op_type == "MatMul" or any(_comes_of_product(graph, value, depth + 1) for value in node.input if value)


def set_rope_theta(factor: float) -> Surgery:
    """Frequencies of another theta, by nodes: the stored ones are right."""

    def plant(graph: Graph) -> None:
        (name, *_) = graph.weight_names("inv_freq")
        users = graph.users(name)
        rate = np.float32(factor) ** np.linspace(0, 1, graph.tensor(name).size, endpoint=False, dtype=np.float32)
        graph.redirect(name, graph.first("Div", name, graph.constant(rate, "float32")), users)

    return plant


def turn_the_other_way(graph: Graph) -> None:
    """Rotary positions with the sign of the sine changed."""
    (sine, *_) = graph.nodes("Sin")
    result = sine.output[0]
    users = graph.users(result)
    graph.redirect(result, graph.after(result, "Neg", result), users)


def group_heads_the_other_way(graph: Graph) -> None:
    """Grouped queries with keys and values repeated in turn (0, 1, 0, 1) and not one after the other (0, 0, 1, 1)."""
    for node in graph.nodes("Reshape"):
        if graph.is_constant(node.input[0]) or not any(node.input[0] in other.output for other in graph.proto.node):
            continue
        expand = graph.maker(node.input[0])
        if expand.op_type == "Expand" and graph.users(expand.output[0]) == [node] and "slice" in expand.input[0]:
            node.input[0] = graph.after(expand.output[0], "Transpose", expand.output[0], perm=[0, 2, 1, 3, 4])


def split_heads_the_other_way(graph: Graph) -> None:
    """Heads along the last axis in place of the one before: (tokens, size, heads) for (tokens, heads, size)."""
    for node in graph.nodes("Transpose"):
        (permutation,) = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
        if permutation == [0, 2, 1, 3] and graph.maker(node.input[0]).op_type == "Reshape":
            shape = graph.maker(node.input[0]).input[1]
            if graph.maker(shape).op_type != "Concat":
                continue
            result = node.output[0]
            users = graph.users(result)
            whole = graph.after(result, "Shape", result)
            flipped = graph.after(result, "Transpose", result, perm=[0, 3, 2, 1])
            graph.redirect(result, graph.after(whole, "Reshape", flipped, whole), users)
            _order(graph)
            return
    raise LookupError("no heads are split")


def _order(graph: Graph) -> None:
    """Sort the nodes topologically."""
    known = {value.name for value in graph.proto.input} | {*graph.initializers, ""}
    waiting, ordered = list(graph.proto.node), []
    while waiting:
        ready = [node for node in waiting if all(name in known for name in node.input)]
        for node in ready[:1]:
            ordered.append(node)
            known |= {*node.output}
            waiting.remove(node)
    del graph.proto.node[:]
    graph.proto.node.extend(ordered)


def drop_softcap(which: int) -> Surgery:
    """No cap of attention scores (0, 1, …) or of the logits (-1)."""

    def plant(graph: Graph) -> None:
        tanh = graph.nodes("Tanh")[which]
        result = tanh.output[0]
        users = graph.users(result)
        graph.redirect(result, tanh.input[0], users)

    return plant


def drop_last_norm(graph: Graph) -> None:
    """The head reads the input of the norm before it."""
    norm = graph.nodes("LayerNormalization")[-1]
    result = norm.output[0]
    users = graph.users(result)
    graph.redirect(result, norm.input[0], users)


def norm_without_its_one(graph: Graph) -> None:
    """Gemma's norms by their weight, and not by one more than it."""
    weights = set(graph.weight_names("layernorm.weight"))
    for node in graph.nodes("Add"):
        if weights & {*node.input}:
            (name,) = weights & {*node.input}
            result = node.output[0]
            users = graph.users(result)
            graph.redirect(result, name, users)


def drop_embedding_scale(graph: Graph) -> None:
    """Embeddings that are not multiplied by the root of their width."""
    (gather, *_) = graph.nodes("Gather")
    (scaled,) = graph.users(gather.output[0])
    assert scaled.op_type == "Mul"
    result = scaled.output[0]
    users = graph.users(result)
    graph.redirect(result, gather.output[0], users)


def skip_residual(which: int) -> Surgery:
    """The sum around one attention is left out."""

    def plant(graph: Graph) -> None:
        norms = graph.nodes("LayerNormalization")
        add = graph.maker(norms[which].input[0])
        assert add.op_type == "Add"
        result = add.output[0]
        users = graph.users(result)
        graph.redirect(result, add.input[1], users)

    return plant


def scale_residual(factor: float) -> Surgery:
    def plant(graph: Graph) -> None:
        add = graph.maker(graph.nodes("LayerNormalization")[2].input[0])
        result = add.output[0]
        users = graph.users(result)
        graph.redirect(result, graph.after(result, "Mul", result, graph.constant(factor, "float32")), users)

    return plant


def _fault(name: str, base: str, surgery: Surgery, witness: Witness | None = None, file: str = "model.onnx") -> Fault:
    return Fault(
        name=name, kind="configuration", base=base, plant=on_graph(surgery, file=file), witness=witness or Call(batch=4, sequence=14)
    )


FAULTS = (
    _fault("an epsilon of 1e-3 for 1e-12", "bert", set_epsilon(1e-3)),
    _fault("an epsilon of 1e-3 for 1e-12, the last norm", "electra", set_epsilon(1e-3, -1)),
    _fault("an epsilon of 1e-3 for 1e-5", "gpt2", set_epsilon(1e-3)),
    _fault("an epsilon of 1e-3 for 1e-6", "llama", set_rms_epsilon(1e-3)),
    _fault("an epsilon of 1e-3 for 1e-6, T5's encoder", "t5", set_rms_epsilon(1e-3), file="encoder_model.onnx"),
    _fault("GELU by tanh for GELU", "bert", approximate_gelu("tanh")),
    _fault("GELU for GELU by tanh", "gemma2", approximate_gelu("none"), Call(batch=16, sequence=60)),
    _fault("GELU for gelu_new", "gpt2-hub", exact_gelu_for_tanh),
    _fault("ReLU for GELU", "distilbert", relu_for("Gelu")),
    _fault("attention without its scale", "bert-qa", scale_attention(8**0.5)),
    _fault("attention of one layer with another scale", "gpt_neox", scale_attention(1.05, 1)),
    _fault("T5's attention with a scale", "t5-whole", scale_attention(8**-0.5)),
    _fault("rotary positions of another theta", "llama", set_rope_theta(2.0), Call(sequence=32)),
    _fault("rotary positions of a slightly other theta", "qwen3", set_rope_theta(1.1), Call(sequence=60)),
    _fault("rotary positions that turn the other way", "mistral", turn_the_other_way),
    _fault("rotary positions of one kind of layer that turn the other way", "gemma3", turn_the_other_way),
    _fault("grouped heads repeated in turn", "llama", group_heads_the_other_way),
    _fault("grouped heads repeated in turn, Qwen", "qwen2", group_heads_the_other_way),
    _fault("heads that are split the other way", "opt", split_heads_the_other_way),
    _fault("logits without their cap", "gemma2", drop_softcap(-1)),
    _fault("attention without its cap", "gemma2", drop_softcap(0)),
    _fault("no norm before the head", "gpt2", drop_last_norm),
    _fault("Gemma's norms without their one", "gemma3", norm_without_its_one),
    _fault("embeddings without their scale", "gemma2", drop_embedding_scale),
    _fault("a residual that is left out", "electra", skip_residual(1)),
    _fault("a residual times 1.001", "gpt2", scale_residual(1.001)),
)
