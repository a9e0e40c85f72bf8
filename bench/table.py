"""Measurements beside their targets: the rows of the table that `make bench` prints at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HEADER = ("what", "beside", "ours", "ratio", "target", "")


@dataclass(frozen=True)
class Row:
    """One measurement: ours, the reference, and the maximum of either it or its ratio.

    A row without a limit is shown and misses nothing.
    """

    what: str
    unit: str
    ours: float
    beside: float | None = None
    beside_is: str = "optimum"
    ratio_at_most: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the reference, to two decimals, for display and judgement."""
        return round(self.ours / self.beside, 2) if self.beside else None

    @property
    def met(self) -> bool:
        """Whether it keeps every limit that it has."""
        ratio_kept = self.ratio_at_most is None or (self.ratio is not None and self.ratio <= self.ratio_at_most)
        return ratio_kept and (self.at_most is None or self.ours <= self.at_most)

    def cells(self) -> tuple[str, ...]:
        """Its cells in the table."""
        limits = [
            *([f"≤ {self.ratio_at_most:.2f} of it"] if self.ratio_at_most is not None else []),
            *([f"≤ {_figure(self.at_most)} {self.unit}"] if self.at_most is not None else []),
        ]
        return (
            self.what,
            f"{_figure(self.beside)} {self.unit} {self.beside_is}" if self.beside is not None else "–",
            f"{_figure(self.ours)} {self.unit}",
            f"{self.ratio:.2f}" if self.ratio is not None else "–",
            " and ".join(limits) or "–",
            ("met" if self.met else "MISSED") if limits else "",
        )


def render(rows: Sequence[Row]) -> str:
    """The table as text, its columns in line."""
    lines = [_HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    texts = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "-|-".join("-" * width for width in widths), *texts[1:]])


def _figure(value: float) -> str:
    """At least three digits that count."""
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
