"""AWS Neuron: the model is looked at without the SDK, compiled by the SDK's own `trace` for each bucket, and saved for its clients."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from converter.backends.base import Backend
from converter.backends.neuron import sdk
from converter.backends.session import Session
from converter.backends.traced import without_cache
from converter.core.errors import NotSupportedError
from converter.core.records import LONGEST_AXIS, Finding, Options
from converter.core.versions import TESTED

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel

GENERATED = ("default", "seq2seq-lm")
"""What an encoder with a decoder beside it is asked for once a token; its other features are one call."""

_OURS = ("--target", "--auto-cast", "--auto-cast-type", "--fast-math", "--fp32-cast", "--framework", "--output", "--logfile", "--io-config")
"""The compiler's arguments that are options of ours, or that its caller decides."""


def _lengths(value: Any) -> Any:
    """`128,256` as numbers, each once and the shortest first; what is none is left to pydantic to tell."""
    parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
    try:
        return tuple(sorted({int(part) for part in parts}))
    except (TypeError, ValueError):
        raise PydanticCustomError("lengths", "give a number of tokens, or several by commas") from None


_LENGTH = {"type": "integer", "minimum": 1, "maximum": LONGEST_AXIS}
_Lengths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=LONGEST_AXIS)], ...],
    BeforeValidator(_lengths),
    WithJsonSchema({"anyOf": [_LENGTH, {"type": "array", "items": _LENGTH, "minItems": 1}, {"type": "string"}]}),
]


class NeuronOptions(Options):
    """The options of `converter neuron`."""

    target: sdk.Target = Field(examples=["inf2"], description="The instances that it is compiled for: inf1, inf2 or trn1.")
    batch_size: int = Field(ge=1, le=LONGEST_AXIS, examples=[1], description="How many texts a call takes.")
    sequence_length: _Lengths = Field(
        min_length=1, examples=["128,256"], description="How many tokens of each text a call takes; several by commas make several buckets."
    )
    dynamic_batch: bool = Field(False, description="Take any number of texts, in portions of the batch size.")
    auto_cast: Literal["none", "matmult", "all"] = Field(
        "none", description="Which float32 operations the compiler may compute in a narrower type."
    )
    auto_cast_type: Literal["bf16", "fp16", "tf32"] = Field("bf16", description="The narrower type; tf32 is none of inf1's.")
    compiler_args: str = Field("", description="More arguments of the compiler, as one text; none may name a file.")
    allow_unvalidated: bool = Field(
        False, description="Keep an artifact that nothing on this machine can run, marked as not validated; otherwise that is a failure."
    )

    @field_validator("feature")
    @classmethod
    def _is_one_call(cls, feature: str | None) -> str | None:
        return without_cache(feature)

    @field_validator("dynamic_batch")
    @classmethod
    def _is_of_one(cls, dynamic_batch: bool, info: ValidationInfo) -> bool:
        """Only with a batch of one, and without its partitioning, has torch-neuron been known to do it."""
        if dynamic_batch and info.data.get("target") == "inf1" and info.data.get("batch_size", 1) != 1:
            raise PydanticCustomError("dynamic_batch", "for inf1 it goes with a batch size of 1 alone")
        return dynamic_batch

    @field_validator("auto_cast_type")
    @classmethod
    def _is_of_the_target(cls, auto_cast_type: str, info: ValidationInfo) -> str:
        if auto_cast_type == "tf32" and info.data.get("target") == "inf1":
            raise PydanticCustomError("auto_cast_type", "inf1 has no tf32; choose bf16 or fp16")
        if auto_cast_type != "bf16" and info.data.get("auto_cast") == "none":
            raise PydanticCustomError("auto_cast_type", "nothing is cast; say what is, by matmult or all")
        return auto_cast_type

    @field_validator("compiler_args")
    @classmethod
    def _names_no_file(cls, compiler_args: str) -> str:
        """They may come from a manifest, and nothing is written but into the output folder."""
        try:
            words = shlex.split(compiler_args)
        except ValueError as error:
            raise PydanticCustomError("compiler_args", "it cannot be read: {why}", {"why": str(error).lower()}) from None
        for word in words:
            name = word.partition("=")[0]
            if name in _OURS:
                raise PydanticCustomError(
                    "compiler_args", "{name} is not for here: it is an option of ours or the SDK's own", {"name": name}
                )
            if "/" in word or not re.fullmatch(r"[\w.,:=-]+", word):
                raise PydanticCustomError("compiler_args", "{word} is no argument that can be passed on", {"word": repr(word)})
        return compiler_args

    @property
    def accepts_unvalidated(self) -> bool:
        return self.allow_unvalidated


class NeuronBackend(Backend):
    name = "neuron"
    title = "Neuron"
    main_file = "model.neuron"
    client_files = ("*.neuron",)
    validation_claim = "validated where something here runs it"
    options = NeuronOptions
    packages = ("torch", "transformers", "torch-xla", "libneuronxla", *sdk.DISTRIBUTIONS)
    tested: ClassVar[Mapping[str, str]] = {**TESTED, "torch": ">=2.9,<2.15"}  # the SDK's own torch is 2.9
    library = "optimum-neuron"
    usage_snippet = """
import torch
import torch_neuronx  # torch.neuron on Inf1
from huggingface_hub import hf_hub_download

model = torch.jit.load(hf_hub_download("REPOSITORY", "neuron/model.neuron"))
"""
    checks = True
    check_note = "this is no promise of the compiler's, which may still refuse it"

    @property
    def notice(self) -> str:
        message = "the calls of Neuron's SDK were written by its documentation, and never seen with the SDK itself: see docs/neuron.md"
        if self.validates_here:
            return message
        return (
            f"{message}; there is no Neuron device here, and without one a compiled model is not known to run: what cannot be validated "
            "is a failure, unless it is converted with --allow-unvalidated"
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

    def check(self, model: LoadedModel, config: OnnxConfig, options: Options, preprocessor: Any = None) -> Iterator[Finding]:
        from converter.backends.neuron.check import check

        assert isinstance(options, NeuronOptions)
        return check(model, config, options, preprocessor)

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        from converter.backends.neuron.export import export

        assert isinstance(options, NeuronOptions)
        export(preprocessor, model.module, config, options, folder)

    def open(self, folder: Path) -> Session:
        from converter.backends.neuron.session import NeuronSession

        return NeuronSession(folder, self.main_file)


def generation_error(feature: str) -> NotSupportedError:
    """What is told of a model with a decoder beside an encoder."""
    return NotSupportedError(
        f"Neuron compiles one call at one shape, and for {feature} a decoder beside an encoder is called once a token, at growing lengths",
        "convert it to onnx, with its cache",
    )
