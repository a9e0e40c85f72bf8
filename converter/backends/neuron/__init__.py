"""AWS Neuron: check the model without the SDK, compile it for each bucket with the SDK's `trace`, and save it for its clients."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from converter.backends.artifact_files import ArtifactFiles
from converter.backends.backend import Backend
from converter.backends.card_text import CardText
from converter.backends.neuron import sdk
from converter.backends.result import ConversionResult
from converter.backends.session import Session
from converter.backends.traced import without_cache
from converter.core.errors import NotSupportedError
from converter.core.records import LONGEST_AXIS, Finding, Options
from converter.core.versions import TESTED

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.backends.conversion import ConfiguredModel, Conversion

GENERATED = ("default", "seq2seq-lm")
"""Tasks that call the decoder of an encoder-decoder once per token; its other features are one call."""

_OURS = ("--target", "--auto-cast", "--auto-cast-type", "--fast-math", "--fp32-cast", "--framework", "--output", "--logfile", "--io-config")
"""Compiler arguments that are options here, or that the SDK sets."""


def _lengths(value: Any) -> Any:
    """`128,256` as numbers, without duplicates, shortest first; pydantic reports a wrong one."""
    parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
    try:
        return tuple(sorted({int(part) for part in parts}))
    except (TypeError, ValueError):
        raise PydanticCustomError("lengths", "give a number of tokens, or several separated by commas") from None


_LENGTH = {"type": "integer", "minimum": 1, "maximum": LONGEST_AXIS}
_Lengths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=LONGEST_AXIS)], ...],
    BeforeValidator(_lengths),
    WithJsonSchema({"anyOf": [_LENGTH, {"type": "array", "items": _LENGTH, "minItems": 1}, {"type": "string"}]}),
]


class NeuronOptions(Options):
    """The options of `converter neuron`."""

    target: sdk.Target = Field(examples=["inf2"], description="Instances to compile for.")
    batch_size: int = Field(ge=1, le=LONGEST_AXIS, examples=[1], description="Texts per call.")
    sequence_length: _Lengths = Field(
        min_length=1, examples=["128,256"], description="Tokens per text; several lengths, separated by commas, make several buckets."
    )
    dynamic_batch: bool = Field(False, description="Accept any number of texts, in portions of the batch size.")
    auto_cast: Literal["none", "matmult", "all"] = Field(
        "none", description="float32 operations that the compiler may compute in a narrower type."
    )
    auto_cast_type: Literal["bf16", "fp16", "tf32"] = Field("bf16", description="Narrower type; tf32 does not exist on inf1.")
    compiler_args: str = Field("", description="More compiler arguments, as one text; none may name a file.")
    allow_unvalidated: bool = Field(
        False, description="Keep an artifact that cannot run on this machine, marked as not validated. Otherwise it is a failure."
    )

    @field_validator("feature")
    @classmethod
    def _is_one_call(cls, feature: str | None) -> str | None:
        return without_cache(feature)

    @field_validator("dynamic_batch")
    @classmethod
    def _is_of_one(cls, dynamic_batch: bool, info: ValidationInfo) -> bool:
        """torch-neuron is known to do this only with a batch of one, and without its partitioning."""
        if dynamic_batch and info.data.get("target") == "inf1" and info.data.get("batch_size", 1) != 1:
            raise PydanticCustomError("dynamic_batch", "inf1 needs a batch size of 1 for it")
        return dynamic_batch

    @field_validator("auto_cast_type")
    @classmethod
    def _is_of_the_target(cls, auto_cast_type: str, info: ValidationInfo) -> str:
        if auto_cast_type == "tf32" and info.data.get("target") == "inf1":
            raise PydanticCustomError("auto_cast_type", "inf1 has no tf32; choose bf16 or fp16")
        if auto_cast_type != "bf16" and info.data.get("auto_cast") == "none":
            raise PydanticCustomError("auto_cast_type", "nothing is cast; choose the operations with matmult or all")
        return auto_cast_type

    @field_validator("compiler_args")
    @classmethod
    def _names_no_file(cls, compiler_args: str) -> str:
        """Refuse arguments that name a file: they may come from a manifest, and only the output folder is written to."""
        try:
            words = shlex.split(compiler_args)
        except ValueError as error:
            raise PydanticCustomError("compiler_args", "it cannot be parsed: {why}", {"why": str(error).lower()}) from None
        for word in words:
            name = word.partition("=")[0]
            if name in _OURS:
                raise PydanticCustomError("compiler_args", "{name} is not allowed: it is an option here, or set by the SDK", {"name": name})
            if "/" in word or not re.fullmatch(r"[\w.,:=-]+", word):
                raise PydanticCustomError("compiler_args", "{word} cannot be passed to the compiler", {"word": repr(word)})
        return compiler_args

    @property
    def accepts_unvalidated(self) -> bool:
        return self.allow_unvalidated


class NeuronPreflight:
    note = "the compiler may still refuse it"

    def check(self, configured: ConfiguredModel, options: Options) -> Iterator[Finding]:
        from converter.backends.neuron.check import check

        assert isinstance(options, NeuronOptions)
        return check(configured.model, configured.config, options, configured.preprocessor)


_USAGE = """
import torch
import torch_neuronx  # torch.neuron on Inf1
from huggingface_hub import hf_hub_download

model = torch.jit.load(hf_hub_download("REPOSITORY", "neuron/model.neuron"))
"""


class NeuronBackend(Backend):
    """Its costs are not measured, because its compiler was never run."""

    name = "neuron"
    title = "Neuron"
    files = ArtifactFiles(layouts=(("model.neuron",),), client_patterns=("*.neuron",))
    options = NeuronOptions
    packages = ("torch", "transformers", "torch-xla", "libneuronxla", *sdk.DISTRIBUTIONS)
    card = CardText(library="optimum-neuron", usage=_USAGE)
    claim = "validated if a device or the SDK's CPU backend runs it"
    tested: ClassVar[Mapping[str, str]] = {**TESTED, "torch": ">=2.9,<2.15"}  # the SDK's own torch is 2.9
    preflight = NeuronPreflight()

    @property
    def notice(self) -> str:
        message = "the calls of Neuron's SDK follow its documentation and never ran with the SDK: see docs/how-to/neuron.md"
        if self.validates_here:
            return message
        return (
            f"{message}; there is no Neuron device here, so a compiled model may not run: an artifact that cannot "
            "be validated is a failure unless you pass --allow-unvalidated"
        )

    @property
    def validates_here(self) -> bool:
        return sdk.has_device()

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:
        return onnx_config.attn_implementation  # eager: torch-neuron's torch 1.13 has no other, and XLA lowers it op by op

    def check_environment(self, options: Options) -> None:
        assert isinstance(options, NeuronOptions)
        if options.feature == "seq2seq-lm":
            raise generation_error(options.feature)
        sdk.find(options.target)

    def convert(self, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        from converter.backends.neuron.export import export

        assert isinstance(conversion.options, NeuronOptions)
        export(configured.preprocessor, configured.model.module, configured.config, conversion.options, folder)
        return ConversionResult()

    def open(self, folder: Path) -> Session:
        from converter.backends.neuron.session import NeuronSession

        return NeuronSession(folder, self.files.main)


def generation_error(feature: str) -> NotSupportedError:
    """The error for a feature that calls a decoder once per token."""
    return NotSupportedError(
        f"Neuron compiles one call at one shape; {feature} calls a decoder once per token, at growing lengths",
        "convert it to onnx, with its cache",
    )
