"""`converter cache`: the folder of captured graphs. `warm` fills it in advance, as the image's build does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from converter.checkpoints.source import read_source
from converter.cli.console import console, output_options
from converter.cli.paths import cache_option
from converter.core.errors import ConverterError
from converter.core.output_errors import check_writable
from converter.core.records import Event, Source
from converter.warming import most_used, warm


@click.group("cache")
def command() -> None:
    """Manage captured graphs, which are kept for further checkpoints."""


@command.command("warm")
@click.argument("configs", metavar="[CONFIG]...", nargs=-1)
@click.option("--feature", help="Task of the graphs; `converter features` lists them (default: by each config.json).")
@cache_option
@output_options
def warm_command(configs: tuple[str, ...], feature: str | None, cache: Path) -> int:
    """Capture graphs in advance, so that their checkpoints need no capture.

    A CONFIG is a folder with a config.json, or a Hub id, of which only config.json is downloaded. Without CONFIG, popular configurations
    are captured. A checkpoint with random weights is converted, validated and deleted.
    """
    sources = [read_source(config) for config in configs] or most_used()
    graphs = cache / "graphs"
    check_writable(graphs)
    rows = [row for number, source in enumerate(sources, 1) for row in _warm(source, feature, cache, f"[{number}/{len(sources)}] {source}")]
    console.give(rows)
    failed = sum(row["error"] is not None for row in rows)
    console.say(f"{len(rows) - failed} warm, {failed} failed; graphs: {graphs}")
    return 1 if failed else 0


def _print_event(name: str, event: Event) -> None:
    if event.event == "stage-began":
        console.say_aside(f"{name}: {event.stage}")


def _warm(source: Source, feature: str | None, cache: Path, name: str) -> list[dict[str, Any]]:
    """Warm one configuration and print the result; a failure does not stop the others."""
    try:
        outcomes = warm(source, feature, cache, partial(_print_event, name))
    except ConverterError as error:
        console.error(error)
        return [{"config": str(source), "backend": None, "feature": feature, "error": error.message}]
    for outcome in outcomes:
        if outcome.failure:
            console.failure(outcome.failure, f"{source}: ")
        else:
            assert outcome.verdict
            seconds = sum(stage.seconds for stage in outcome.stages)
            console.say(f"✓ {source}: {outcome.feature}, largest error {outcome.verdict.max_abs_error:.1e}, {seconds:.1f} s")
    return [
        {
            "config": str(source),
            "backend": outcome.backend,
            "feature": outcome.feature,
            "error": outcome.failure.message if outcome.failure else None,
        }
        for outcome in outcomes
    ]
