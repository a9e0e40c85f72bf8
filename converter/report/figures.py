"""Figures as people read them."""

from __future__ import annotations


def bytes_for_people(size: int) -> str:
    """A size in decimal units, as file managers and the Hub tell it."""
    if size < 1000:
        return f"{size} B"
    unit = 1 if size < 10**6 else 2 if size < 10**9 else 3
    return f"{size / 1000**unit:.1f} {('kB', 'MB', 'GB')[unit - 1]}"


def time_for_people(seconds: float) -> str:
    """A duration with as many digits as a reader has use for."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds < 3600 else f"{minutes // 60} h {minutes % 60:02} min"
