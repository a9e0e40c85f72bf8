"""The names of inputs all over transformers, with their axes, lengths and values.

A layout is one arrangement of an input. If a name has several, the first one that the model runs with is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.architectures.features import Axes
from converter.core.files import read_at_most

if TYPE_CHECKING:
    from converter.core.typing import Array

INTEGERS = frozenset(
    {"input_ids", "inputs", "attention_mask", "token_type_ids", "bbox", "decoder_input_ids", "decoder_attention_mask", "pixel_mask"}
)
"""The inputs that are int64; all others are of the model's floating point type."""


MEASURED = frozenset({"pixel_values", "pixel_values_videos", "input_features", "input_values", "past_values"})
"""The inputs that are brightness, loudness or another quantity that has no largest value."""

_MOST_PIXELS = 2**20
"""Of an image at its processor's size: DETR's 800 x 800 are fewer."""

_EVALUATED = (640, 640)
"""Pixels of the images that RT-DETR and its kin were trained for, by their processors (transformers' RTDetrImageProcessor.size)."""
_PROCESSOR_LIMIT = 2**20
"""Bytes of the largest preprocessor_config.json that is read; one has a thousand."""


@dataclass(frozen=True)
class Layout:
    """The named axes of an input, and the lengths of the others."""

    axes: Axes
    fixed: Mapping[int, int] = field(default_factory=dict)


def layouts(name: str, config: Any, any_image_size: bool = False) -> Sequence[Layout]:
    """The ways in which an input without a text's axes may be laid out, for a model with these settings; none for an unknown name.

    With `any_image_size` images are of any size, whichever the settings name.
    """
    choices = tuple(_LAYOUTS[name](config)) if name in _LAYOUTS else ()
    return tuple(layout for layout in choices if "height" in layout.axes.values()) if any_image_size and name in _OF_IMAGES else choices


def setting(config: Any, *names: str) -> Any:
    """The first of some settings in a configuration or one of its parts; None if there is none."""
    for part in (config, *_parts(config)):
        for name in names:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None


def _parts(config: Any) -> Iterator[Any]:
    """The configurations inside one, an image's or a sound's before a text's."""
    names = ("vision_config", "backbone_config", "audio_config", "encoder", "encoder_config", "text_config")
    for name in names:
        part = getattr(config, name, None)
        if hasattr(part, "to_dict"):
            yield part
            yield from _parts(part)


def has_other_parts(config: Any) -> bool:
    """Whether a configuration has a part about images or sounds beside others."""
    return any(hasattr(getattr(config, name, None), "to_dict") for name in ("vision_config", "audio_config"))


def placeholder(config: Any) -> str:
    """The setting with the placeholder token for a part of an image or a sound; empty for none."""
    names = (f"{kind}_token_{what}" for kind in ("image", "audio", "video", "speech") for what in ("id", "index"))
    return next((name for name in names if getattr(config, name, None) is not None), "")


def image_sizes(config: Any) -> list[tuple[int, int]]:
    """The possible heights and widths in pixels of a model of one size: its processor's, and its settings'.

    None without such settings, as it takes any size.
    """
    size = _pixels(setting(config, "image_size"))
    if size is None and hasattr(config, "eval_size"):  # RT-DETR and its kin, whose anchors are of one image
        size = _pixels(config.eval_size) or _EVALUATED
    return list(dict.fromkeys(pair for pair in (size and _processor_size(config), size) if pair))


def _pixels(size: Any) -> tuple[int, int] | None:
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    if isinstance(size, int):
        size = [size, size]
    return (
        (size[0], size[1]) if isinstance(size, list | tuple) and len(size) > 1 and all(isinstance(length, int) for length in size) else None
    )


