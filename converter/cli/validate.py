"""`converter validate`: measure artifacts again, later or elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from converter.backends import BACKENDS, Backend
from converter.cli.console import console, output_options
from converter.cli.documented_log import documented_log
from converter.cli.paths import TextPath
from converter.cli.sources import read_source
from converter.errors import UsageError
from converter.ledger import read_record
from converter.pipeline import revalidate
from converter.records import Options


@click.command("validate")
@click.argument("artifacts", type=TextPath(exists=True))
@click.option("--reference", required=True, help="The checkpoint: a Hub id, with @revision where wanted, or a local folder.")
@click.option("--feature", help="What the artifact was exported for. By default as its record says.")
@click.option("--atol", type=float, help="Absolute tolerance. By default as its record says, or else the architecture's own.")
@output_options
def command(artifacts: Path, reference: str, feature: str | None, atol: float | None) -> int:
    """Measure ARTIFACTS against their checkpoint: an artifact's folder or file, or the model's folder that holds several."""
    source = read_source(reference)
    verdicts = []
    for backend, folder in _find(artifacts):
        console.say_aside(f"{folder / backend.main_file} against {source}")
        options, verdict = revalidate(backend, folder, source, _options(backend, folder, feature, atol))
        verdicts.append((backend, folder, verdict))
        console.say(documented_log(verdict))
        if verdict.passed:
            console.say(f"All good: {folder / backend.main_file} does what the checkpoint does for {options.feature}")
        else:
            click.echo(f"error: {folder / backend.main_file} does not do what {source} does: {verdict.first_problem}", err=True)
    console.give(
        [
            {"artifact": str(folder / backend.main_file), "passed": verdict.passed, "verdict": verdict.model_dump(mode="json")}
            for backend, folder, verdict in verdicts
        ]
    )
    return 0 if all(verdict.passed for _, _, verdict in verdicts) else 1


def _find(path: Path) -> list[tuple[Backend, Path]]:
    """The artifacts at a path: the file's own folder, the folder itself, or a folder per backend in it."""
    folder = path if path.is_dir() else path.parent
    places = [(backend, place) for backend in BACKENDS.values() for place in (folder, folder / backend.name)]
    found = [(backend, place) for backend, place in places if (place / backend.main_file).is_file()]
    if not found or (path.is_file() and path.name not in {backend.main_file for backend in BACKENDS.values()}):
        names = ", ".join(backend.main_file for backend in BACKENDS.values())
        raise UsageError(f"there is no artifact at {path}: no {names}", "name a folder that the converter wrote, or a file in it")
    return found


def _options(backend: Backend, folder: Path, feature: str | None, atol: float | None) -> Options | None:
    """The record's options with the flags over them; None where no flag was given."""
    given = {name: value for name, value in (("feature", feature), ("atol", atol)) if value is not None}
    if not given:
        return None
    record = read_record(folder)
    return backend.options.model_validate({**(record.options if record else {}), **given})
