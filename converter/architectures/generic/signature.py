"""Infer a model's inputs and outputs from a run without weights at two sizes: an axis as long as an input's both times is that axis.

The model is built from tensors with shapes and without memory, which takes milliseconds at any size: on torch's meta device, or as fake
tensors, which cost more, for the few models that mix devices.
"""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from converter.architectures.cache_names import CACHE_NAMES, cache_argument, cache_of
from converter.architectures.embedders import make_model
from converter.architectures.features import Axes, Feature
from converter.architectures.generic.inputs import INTEGERS, Layout, has_other_parts, layouts, placeholder
from converter.architectures.generic.weightless import every_value_is_one
from converter.core.errors import NotSupportedError
from converter.core.reason import reason

if TYPE_CHECKING:
    import torch

PRIMARY = ("input_ids", "inputs", "pixel_values", "pixel_values_videos", "input_features", "input_values", "past_values")
"""Main inputs of models, one or more per model; the others accompany them."""
_IMAGES = frozenset({"pixel_values", "pixel_values_videos"})
_SOUNDS = frozenset({"input_features", "input_values"})
_NEEDED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("image-to-text", "image-classification", "object-detection", "semantic-segmentation"), _IMAGES),
    "zero-shot-image-classification": _IMAGES,
    **dict.fromkeys(("automatic-speech-recognition", "audio-classification"), _SOUNDS),
}
"""Main inputs of a task, one of which an artifact needs."""
_NO_RESULT = (
    "accuracy_drop",
    *CACHE_NAMES,
    "hidden_states",
    "attentions",
    "decoder_hidden_states",
    "encoder_hidden_states",
    "cross_attentions",
)


@dataclass(frozen=True)
class CachedLayer:
    """The fixed dimensions of a layer's cache: heads and features of keys and values; the same for an encoder's output."""

    key: tuple[int, int]
    value: tuple[int, int]
    encoder_key: tuple[int, int] | None = None
    encoder_value: tuple[int, int] | None = None


@dataclass(frozen=True)
class ModelSignature:
    """A model's inputs and outputs: each input's layout in the order of its forward, each output's named axes, the cache's layers."""

    inputs: Mapping[str, Layout]
    outputs: Mapping[str, Axes]
    cache: Sequence[CachedLayer] = ()
    rows_unused: int = 0
    """How many rows of its table of positions are no token's: RoBERTa's kin count from the padding token's on."""
    encoded: int | None = None
    """How many positions the cache holds of an encoder's input that has but one length; None where their number varies."""


@dataclass(frozen=True)
class SignatureProbe:
    """A question about a model: a head, with or without its cache, and the lengths of named axes at two sizes."""

    config: Any
    auto_class: str
    feature: Feature
    text: Mapping[str, Layout]
    lengths: Sequence[Mapping[str, int]]
    without: frozenset[str] = field(default_factory=frozenset)
    """Inputs that are left out, though the model's forward has them."""
    any_image_size: bool = False

    def layouts(self, name: str) -> Sequence[Layout]:
        """The ways in which an input may be laid out."""
        return (self.text[name],) if name in self.text else layouts(name, self.config, self.any_image_size)


_UNSHAPED = {"led": "its encoder makes tensors as long as the number of tokens with global attention, which a graph does not know"}
"""Why the forward of a model type cannot be captured, for types whose own error does not say it."""


def probe_signature(probe: SignatureProbe) -> ModelSignature:
    """Run the model of `probe`. Raises NotSupportedError if it runs with none of the known inputs."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"), every_value_is_one():
        signature = _find(probe)
    if isinstance(signature, str):
        with FakeTensorMode(), every_value_is_one():
            again = _find_again(probe)
        if again is None and (cause := _UNSHAPED.get(probe.config.model_type)):
            raise NotSupportedError(
                f"{probe.config.model_type} cannot be captured: {cause}", "take a checkpoint of another architecture for long texts"
            )
        if again is None:
            raise NotSupportedError(
                f"the inputs of this {probe.auto_class} have no dedicated configuration, and inferring them failed: {signature}",
                "describe them in a custom configuration, see --config",
            )
        signature = again
    return signature


def _find_again(probe: SignatureProbe) -> ModelSignature | None:
    """The same with fake tensors; None if this fails too, as the first reason is closer to the cause."""
    try:
        again = _find(probe)
    except NotSupportedError:
        return None
    return again if isinstance(again, ModelSignature) else None


def _find(probe: SignatureProbe) -> ModelSignature | str:
    """The same with the current kind of tensors, or the reason why the model runs with no known inputs."""
    import torch

    shell = _meta_model(probe)
    failures: list[str] = []
    for chosen in _choices(shell, probe):
        try:
            with torch.no_grad():
                first, second = (_run(shell, chosen, lengths, probe.feature.use_past) for lengths in probe.lengths)
        except Exception as error:  # a model's own code runs here, and may raise anything over inputs that are not for it
            failures.append(reason(error))
            continue
        names = _results(first, probe.feature, chosen)
        if not names:
            failures.append(f"its outputs are not tensors ({', '.join(first)})")
            continue
        cache = _cache(cache_of(first), probe) if probe.feature.use_past else ()
        outputs = _label({name: (first[name].shape, second[name].shape) for name in names}, chosen, probe.lengths)
        encoded = _encoded(first, second, probe) if cache and cache[0].encoder_key and "input_ids" not in chosen else None
        return ModelSignature(chosen, outputs, cache, rows_unused=_rows_unused(shell), encoded=encoded)
    return failures[0] if failures else "its forward has no known inputs"


def _meta_model(probe: SignatureProbe) -> Any:
    """The model without memory, with the attention that is captured."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        # of a copy: transformers writes the attention into the configuration, which the reference model shares
        shell = make_model(probe.auto_class, deepcopy(probe.config), attn_implementation="eager")
    except Exception as error:  # transformers raises anything for a configuration
        raise NotSupportedError(f"transformers makes no {probe.auto_class} of this config.json: {reason(error)}") from error
    if shell._can_set_experts_implementation():
        shell.set_experts_implementation("batched_mm")  # the usual one has a kernel for bfloat16 alone on this device
    return shell.eval()


