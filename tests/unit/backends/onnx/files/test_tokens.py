"""The token ids that a graph treats apart are found, by its constants and by the inputs of its embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.files import model_file
from converter.backends.onnx.files.tokens import tokens_apart
from converter.backends.onnx.names import DECODER_FILE, ENCODER_FILE
from converter.backends.onnx.session import SubmodelsSession

VOCABULARY = 120
Graph = tuple[Sequence[onnx.NodeProto], dict[str, Any]]


def special_tokens(graph: Graph, folder: Path, name: str = "input_ids", external: bool = False) -> set[int]:
    """The tokens of a graph that embeds its tokens and masks them."""
    nodes, constants = graph
    table = np.random.default_rng(0).normal(size=(VOCABULARY, 64)).astype(np.float32)
    tensors = {"embeddings": table, **constants}
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", 64])
    mask = [
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "axis"], ["column"]),
        helper.make_node("Mul", ["embedded", "column"], ["last_hidden_state"]),
    ]
    tensors["axis"] = np.array([-1])
    initializers = [numpy_helper.from_array(np.asarray(array), label) for label, array in tensors.items()]
    proto = helper.make_graph([*nodes, *mask], "graph", ids, [output], initializers)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx", save_as_external_data=external, location="model.onnx_data", size_threshold=0)
    return tokens_apart(model_file.read(folder / "model.onnx"), name, VOCABULARY)


def embed(indices: str = "input_ids") -> onnx.NodeProto:
    return helper.make_node("Gather", ["embeddings", indices], ["embedded"])


def plain() -> Graph:
    return [embed()], {}


def replaced() -> Graph:
    """Where(input_ids == 77, 78, input_ids), the numbers in the file's list of tensors."""
    nodes = [
        helper.make_node("Equal", ["input_ids", "one"], ["is"]),
        helper.make_node("Where", ["is", "other", "input_ids"], ["indices"]),
        embed("indices"),
    ]
    return nodes, {"one": np.array(77), "other": np.array(78)}


def replaced_by_nodes() -> Graph:
    """The same, the numbers in nodes."""
    (equal, where, gather), _ = replaced()
    return [
        helper.make_node("Constant", [], ["one"], value_int=77),
        helper.make_node("Constant", [], ["other"], value=numpy_helper.from_array(np.array(78))),
        equal,
        where,
        gather,
    ], {}


def several() -> Graph:
    nodes = [
        helper.make_node("Constant", [], ["two"], value_ints=[77, 78]),
        helper.make_node("ReduceMax", ["two"], ["most"], keepdims=0),
        helper.make_node("Greater", ["input_ids", "most"], ["is"]),
        helper.make_node("Where", ["is", "most", "input_ids"], ["indices"]),
        embed("indices"),
    ]
    return nodes, {}


def compared_as_floats() -> Graph:
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Equal", ["as_float", "one"], ["is"]),
        helper.make_node("Where", ["is", "other", "input_ids"], ["indices"]),
        embed("indices"),
    ]
    return nodes, {"one": np.array(77, np.float32), "other": np.array(78)}


def remapped() -> Graph:
    table = np.arange(VOCABULARY)
    table[77] = 78
    return [helper.make_node("Gather", ["table", "input_ids"], ["indices"]), embed("indices")], {"table": table}


def clipped() -> Graph:
    return [helper.make_node("Min", ["input_ids", "limit"], ["indices"]), embed("indices")], {"limit": np.array(76)}


def in_a_branch() -> Graph:
    """The number is in the graph of an If."""
    yes = helper.make_graph(
        [
            helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(77))),
            helper.make_node("Equal", ["input_ids", "one"], ["is"]),
            helper.make_node("Constant", [], ["other"], value=numpy_helper.from_array(np.array(78))),
            helper.make_node("Where", ["is", "other", "input_ids"], ["changed"]),
        ],
        "yes",
        [],
        [helper.make_tensor_value_info("changed", TensorProto.INT64, None)],
    )
    no = helper.make_graph(
        [helper.make_node("Identity", ["input_ids"], ["same"])], "no", [], [helper.make_tensor_value_info("same", TensorProto.INT64, None)]
    )
    return [helper.make_node("If", ["always"], ["indices"], then_branch=yes, else_branch=no), embed("indices")], {"always": np.array(True)}


@pytest.mark.parametrize("graph", [replaced, replaced_by_nodes, several, compared_as_floats, remapped, clipped, in_a_branch])
@pytest.mark.parametrize("external", [False, True])
def test_a_token_that_is_treated_apart_is_among_those_that_are_tried(graph: Callable[[], Graph], external: bool, tmp_path: Path) -> None:
    assert 77 in special_tokens(graph(), tmp_path, external=external)


def test_only_those_are_shown_that_the_embedding_takes_others_for(tmp_path: Path) -> None:
    assert special_tokens(remapped(), tmp_path) == {77}
    table = (np.arange(VOCABULARY) + 1) % VOCABULARY
    many = special_tokens(([helper.make_node("Gather", ["table", "input_ids"], ["indices"]), embed("indices")], {"table": table}), tmp_path)
    assert 60 < len(many) <= VOCABULARY  # of a larger vocabulary no more than twice as many either


def test_a_graph_that_only_looks_tokens_up_names_few(tmp_path: Path) -> None:
    assert special_tokens(plain(), tmp_path) == set()


def test_what_is_made_of_another_input_says_nothing_of_tokens(tmp_path: Path) -> None:
    """Positions are counted by the mask; they are no tokens."""
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["indices"]),
        embed("indices"),
    ]
    assert special_tokens((nodes, {}), tmp_path) == set()


def test_ids_beyond_the_vocabulary_and_numbers_that_are_no_ids_are_left_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["input_ids", "none"], ["indices"]), embed("indices")]
    constants = {"none": np.array(0), "far": np.array(120), "below": np.array(-1), "half": np.array(0.5, np.float32)}
    constants |= {"infinite": np.array([np.inf, np.nan], np.float32)}
    assert special_tokens((nodes, constants), tmp_path) <= {0}


def test_each_of_two_files_is_asked_by_its_own_name_for_the_tokens(tmp_path: Path) -> None:
    """The decoder's file calls the model's decoder_input_ids input_ids."""
    wide = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", 64])
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    embeddings = np.random.default_rng(0).normal(size=(VOCABULARY, 64)).astype(np.float32)
    for file, token in ((ENCODER_FILE, 44), (DECODER_FILE, 77)):
        table = np.arange(VOCABULARY)
        table[token] = 5
        nodes = [helper.make_node("Gather", ["table", "input_ids"], ["indices"]), embed("indices")]
        inputs, name = [ids], "last_hidden_state"
        if file == DECODER_FILE:
            inputs += [helper.make_tensor_value_info("encoder_hidden_states", TensorProto.FLOAT, ["batch", "sequence", 64])]
            name = "logits"
            nodes.append(helper.make_node("Add", ["embedded", "encoder_hidden_states"], [name]))
        else:
            nodes.append(helper.make_node("Identity", ["embedded"], [name]))
        tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(embeddings, "embeddings")]
        output = onnx.ValueInfoProto()
        output.CopyFrom(wide)
        output.name = name
        graph = helper.make_graph(nodes, "graph", inputs, [output], tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / file)
    session = SubmodelsSession(tmp_path)
    assert session.tokens_apart("input_ids", VOCABULARY) == {44}
    assert session.tokens_apart("decoder_input_ids", VOCABULARY) == {77}
