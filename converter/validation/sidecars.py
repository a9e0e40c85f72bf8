"""The sidecar files beside an artifact, compared with the checkpoint's: config, generation settings, tokenizer, and generated ones.

A file passes if it has the checkpoint's bytes. Otherwise its meaning is compared, as another version of transformers writes the same
settings differently. A file that is not there is the record's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from converter.checkpoints.loading import load_config, load_tokenizer
from converter.checkpoints.policy import CONFIG, CONFIG_LIMIT, SIDECAR_LIMIT, is_of_tokenizer, is_sidecar
from converter.core.errors import ConverterError
from converter.core.files import describe, read_at_most
from converter.core.reason import reason
from converter.core.records import Allowed
from converter.core.text import brief
from converter.validation.case_inputs import SENTENCES

GENERATION = "generation_config.json"
_TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_OF_TOKENIZER = ("special_tokens_map.json", "added_tokens.json", "merges.txt", "*.jinja", "chat_template.json", "target.spm")
"""Files of a tokenizer beside those by which one is known."""

_WRITER = frozenset({"transformers_version", "_name_or_path", "name_or_path", "dtype", "torch_dtype", "_from_model_config", "_commit_hash"})
"""Keys that say who wrote a file and how the weights are stored: no client computes anything by them."""
_CLIENTS = ("transformers.js_config", "neuron")
"""The keys of config.json that a conversion adds."""
_REWRITTEN = frozenset({"tokenizer_class", "special_tokens_map_file", "tokenizer_file", "added_tokens_decoder", "extra_special_tokens"})
"""Keys of tokenizer_config.json that another version of transformers writes differently; the loaded tokenizers are compared instead."""

_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_SETTINGS = ("padding_side", "truncation_side", "model_max_length", "model_input_names", "chat_template")
_MOST_PIECES = 4096
"""Maximum number of vocabulary pieces that are tokenized as single texts."""
_MOST_NAMED = 5


def model_folders(artifact: Path, backend: str, names: Iterable[str]) -> list[Path]:
    """The folders whose sidecar files belong to an artifact: its own, and the one above.

    The one above counts if it holds one of the recorded `names`, or if the artifact's folder bears the backend's name, as in a batch.
    """
    above = artifact.parent
    belongs = any((above / name).exists() for name in names) or artifact.resolve().name == backend
    return [folder for folder in (artifact, above) if (folder == artifact or belongs) and _is_of_model(folder)]


def _is_of_model(folder: Path) -> bool:
    """Whether a folder has files that a client loads; a config.json counts if it says which model it is of."""
    if any((folder / name).exists() for name in (_TOKENIZER, _TOKENIZER_CONFIG, GENERATION, "genai_config.json")):
        return True
    try:
        return isinstance(_read_json(folder / CONFIG).get("model_type"), str)
    except (OSError, ValueError, RecursionError, AttributeError):
        return False


@dataclass(frozen=True)
class Sidecars:
    """The sidecar files in `folder`, and the files in the `checkpoint`'s folder that they have to match.

    `generated` are files that a conversion makes for clients: their contents, or None for one that this artifact lacks. `allowed`
    applies to the checkpoint only.
    """

    folder: Path
    checkpoint: Path
    generated: Mapping[str, bytes | None]
    allowed: Allowed

    def problems(self) -> Iterator[str]:
        """Say which files disagree with the checkpoint, a clause each."""
        for name in sorted(self._changed):
            try:
                yield from self._check(name)
            except (OSError, ValueError, RecursionError, ConverterError) as error:
                yield f"{name} cannot be compared with the checkpoint's: {brief(_message(error))}"
        if any(_is_tokenizers(name) for name in self._changed):
            yield from self._tokenizer_problems()

    def _check(self, name: str) -> Iterator[str]:
        if name == CONFIG:
            yield from self._config_problems()
        elif name == GENERATION:
            yield from self._generation_problems()
        elif name in self._made:
            wanted = self._made[name]
            if wanted is None:
                yield f"{name} is of another artifact: delete it"
            else:
                yield from _named_keys(name, _read_json(self.folder / name), json.loads(wanted), "the artifact's")
        elif name in self._theirs and name != _TOKENIZER:
            yield from self._file_problems(name)

    @cached_property
    def _theirs(self) -> frozenset[str]:
        return frozenset(_sidecars_in(self.checkpoint))

    @cached_property
    def _made(self) -> Mapping[str, bytes | None]:
        """The generated files; a checkpoint's own file by the name wins, except for config.json."""
        return {name: content for name, content in self.generated.items() if name == CONFIG or name not in self._theirs}

    @cached_property
    def _changed(self) -> frozenset[str]:
        """The files that differ, byte for byte, from the checkpoint's or the generated ones."""
        return frozenset(name for name in _sidecars_in(self.folder) if not self._is_same(name))

    def _is_same(self, name: str) -> bool:
        if name not in self._theirs:
            return False
        try:
            if name in self._made:
                return read_at_most(self.folder / name, SIDECAR_LIMIT) == self._made[name]
            return describe(self.folder, name).sha256 == describe(self.checkpoint, name).sha256
        except OSError:
            return False  # an invalid file is reported by the comparison

    def _config_problems(self) -> Iterator[str]:
        ours, theirs = (_settings(_read_json(folder / CONFIG)) for folder in (self.folder, self.checkpoint))
        made = self._made.get(CONFIG)
        wanted = json.loads(made) if made else None
        for key in _CLIENTS:
            setting = ours.pop(key, None)
            theirs.pop(key, None)
            if wanted is not None and setting != wanted.get(key):
                yield f"{CONFIG} says {key} otherwise than the files beside it need"
        if ours != theirs:
            loaded = (_settings(load_config(folder).to_dict()) for folder in (self.folder, self.checkpoint))
            ours, theirs = ({key: value for key, value in settings.items() if key not in _CLIENTS} for settings in loaded)
            yield from _named_keys(CONFIG, ours, theirs)

    def _generation_problems(self) -> Iterator[str]:
        if GENERATION in self._theirs:
            theirs = transformers.GenerationConfig.from_pretrained(self.checkpoint, local_files_only=True)
        else:
            theirs = transformers.GenerationConfig.from_model_config(load_config(self.checkpoint))
        _read_json(self.folder / GENERATION)  # to a limit, which transformers has not
        ours = transformers.GenerationConfig.from_pretrained(self.folder, local_files_only=True)
        yield from _named_keys(GENERATION, *(_settings(config.to_dict()) for config in (ours, theirs)))

    def _file_problems(self, name: str) -> Iterator[str]:
        """A file that clients read directly."""
        if name == _TOKENIZER_CONFIG:
            ours, theirs = (_tokens_as_text(_settings(_read_json(folder / name))) for folder in (self.folder, self.checkpoint))
            both = (ours.keys() & theirs.keys()) - _REWRITTEN
            yield from _named_keys(name, {key: ours[key] for key in both}, {key: theirs[key] for key in both})
        elif name.endswith(".json"):
            ours, theirs = (_tokens_as_text(_settings(_read_json(folder / name))) for folder in (self.folder, self.checkpoint))
            yield from _named_keys(name, ours, theirs)
        else:
            ours, theirs = (_lines(read_at_most(folder / name, SIDECAR_LIMIT)) for folder in (self.folder, self.checkpoint))
            if ours != theirs:
                yield f"{name} is not the checkpoint's"

    def _tokenizer_problems(self) -> Iterator[str]:
        try:
            ours, theirs = load_tokenizer(self.folder), load_tokenizer(self.checkpoint, self.allowed)
        except ConverterError as error:
            yield f"the tokenizer beside it cannot be compared with the checkpoint's: {error.message}"
            return
        if ours is None or theirs is None:
            if theirs is None:
                yield "its tokenizer has no counterpart: the checkpoint has none"
            return
        yield from (f"the tokenizer beside it {clause}" for clause in tokenizer_differences(ours, theirs))
        if all((folder / _TOKENIZER).is_file() for folder in (self.folder, self.checkpoint)):
            raw = [tokenizers.Tokenizer.from_file(str(folder / _TOKENIZER)) for folder in (self.folder, self.checkpoint)]
            yield from (f"{_TOKENIZER} {clause}" for clause in _other_in_file(*raw))