def _choices(shell: Any, probe: SignatureProbe) -> Iterator[dict[str, Layout]]:
    """The inputs that the model may take, in the order of its forward, in each way that they may be laid out."""
    arguments = [name for name in inspect.signature(shell.forward).parameters if name not in probe.without]
    for about in _subjects(arguments, getattr(shell, "main_input_name", ""), probe):
        names = [name for name in arguments if name in about or _goes_with(name, about, probe, "decoder_input_ids" in arguments)]
        ways = (dict(zip(names, way, strict=True)) for way in itertools.product(*map(probe.layouts, names)))
        choices = [choice for choice in ways if _agree(choice)]
        if {"input_ids", "pixel_values"} <= {*names}:  # as many texts as images, or, for each pair of them, any number of both
            yield from ({**choice, "pixel_values": _apart(choice["pixel_values"])} for choice in choices)
        yield from choices


def _subjects(arguments: Sequence[str], main: str, probe: SignatureProbe) -> list[tuple[str, ...]]:
    """The possible inputs: all, then the main input alone, then each other.

    An artifact has the inputs of its feature, and a model with several kinds of input has all, except for a task of text. Raises
    NotSupportedError for a model with placeholder tokens for images or sounds in its text.
    """
    primary = tuple(name for name in PRIMARY if name in arguments and probe.layouts(name))
    needed = _NEEDED.get(probe.feature.task, frozenset())
    is_mixed = probe.feature.task == "default" and has_other_parts(probe.config)
    if (needed or is_mixed) and "input_ids" in primary and (named := placeholder(probe.config)):
        raise NotSupportedError(
            f"in the text of {probe.config.model_type} an image or a sound is a number of tokens ({named}), which nobody has described",
            "describe its inputs in a custom configuration, see --config",
        )
    alone = [(name,) for name in (main, *primary) if name in primary]
    if probe.feature.task == "causal-lm" and "input_ids" in primary:
        alone.insert(0, ("input_ids",))  # a text is continued, whatever else there is that it may be about
        subjects = [*alone, primary]
    else:
        subjects = [primary] if is_mixed else [primary, *alone]
    return [about for about in dict.fromkeys(subjects) if about and (not needed or needed.intersection(about))]


def _apart(layout: Layout) -> Layout:
    """The layout of images that need not be as many as the texts."""
    return Layout({**layout.axes, 0: "image_batch"}, layout.fixed)


def _goes_with(name: str, about: Sequence[str], probe: SignatureProbe, decodes: bool) -> bool:
    """Whether an input is wanted beside those that the model is about."""
    if name.startswith("decoder_"):
        return name in probe.text and decodes
    if name == "pixel_mask":
        return "pixel_values" in about
    if name == "attention_mask" and {"input_ids", "inputs"}.isdisjoint(about):
        # the processors of models that normalise each group of features give none (transformers' documentation of Wav2Vec2)
        return "input_values" in about and getattr(probe.config, "feat_extract_norm", "") == "layer"
    return name in probe.text and name not in PRIMARY and not {"input_ids", "inputs"}.isdisjoint(about)


def _agree(chosen: Mapping[str, Layout]) -> bool:
    """Whether an image and its mask are of one size."""
    image, mask = chosen.get("pixel_values"), chosen.get("pixel_mask")
    return not image or not mask or {axis - 1: length for axis, length in image.fixed.items() if axis > 1} == mask.fixed


