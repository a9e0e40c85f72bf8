"""The adapter: which Neuron SDK is installed, and its `trace`, called with the arguments that its version takes.

Three generations go by two names, and on PyPI both are stubs. The signatures are AWS's documentation's:

- torch-neuron, for Inf1: `torch.neuron.trace(model, example_inputs, **kwargs)`, archived;
- torch-neuronx up to 2.9, for Inf2 and Trn1: `torch_neuronx.trace(func, example_inputs, *_, …)`;
- torch-neuronx from 2.13 on, a device of PyTorch for Trn2 and Trn3: it has no `trace`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from converter.core.errors import ConversionError, NotSupportedError
from converter.core.reason import reason

if TYPE_CHECKING:
    from converter.backends.neuron import NeuronOptions

Target = Literal["inf1", "inf2", "trn1"]

DEVICES = Path("/dev")
"""The driver's devices: neuron0, neuron1, …"""

_STUB = "WRONG PACKAGE"
"""The message of the stubs on PyPI."""

_HOW = "install it as docs/how-to/neuron.md describes: from AWS's own index, with exact versions, in the image or a separate environment"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An SDK with `trace`: the module, its distribution, the compiler's distribution, and its targets."""

    module: str
    distribution: str
    compiler: str
    targets: tuple[Target, ...]
    to_do: str


NEURON = Generation(
    module="torch_neuron",
    distribution="torch-neuron",
    compiler="neuron-cc",
    targets=("inf1",),
    to_do="AWS has archived it: it wants torch 1.13 and Python 3.10 or older, so that it cannot stand beside today's transformers; "
    "choose --target inf2 or trn1",
)
NEURONX = Generation(module="torch_neuronx", distribution="torch-neuronx", compiler="neuronx-cc", targets=("inf2", "trn1"), to_do=_HOW)
GENERATIONS = (NEURON, NEURONX)
DISTRIBUTIONS = tuple(name for generation in GENERATIONS for name in (generation.distribution, generation.compiler))


@dataclass(frozen=True)
class Sdk:
    """An installed SDK, imported."""

    generation: Generation
    module: Any

    @property
    def name(self) -> str:
        return f"{self.generation.distribution} {_version(self.generation.distribution) or 'of an unknown version'}"

    @property
    def compiler_version(self) -> str:
        return _version(self.generation.compiler) or "unknown"

    def trace(self, model: Any, inputs: tuple[Any, ...], asked: NeuronOptions, workdir: Path) -> Any:
        """Compile `model`, a torch.nn.Module that takes `inputs`, tensors, by position, and returns a tuple of tensors.

        `workdir` is an empty folder for the compiler's files and logs. Returns a torch.jit.ScriptModule. Raises NotSupportedError if this
        version lacks an option, ConversionError with the SDK's message if it fails.
        """
        if self.generation is NEURON:
            wanted, needed = _for_neuron(asked), ("compiler_args", *(["dynamic_batch_size"] if asked.dynamic_batch else []))
        else:
            wanted, needed = _for_neuronx(asked), ("compiler_args", *([] if has_device() else ["cpu_backend"]))
        arguments = self._accepted({**wanted, "compiler_workdir": str(workdir)}, needed)
        if asked.dynamic_batch and self.generation is NEURONX and not hasattr(self.module, "dynamic_batch"):
            raise NotSupportedError(f"{self.name} has no dynamic batch", f"leave out --dynamic-batch, or {_HOW}")
        try:
            with _aside(), chdir(workdir):
                traced = self.module.trace(model, inputs, **arguments)
                if asked.dynamic_batch and self.generation is NEURONX:
                    traced = self.module.dynamic_batch(traced)
        except Exception as error:  # a compiler and the model's own code run here and may raise anything
            raise ConversionError(f"{self.name} does not compile it: {reason(error)}", "--debug shows the whole message") from error
        return traced

    def _accepted(self, wanted: Mapping[str, Any], needed: Iterable[str]) -> dict[str, Any]:
        """The arguments that this version's `trace` has. Raises NotSupportedError for a required one that it lacks."""
        parameters = inspect.signature(self.module.trace).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return dict(wanted)
        names = {parameter.name for parameter in parameters}
        missing = [name for name in needed if name not in names]
        if missing:
            where = " on a machine without a Neuron device" if "cpu_backend" in missing else ""
            raise NotSupportedError(
                f"the trace of {self.name} takes no {', '.join(missing)}, which this needs{where}", f"{_HOW}, or compile on an instance"
            )
        return {name: value for name, value in wanted.items() if name in names}


