"""The setting of transformers.js in config.json: which ONNX files have external data. It looks for no others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from converter.backends.onnx.files.model_file import DATA_SUFFIX

SETTINGS, EXTERNAL = "transformers.js_config", "use_external_data_format"


def set_external_data_format(config: bytes, folder: Path, names: Iterable[str]) -> bytes:
    """config.json with the number of data files for those of `names` in `folder` that have some; unchanged if none has."""
    counts = {name: len(list(folder.glob(f"{name}{DATA_SUFFIX}*"))) for name in names}
    external = {name: count for name, count in counts.items() if count}
    if not external:
        return config
    settings = json.loads(config)
    ours = settings.get(SETTINGS)
    settings[SETTINGS] = {**(ours if isinstance(ours, Mapping) else {}), EXTERNAL: external}
    return (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode()