def tokenizer_differences(ours: Any, theirs: Any) -> Iterator[str]:
    """Say in which a tokenizer of transformers differs from another, a clause each: settings, special tokens, ids of test sentences."""
    for name in _SETTINGS:
        if getattr(ours, name, None) != getattr(theirs, name, None):
            yield f"has another {name} than the checkpoint's"
    for kind in _TOKENS:
        token, wanted = (getattr(tokenizer, f"{kind}_token_id", None) for tokenizer in (ours, theirs))
        if token != wanted:
            yield f"has {token} for {kind}_token_id, and the checkpoint's has {wanted}"
    if {*ours.all_special_ids} != {*theirs.all_special_ids}:
        yield "has other special tokens than the checkpoint's"
    if ours.get_vocab() != theirs.get_vocab():
        yield "has another vocabulary than the checkpoint's"
    yield from _other_inputs(ours, theirs)


def _other_inputs(ours: Any, theirs: Any) -> Iterator[str]:
    """The differing results of the two for texts, pairs of texts, and padded texts."""
    texts = _texts(theirs.get_vocab(), theirs.all_special_tokens)
    ids = theirs(texts)["input_ids"]
    yield from _first_other(texts, ours(texts)["input_ids"], ids)
    pairs = (list(SENTENCES[:-1]), list(SENTENCES[1:]))
    if dict(ours(*pairs)) != dict(theirs(*pairs)):
        yield "gives other inputs than the checkpoint's for pairs of texts"
    if ours.pad_token_id is not None and ours.pad_token_id == theirs.pad_token_id:
        padded, wanted = (dict(tokenizer(list(SENTENCES), padding=True)) for tokenizer in (ours, theirs))
        if padded != wanted:
            yield "pads the test sentences otherwise than the checkpoint's"
    if ours.batch_decode(ids[: len(SENTENCES)]) != theirs.batch_decode(ids[: len(SENTENCES)]):
        yield "decodes ids to other text than the checkpoint's"