def find(target: Target) -> Sdk:
    """The SDK for `target`, imported. Raises NotSupportedError with a hint if there is none."""
    generation = next(candidate for candidate in GENERATIONS if target in candidate.targets)
    if find_spec(generation.module) is None:
        others = [candidate for candidate in GENERATIONS if candidate is not generation and find_spec(candidate.module)]
        beside = f"; {others[0].distribution} is, and compiles for {' and '.join(others[0].targets)}" if others else ""
        raise NotSupportedError(f"{generation.distribution}, which compiles for {target}, is not installed{beside}", generation.to_do)
    if not has_device() and generation is NEURONX:
        os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] = target  # the import looks for the device
    sdk = Sdk(generation, _imported(generation))
    if not hasattr(sdk.module, "trace"):
        raise NotSupportedError(
            f"{sdk.name} is PyTorch's native backend for Trn2 and Trn3 and has no trace", f"torch-neuronx 2.9 is the last that has; {_HOW}"
        )
    return sdk


def _imported(generation: Generation) -> Any:
    try:
        with _aside():
            return importlib.import_module(generation.module)
    except Exception as error:  # an SDK that does not fit its surroundings may raise anything
        name = f"{generation.distribution} {_version(generation.distribution)}"
        if _STUB in str(error):
            message = f"{name} is the stub that stands on PyPI under that name, and no SDK ({_STUB})"
            raise NotSupportedError(message, f"pip uninstall {generation.distribution}; {generation.to_do}") from error
        raise NotSupportedError(f"{name} cannot be imported: {reason(error)}", generation.to_do) from error


@contextmanager
def _aside() -> Iterator[None]:
    """Send everything printed to standard output, also by a compiler's process, to standard error: it is not a result."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def has_device() -> bool:
    """Whether this machine has a Neuron device."""
    return any(DEVICES.glob("neuron[0-9]*"))


def compiler_words(asked: NeuronOptions) -> list[str]:
    """The arguments of neuronx-cc or neuron-cc for the options, one by one."""
    words = shlex.split(asked.compiler_args)
    if asked.target in NEURON.targets:
        return ["--fast-math", _fast_math(asked), *words]
    cast = ["--auto-cast", asked.auto_cast, *(["--auto-cast-type", asked.auto_cast_type] if asked.auto_cast != "none" else [])]
    kind = [] if any(word.startswith("--model-type") for word in words) else ["--model-type", "transformer"]
    return ["--target", asked.target, *cast, *kind, *words]


def _fast_math(asked: NeuronOptions) -> str:
    """neuron-cc's word for a cast; its `none` is the most exact that it has, and still multiplies matrices in bf16."""
    if asked.auto_cast == "none":
        return "none"
    if asked.auto_cast == "all":
        return "all" if asked.auto_cast_type == "bf16" else f"fp32-cast-all-{asked.auto_cast_type}"
    return f"fp32-cast-matmult-{asked.auto_cast_type}"


def _for_neuron(asked: NeuronOptions) -> dict[str, Any]:
    return {
        "compiler_args": compiler_words(asked),
        "dynamic_batch_size": asked.dynamic_batch,
        "fallback": not asked.dynamic_batch,  # a part left to the CPU would keep the batch that it was traced with
        "strict": False,  # handed on to torch.jit.trace: the model makes dictionaries on the way
    }


def _for_neuronx(asked: NeuronOptions) -> dict[str, Any]:
    return {
        "compiler_args": shlex.join(compiler_words(asked)),  # a text, the form in which a target is looked for without a device
        "inline_weights_to_neff": True,
        "cpu_backend": not has_device(),
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
