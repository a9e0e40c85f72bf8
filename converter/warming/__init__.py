"""Graphs captured before anybody asks for them: of a config.json alone, with no weight fetched.

A graph holds no weight, and validation compares the artifact with its own checkpoint: so weights at random do for both. A checkpoint of
such is written and converted as any other is, and what the conversion keeps is what a real one of that configuration finds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.checkpoints.fetch import read_config
from converter.core.errors import NotSupportedError
from converter.core.records import Checkpoint, Event, Job, Outcome, Source
from converter.pipeline import Observer, run_job

_CONFIGS = Path(__file__).parent / "configs"


def most_used() -> list[Source]:
    """The configurations that come with the package, by their names on the Hub: those of the checkpoints that people use most."""
    paths = sorted(_CONFIGS.glob("*/*/config.json"))
    return [Source(name=path.parent.relative_to(_CONFIGS).as_posix(), folder=path.parent) for path in paths]


def warm(source: Source, feature: str | None, cache: Path, observe: Observer) -> list[Outcome]:
    """Keep in `cache` the graphs that a checkpoint with the config.json of `source` needs; an Outcome for each backend that keeps any.

    `feature` None is the one that config.json names. `observe` is told what happens.
    Raises CheckpointError and NotSupportedError where that config.json is of nothing that can be converted.
    """
    from converter.checkpoints.loading import save_random

    config = read_config(source)
    checkpoint = Checkpoint(source=source, identity="", config=config, files={})
    architecture = find_architecture(checkpoint.model_type, classes=checkpoint.classes)
    if architecture.origin:
        raise NotSupportedError(f"{source} is of an architecture of another package, whose graphs are not kept")
    wanted = {backend.name: backend.options() for backend in BACKENDS.values() if backend.caches}
    chosen = {name: architecture.choose_feature(feature, checkpoint.classes, options.prefers_cache) for name, options in wanted.items()}
    with tempfile.TemporaryDirectory(prefix="converter-") as path:
        folder = Path(path)
        observe(Event(event="stage-began", stage="make"))
        save_random(folder / "checkpoint", config, architecture.auto_class(next(iter(chosen.values()))))  # with a cache it is the same
        jobs = [
            Job(
                source=Source(name=source.name, folder=folder / "checkpoint"),
                backend=name,
                options=options.model_copy(update={"feature": chosen[name]}),
                destination=folder / name,
                cache=cache,
            )
            for name, options in wanted.items()
        ]
        return [run_job(job, observe) for job in jobs]
