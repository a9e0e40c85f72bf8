"""Capture graphs in advance, from a config.json, without weights.

A graph has no weights, and validation compares an artifact with its own checkpoint. So random weights serve for both: a checkpoint
with such weights is written and converted as usual, and the kept graph serves real checkpoints of the configuration.
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
    """The configurations in the package, by their names on the Hub: those of popular checkpoints."""
    paths = sorted(_CONFIGS.glob("*/*/config.json"))
    return [Source(name=path.parent.relative_to(_CONFIGS).as_posix(), folder=path.parent) for path in paths]


def warm(source: Source, feature: str | None, cache: Path, observe: Observer) -> list[Outcome]:
    """Keep in `cache` the graphs for checkpoints with the config.json of `source`; return an Outcome for each backend that keeps
    graphs.

    `feature` None is the feature of config.json. `observe` receives events. Raises CheckpointError and NotSupportedError if that
    config.json cannot be converted.
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