def _processor(config: Any) -> Mapping[str, Any]:
    """The checkpoint's preprocessor_config.json, from beside its config.json; empty if there is none."""
    path = Path(str(getattr(config, "_name_or_path", "")), "preprocessor_config.json")
    try:
        settings = json.loads(read_at_most(path, _PROCESSOR_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, Mapping) else {}


def _processor_frames(config: Any) -> int | None:
    """The frames of the spectrograms that a checkpoint's processor gives, if all have one length."""
    samples, hop = (_processor(config).get(name) for name in ("nb_max_samples", "hop_length"))
    return samples // hop + 1 if isinstance(samples, int) and isinstance(hop, int) and hop > 0 else None


def _processor_size(config: Any) -> tuple[int, int] | None:
    """The image size of a checkpoint's processor, by the file beside config.json; None if it names no single size."""
    settings = _processor(config)
    if not settings or settings.get("do_resize") is False:
        return None
    return _pixels(settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size"))


def _image(config: Any) -> Iterator[Layout]:
    channels = int(setting(config, "num_channels", "in_channels", "in_chans") or 3)
    for height, width in image_sizes(config):
        yield Layout({0: "batch"}, {1: channels, 2: height, 3: width})
    yield Layout({0: "batch", 2: "height", 3: "width"}, {1: channels})


def _image_mask(config: Any) -> Iterator[Layout]:
    for height, width in image_sizes(config):
        yield Layout({0: "batch"}, {1: height, 2: width})
    yield Layout({0: "batch", 1: "height", 2: "width"})


def _video(config: Any) -> Iterator[Layout]:
    frames, (height, width) = int(setting(config, "num_frames") or 2), (*image_sizes(config), (32, 32))[0]
    yield Layout({0: "batch"}, {1: frames, 2: int(setting(config, "num_channels") or 3), 3: height, 4: width})


def _image_or_video(config: Any) -> Iterator[Layout]:
    yield from _image(config)
    yield from _video(config)


def _spectrogram(config: Any) -> Iterator[Layout]:
    bins = setting(config, "num_mel_bins", "feature_size", "n_mels", "input_feat_per_channel", "feature_projection_input_dim", "input_size")
    positions, side = setting(config, "max_source_positions"), setting(config, "spec_size")
    if bins and side:  # CLAP, which makes a square of a spectrogram of one length
        yield Layout({0: "batch"}, {1: 1, 2: _processor_frames(config) or int(side) * (int(side) // int(bins)), 3: int(bins)})
    if bins and positions:
        yield Layout({0: "batch"}, {1: int(bins), 2: 2 * int(positions)})  # Whisper, whose encoder takes its whole window
    if bins:
        channels = int(getattr(config, "input_channels", 1))
        yield Layout({0: "batch", 1: "frames"}, {2: int(bins) * channels})
        yield Layout({0: "batch", 2: "frames"}, {1: int(bins)})


def _waveform(config: Any) -> Iterator[Layout]:
    bins, frames = setting(config, "num_mel_bins"), getattr(config, "max_length", None)
    if bins and frames and getattr(config, "frequency_stride", None):
        yield Layout({0: "batch"}, {1: int(frames), 2: int(bins)})  # the Audio Spectrogram Transformer's spectrogram of one length
    yield Layout({0: "batch", 1: "samples"})
    yield Layout({0: "batch", 2: "samples"}, {1: int(setting(config, "audio_channels") or 1)})


def _past_values(config: Any) -> Iterator[Layout]:
    length, channels = setting(config, "context_length"), setting(config, "num_input_channels", "input_size")
    if length and channels:
        yield Layout({0: "batch"}, {1: int(length), 2: int(channels)})


_OF_IMAGES = ("pixel_values", "pixel_mask")
_LAYOUTS: Mapping[str, Callable[[Any], Iterator[Layout]]] = {
    "pixel_values": _image_or_video,
    "pixel_values_videos": _video,
    "pixel_mask": _image_mask,
    "input_features": _spectrogram,
    "input_values": _waveform,
    "past_values": _past_values,
}


def lengths(sequence: int, config: Any) -> Mapping[str, int]:
    """The lengths of images and sounds beside a text of `sequence` tokens: pixels, samples, frames, large enough for the model."""
    patch = setting(config, "patch_size")
    unit = 32 if not isinstance(patch, int) or 32 % patch == 0 else 2 * patch
    ratio = getattr(config, "inputs_to_logits_ratio", 0)
    hop = int((ratio() if callable(ratio) else ratio) or 320)  # samples for each frame
    return {
        "height": unit * (2 + sequence % 3),
        "width": unit * (2 + (sequence + 1) % 3),
        "samples": hop * (sequence + 2) + hop // 4,
        "frames": 16 + 8 * sequence,
    }


def usual_size(config: Any) -> tuple[int, int] | None:
    """The height and width in pixels after a checkpoint's processor of a square image, or by its settings.

    None without either, and for more pixels than are tried.
    """
    settings = _processor(config)
    size = settings.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    pixels = _processor_size(config) or _pixels(shortest) or next(iter(image_sizes(config)), None)
    return pixels if pixels and 0 < pixels[0] * pixels[1] <= _MOST_PIXELS else None


def half_a_minute(config: Any, labels: Collection[str]) -> int | None:
    """The `sequence` whose sound, by `lengths`, is 30 seconds long: samples at the processor's rate, or frames of 10 ms."""
    rate = _processor(config).get("sampling_rate")
    wanted = {"samples": 30 * (rate if isinstance(rate, int) and rate > 0 else 16000), "frames": 3000}
    for label, length in wanted.items():
        if label in labels:
            first, second = (lengths(sequence, config)[label] for sequence in (1, 2))
            return 2 + max(0, -(-(length - second) // (second - first)))
    return None


def draw(name: str, shape: tuple[int, ...], rng: Any, config: Any) -> Array:
    """Values for an input other than text: normal numbers, boxes on a page, masks of pixels."""
    import numpy as np

    if name == "bbox":  # (left, top, right, bottom), whose width and height have embeddings too and so are not negative
        most = int(setting(config, "max_2d_position_embeddings") or 1000)
        corners: Array = np.sort(rng.integers(0, most, (*shape[:-1], 2, 2), dtype=np.int64), axis=-2)
        return corners.reshape(shape)
    if name == "pixel_mask":  # the image is in the upper left, and the first one fills all
        mask: Array = np.zeros(shape, np.int64)
        for row, (height, width) in enumerate(rng.integers(1 + np.array(shape[1:]) // 2, 1 + np.array(shape[1:]), (shape[0], 2))):
            mask[row, : height if row else None, : width if row else None] = 1
        return mask
    if name in INTEGERS:
        return rng.integers(0, 2, shape, dtype=np.int64)  # type: ignore[no-any-return]  # numpy's Generator is Any here
    return rng.standard_normal(prod(shape)).reshape(shape)  # type: ignore[no-any-return]  # as above
