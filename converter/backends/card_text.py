"""The text about a backend's artifacts on a model card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardText:
    """The text on a model card.

    Args:
        library: the `library_name` of a repository that holds its artifacts and no checkpoint.
        usage: Python that loads an artifact from the Hub's REPOSITORY. A line that names FILE is for each file that is called.
    """

    library: str
    usage: str