def _other_in_file(ours: tokenizers.Tokenizer, theirs: tokenizers.Tokenizer) -> Iterator[str]:
    """The same of tokenizer.json as clients without transformers read it: transformers makes some parts of it itself."""
    for what in ("padding", "truncation"):
        setting, wanted = getattr(ours, what), getattr(theirs, what)
        if setting and wanted and setting != wanted:  # a file may have none, until it is written after a call that pads
            yield f"has another {what} than the checkpoint's"
    for tokenizer in (ours, theirs):
        tokenizer.no_padding()
        tokenizer.no_truncation()
    texts = _texts(theirs.get_vocab(), [token.content for token in theirs.get_added_tokens_decoder().values()])
    ids, wanted = ([encoded.ids for encoded in tokenizer.encode_batch(texts)] for tokenizer in (ours, theirs))
    yield from _first_other(texts, ids, wanted)
    if ours.decode_batch(wanted[: len(SENTENCES)]) != theirs.decode_batch(wanted[: len(SENTENCES)]):
        yield "decodes ids to other text than the checkpoint's"


def _texts(vocabulary: Mapping[str, int], special: Sequence[str]) -> list[str]:
    """The test sentences, each special token in a sentence, and pieces of the vocabulary from all parts of it, in either case."""
    pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    step = -(-len(pieces) // _MOST_PIECES) or 1
    in_sentences = [f"{SENTENCES[0]} {token} a{token}b" for token in special]
    return [*SENTENCES, *in_sentences, *(text for piece in pieces[::step] for text in (piece, piece.swapcase()))]


def _first_other(texts: Sequence[str], ours: Sequence[Any], theirs: Sequence[Any]) -> Iterator[str]:
    """Name the first text for which the two have other ids, if there is one."""
    other = next((text for text, ids, wanted in zip(texts, ours, theirs, strict=True) if ids != wanted), None)
    if other is not None:
        yield f"gives other ids than the checkpoint's for {brief(other)!r}"


def _sidecars_in(folder: Path) -> Iterator[str]:
    """The sidecar files of a folder and of the folders in it."""
    for path in (path for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        name = path.relative_to(folder).as_posix()
        if is_sidecar(name) and not path.is_dir():
            yield name


def _is_tokenizers(name: str) -> bool:
    return is_of_tokenizer(name) or any(fnmatch(name, pattern) for pattern in _OF_TOKENIZER)


def _read_json(path: Path) -> Any:
    return json.loads(read_at_most(path, CONFIG_LIMIT))


def _settings(value: Any) -> Any:
    """A file's settings, without its author's versions."""
    if isinstance(value, Mapping):
        return {key: _settings(inner) for key, inner in value.items() if key not in _WRITER}
    return [_settings(inner) for inner in value] if isinstance(value, list | tuple) else value


def _tokens_as_text(settings: Any) -> Any:
    """Settings with each special token as its text: some versions write it with its properties."""
    if isinstance(settings, Mapping):
        return settings.get("content", {key: _tokens_as_text(inner) for key, inner in settings.items()})
    return [_tokens_as_text(inner) for inner in settings] if isinstance(settings, list) else settings


def _lines(data: bytes) -> list[bytes]:
    """The lines of a vocabulary; merges.txt may say its version in the first."""
    lines = data.splitlines()
    return lines[1:] if lines and lines[0].startswith(b"#version") else lines


def _named_keys(name: str, ours: Any, theirs: Any, whose: str = "the checkpoint's") -> Iterator[str]:
    """Say which keys of two files differ, if any does; a key without a value is one that is not there."""
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        if ours != theirs:
            yield f"{name} is not {whose}"
        return
    keys = [key for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
    if keys:
        named = ", ".join(brief(key) for key in keys[:_MOST_NAMED]) + (", …" if len(keys) > _MOST_NAMED else "")
        yield f"{name} is not {whose}: {named}"


def _message(error: Exception) -> str:
    return error.message if isinstance(error, ConverterError) else reason(error)
