"""Imports go down only, and slow ones happen late."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.imports import IMPORTS, MODULES, OURS, floors, layer, needs

LAYERS = (
    ("core",),
    ("architectures", "padding"),
    ("checkpoints", "hub"),
    ("backends",),
    ("manifest", "validation", "report", "artifacts"),
    ("pipeline",),
    ("planning", "preflight", "revalidation", "publish", "warming"),
    ("executors",),
    ("api", "onnx", "torchscript", "neuron"),
    ("cli",),
    ("__main__",),
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}

OWN = ("neuron", "onnx", "torchscript")
"""The packages of backends; whatever else is in `backends`, each of them may import."""

HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "jinja2")
MAY_IMPORT_HEAVY = {
    "backends.neuron.check",
    "backends.neuron.export",
    "backends.neuron.lowering",
    "backends.neuron.static",
    "backends.onnx.capture.capture",
    "backends.onnx.capture.decomposition",
    "backends.onnx.capture.shape_rules",
    "backends.onnx.capture.submodels",
    "backends.onnx.capture.torch_patches",
    "backends.onnx.capture.transformers_patches",
    "backends.onnx.capture.translations",
    "backends.onnx.files.graph",
    "backends.onnx.files.model_file",
    "backends.onnx.files.packed_weights",
    "backends.onnx.files.shared_weights",
    "backends.onnx.files.tokens",
    "backends.onnx.passes.empty_reshape",
    "backends.onnx.passes.flatten_attention",
    "backends.onnx.passes.flatten_tokens",
    "backends.onnx.passes.fusion",
    "backends.onnx.passes.input_shapes",
    "backends.onnx.passes.manager",
    "backends.onnx.passes.onnxruntime_fusions",
    "backends.onnx.passes.pack_weights",
    "backends.onnx.passes.runtime_types",
    "backends.onnx.passes.shapes_from_inputs",
    "backends.onnx.passes.simplify",
    "backends.onnx.precision.derive",
    "backends.onnx.precision.half",
    "backends.onnx.precision.integers",
    "backends.onnx.precision.linear",
    "backends.onnx.precision.quantizers",
    "backends.onnx.precision.ranges",
    "backends.onnx.precision.rounding",
    "backends.onnx.precision.wide",
    "backends.onnx.session",
    "backends.torchscript.export",
    "backends.torchscript.probe",
    "backends.traced.archive",
    "backends.traced.form",
    "backends.traced.runner",
    "backends.traced.session",
    "checkpoints.cache_tensors",
    "checkpoints.calling",
    "checkpoints.dropped",
    "checkpoints.export_wrappers",
    "checkpoints.loading",
    "checkpoints.pooling",
    "checkpoints.sample_inputs",
    "executors.preload",
    "executors.threads",
    "report.page",
    "validation.conditioning",
    "validation.dependence",
    "validation.float64",
    "validation.reference",
    "validation.sidecars",
    "validation.state",
}


def test_the_test_sees_the_package() -> None:
    assert {"pipeline", "cli.run", "backends.onnx.capture.capture", "checkpoints.fetch"} <= set(MODULES)
    assert ("backends.conversion", "checkpoints.loading") in OURS  # inside a function
    assert ("executors.preload", "backends.onnx.capture.capture") in OURS or ("executors.local", "pipeline") in OURS
    assert len(OURS) > 100


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer(name) for name in MODULES if name} == set(HEIGHT)


def test_imports_go_downward_only() -> None:
    assert [(by, module) for by, module in OURS if HEIGHT[layer(module)] > HEIGHT[layer(by)]] == []


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    assert {statement.module for statement in IMPORTS if statement.by == ""} == {"__future__", "importlib", "typing"}


def test_backends_know_nothing_of_one_another() -> None:
    def backend(name: str) -> str | None:
        parts = name.split(".")
        return parts[1] if parts[0] == "backends" and len(parts) > 1 and parts[1] in OWN else None

    assert [(by, module) for by, module in OURS if backend(by) and backend(module) and backend(by) != backend(module)] == []


def test_modules_of_one_layer_do_not_import_one_another_in_a_circle() -> None:
    assert floors(needs()).keys() == HEIGHT.keys()


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("huggingface_hub", ("hub",)),
        ("httpx2", ("hub",)),
        ("click", ("cli",)),
        ("rich", ("cli",)),
        ("yaml", ("manifest", "publish")),
        ("tenacity", ("hub",)),
        ("filelock", ("core",)),
        ("jinja2", ("report",)),
        ("ray", ("executors",)),
    ],
)
def test_a_library_with_one_owner_is_imported_by_nobody_else(package: str, allowed: tuple[str, ...]) -> None:
    users = {layer(statement.by) for statement in IMPORTS if statement.top == package}
    assert users == set(allowed)


def test_what_is_slow_to_import_is_imported_late() -> None:
    assert {statement.by for statement in IMPORTS if statement.at_module_level and statement.top in HEAVY} == MAY_IMPORT_HEAVY


def test_what_imports_the_slow_is_itself_imported_late() -> None:
    """Whatever the command line imports as it starts, all the way down."""
    started, pending = set(), ["cli", "__main__"]
    while pending:
        name = pending.pop()
        if name in started or name not in MODULES:
            continue
        started.add(name)
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        wanted = (
            statement.module.removeprefix("converter.") for statement in IMPORTS if statement.by == name and statement.at_module_level
        )
        pending += [*parents, *wanted]
    assert "pipeline" in started
    assert started & MAY_IMPORT_HEAVY == set()


def _calls(tree: ast.Module) -> Iterator[str]:
    yield from (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_only_the_command_line_prints_or_exits() -> None:
    speaking = {"print", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write", "sys.stderr.write"}
    assert {
        (name, call)
        for name, tree in MODULES.items()
        if layer(name) not in ("cli", "__main__")
        for call in _calls(tree)
        if call in speaking
    } == set()


def test_only_the_command_line_reads_the_environment_of_the_converter() -> None:
    names = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("CONVERTER_")
    }
    assert {layer(name) for name in names} == {"cli"}
    readers = {name for name, tree in MODULES.items() for node in ast.walk(tree) if ast.unparse(node) in ("os.environ", "os.getenv")}
    assert {name for name in readers if layer(name) != "cli"} == {
        "backends.neuron.sdk",  # the SDK takes its target from there
        "artifacts.job_log",  # whatever is there as the token is to be in no line
        "executors.ray_driver",  # and Ray its settings
    }
