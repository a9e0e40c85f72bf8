"""`converter features`: what can be exported."""

from __future__ import annotations

import click

from converter.architectures import FEATURES, architectures, find_architecture
from converter.checkpoints.fetch import read_config
from converter.cli.console import console, output_options, table
from converter.cli.sources import read_source


@click.command("features")
@click.argument("model", metavar="[MODEL_TYPE | MODEL]", required=False)
@output_options
def command(model: str | None) -> int:
    """List the features of every architecture, of one model type, or of a checkpoint."""
    if model is None:
        found = {name: list(each.features) for name, each in architectures().items()}
        console.give(found)
        console.say(table(("model type", "features"), [(name, ", ".join(features)) for name, features in found.items()]))
        return 0
    model_type = model if model in architectures() else str(read_config(read_source(model))["model_type"])
    features = find_architecture(model_type).features
    rows = [(name, FEATURES[name].auto_class, ", ".join(FEATURES[name].synonyms)) for name in features]
    console.give({model_type: list(features)})
    console.say(table(("feature", "class of transformers", "also called"), rows))
    return 0
