"""Which architecture and which feature a checkpoint is converted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from converter.architectures import (
    Architecture,
    canonical,
    custom_architecture,
    embedding_architecture,
    feature_of_class,
    find_architecture,
)
from converter.architectures.embedders import encoder_class
from converter.architectures.features import WITH_PAST
from converter.core.records import Checkpoint, Options


def architecture_of(checkpoint: Checkpoint, options: Options) -> Architecture:
    """The custom architecture if there is one, otherwise ours."""
    if options.config:
        return embedding_architecture(custom_architecture(options.config, checkpoint.model_type), _classes(checkpoint))
    written_by = str(checkpoint.config.get("transformers_version", ""))
    return find_architecture(checkpoint.model_type, written_by, _classes(checkpoint))


def candidate_options(options: Options, architecture: Architecture, checkpoint: Checkpoint) -> Iterator[Options]:
    """The options of a job, and the options for a model without cache, unless the user requested the cache."""
    chosen = with_feature(options, architecture, checkpoint)
    yield chosen
    if not options.feature and chosen.feature and chosen.feature.endswith(WITH_PAST):
        yield chosen.model_copy(update={"feature": chosen.feature.removesuffix(WITH_PAST)})


def with_feature(options: Options, architecture: Architecture, checkpoint: Checkpoint) -> Options:
    """The options with the documented name of the requested feature, or with the checkpoint's own."""
    feature = architecture.choose_feature(options.feature, _classes(checkpoint), options.prefers_cache, checkpoint.task)
    return options.model_copy(update={"feature": feature})


def with_feature_note(checkpoint: Checkpoint, options: Options) -> Checkpoint:
    """The checkpoint with a note, if the repository's files choose another feature than config.json."""
    named = checkpoint.classes[0] if checkpoint.classes else ""
    if options.feature or not checkpoint.task or not named or feature_of_class(named) == canonical(checkpoint.task):
        return checkpoint
    note = (
        f"modules.json says that the model is loaded for {checkpoint.task}, so it is converted for that, though config.json names {named}"
    )
    return replace(checkpoint, notes=(*checkpoint.notes, note))


def _classes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The classes that config.json names; of an encoder whose family has a decoder too the class of the encoder alone."""
    encoder = encoder_class(checkpoint.model_type) if canonical(checkpoint.task) == "default" else None
    return (encoder,) if encoder else checkpoint.classes