def _run(shell: Any, chosen: Mapping[str, Layout], lengths: Mapping[str, int], use_cache: bool) -> Mapping[str, Any]:
    import torch
    from transformers import DynamicCache

    dtype = next(shell.parameters()).dtype
    arguments: dict[str, Any] = {}
    for name, layout in chosen.items():
        # the cache is empty, so a mask is as long as the new tokens
        sizes = {
            axis: lengths[label.removeprefix("past_sequence + ").removeprefix("past_decoder_sequence + ")]
            for axis, label in layout.axes.items()
        }
        shape = [size for _, size in sorted({**sizes, **layout.fixed}.items())]
        arguments[name] = torch.ones(shape, dtype=torch.int64 if name in INTEGERS else dtype)
    if "use_cache" in inspect.signature(shell.forward).parameters:
        arguments["use_cache"] = use_cache
    if use_cache and "decoder_input_ids" not in chosen and hasattr(shell.config, "decoder_layers"):
        arguments[cache_argument(shell.forward)] = DynamicCache()  # a cache that the model makes itself has as many layers as the encoder
    result: Mapping[str, Any] = shell(**arguments, return_dict=True)
    return result


def _results(result: Mapping[str, Any], feature: Feature, chosen: Mapping[str, Layout]) -> list[str]:
    """The outputs of an artifact: the feature's, or all tensors if the model has none of these."""
    import torch

    values = {name: value for name, value in result.items() if isinstance(value, torch.Tensor) and name not in _NO_RESULT}
    tensors = [name for name, value in values.items() if value.is_floating_point()]  # codes and lengths belong to another output
    wanted = [*feature.outputs]
    if feature.task == "default" and "input_ids" not in chosen:
        wanted.append("pooler_output")  # of an image or a sound it is what stands for the whole
    return [name for name in wanted if name in tensors] or tensors


def _cache(cache: Any, probe: SignatureProbe) -> list[CachedLayer]:
    """The layers of a cache that a run gave. Raises NotSupportedError for one that is not of keys and values."""
    own, encoder = getattr(cache, "self_attention_cache", cache), getattr(cache, "cross_attention_cache", None)
    layers = list(getattr(own, "layers", ()))
    others = list(encoder.layers) if encoder is not None and getattr(encoder, "layers", None) and _is_filled(encoder.layers[0]) else []
    if not layers:
        raise NotSupportedError(
            f"this {probe.config.model_type} returns no cache of transformers' own",
            f"export it as {probe.feature.task}",
        )
    if not all(map(_is_filled, layers)):
        kinds = ", ".join(dict.fromkeys(type(layer).__name__ for layer in layers))
        raise NotSupportedError(
            f"the cache of {probe.config.model_type} is not of keys and values in each layer ({kinds}), so it cannot go in and out",
            f"export it as {probe.feature.task}",
        )
    sizes = []
    for index, layer in enumerate(layers):
        parts = [layer.keys, layer.values, *((others[index].keys, others[index].values) if others else ())]
        sizes.append(CachedLayer(*((int(part.shape[1]), int(part.shape[3])) for part in parts)))
    return sizes


def _rows_unused(shell: torch.nn.Module) -> int:
    tables = (module for name, module in shell.named_modules() if name.endswith("position_embeddings"))
    return max((table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None), default=0)


def _encoded(first: Mapping[str, Any], second: Mapping[str, Any], probe: SignatureProbe) -> int:
    """How many positions of an image or a sound the cache holds. Raises NotSupportedError where their number varies."""
    caches: list[Any] = [cache_of(first), cache_of(second)]
    lengths = [int(cache.cross_attention_cache.layers[0].keys.shape[2]) for cache in caches]
    if lengths[0] != lengths[1]:
        raise NotSupportedError(
            f"the encoder of {probe.config.model_type} takes images or sounds of any length, and a cache holds all of one or nothing",
            f"export it as {probe.feature.task}",
        )
    return lengths[0]


def _is_filled(layer: Any) -> bool:
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    is_plain = type(layer).__name__ in ("DynamicLayer", "DynamicSlidingWindowLayer")  # others have states or an index beside
    return is_plain and keys is not None and values is not None and keys.dim() == values.dim() == 4


def _label(
    shapes: Mapping[str, tuple[torch.Size, torch.Size]], chosen: Mapping[str, Layout], lengths: Sequence[Mapping[str, int]]
) -> dict[str, Axes]:
    """The names of the outputs' dynamic axes: the input's axis of the same lengths, or a new name."""
    labels = dict.fromkeys(label.split(" + ")[-1] for layout in chosen.values() for label in layout.axes.values())
    known = {(lengths[0][label], lengths[1][label]): label for label in reversed(list(labels))}
    outputs: dict[str, Axes] = {}
    for name, (first, second) in shapes.items():
        axes: dict[int, str] = {}
        for axis, pair in enumerate(zip(first, second, strict=True)):
            if pair[0] != pair[1]:
                axes[axis] = known.setdefault(pair, f"{name}_axis_{axis}")
        outputs[name] = axes
    return outputs
