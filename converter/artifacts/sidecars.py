"""Config and tokenizer files go beside an artifact."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from converter.artifacts.integrity import describe_files
from converter.checkpoints.policy import CONFIG, CONFIG_LIMIT
from converter.core.files import read_at_most, write_whole
from converter.core.output_errors import output_error
from converter.core.records import FileRecord


def copy_sidecars(source: Path, names: Iterable[str], folder: Path, generated: Mapping[str, bytes]) -> tuple[FileRecord, ...]:
    """Copy the config and tokenizer files of a checkpoint, and write the generated ones; each whole or not at all.

    The checkpoint's file wins over a generated one of the same name, except for config.json. A config.json that was not generated keeps
    the client settings of another artifact.

    Args:
        source: the folder of the checkpoint.
        names: its files to copy.
        folder: the folder of the model.
        generated: contents by name.

    Returns: the records of all these files in `folder`. Raises: OutputError.
    """
    copied = tuple(names)
    generated = {name: content for name, content in generated.items() if name not in copied or name == CONFIG}
    for name in dict.fromkeys((*copied, *generated)):
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            content = generated[name] if name in generated else (source / name).read_bytes()
            content = _with_client_settings(content, target) if name == CONFIG and name not in generated else content
            if not target.is_file() or target.stat().st_size != len(content) or target.read_bytes() != content:
                write_whole(target, content)
        except OSError as error:
            raise output_error(target, error) from error
    return describe_files(folder, dict.fromkeys((*copied, *generated)))


_CLIENT_SETTINGS = "transformers.js_config"


def _with_client_settings(config: bytes, target: Path) -> bytes:
    """Return `config` with the settings for transformers.js in `target`, the config.json that it replaces."""
    try:
        there, ours = (json.loads(text) for text in (read_at_most(target, CONFIG_LIMIT), config))
    except (OSError, ValueError, RecursionError):
        return config
    if not isinstance(there, dict) or not isinstance(ours, dict) or _CLIENT_SETTINGS not in there or _CLIENT_SETTINGS in ours:
        return config
    return target.read_bytes() if {**ours, _CLIENT_SETTINGS: there[_CLIENT_SETTINGS]} == there else config
