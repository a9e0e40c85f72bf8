"""`converter features`: list what can be exported."""

from __future__ import annotations

import click

from converter.architectures import FEATURES, find_architecture, is_model_type, known_types, model_types
from converter.checkpoints.fetch import read_config
from converter.checkpoints.source import read_source
from converter.cli.console import console, output_options, table
from converter.core.errors import NotSupportedError


@click.command("features")
@click.argument("model", metavar="[MODEL_TYPE | MODEL]", required=False)
@output_options
def command(model: str | None) -> int:
    """List the features of all architectures, of a model type, or of a checkpoint."""
    if model is None:
        return _list_all()
    model_type = model if is_model_type(model) else str(read_config(read_source(model))["model_type"])
    architecture = find_architecture(model_type)
    features = architecture.features
    rows = [(name, architecture.auto_class(name), ", ".join(FEATURES[name].synonyms)) for name in features]
    console.give({model_type: list(features)})
    console.say(table(("feature", "class of transformers", "also called"), rows))
    return 0


def _list_all() -> int:
    """Every architecture with a dedicated configuration; a broken one of another package does not hide the rest."""
    architectures: dict[str, list[str]] = {}
    failed = False
    for model_type in model_types():
        try:
            architectures[model_type] = list(find_architecture(model_type).features)
        except NotSupportedError as error:
            console.error(error)
            failed = True
    console.give(architectures)
    console.say(table(("model type", "features"), [(name, ", ".join(features)) for name, features in architectures.items()]))
    others = len(known_types() - architectures.keys())
    console.say(f"The configurations of {others} other model types are inferred: see `converter features MODEL_TYPE`.")
    return 1 if failed else 0
