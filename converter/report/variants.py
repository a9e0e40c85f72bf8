"""The table of an artifact's variants: size, accuracy drop and time, relative to the float32 files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converter.core.records import TIERS, Variant
from converter.report.figures import bytes_for_people, time_for_people

HEADINGS = ("file", "size", "of float32", "accuracy_drop", "tier", "a call", "of float32", "kept wider")
RIGHT = ("size", "of float32", "a call")
"""The headings of figures."""


def rows(variants: Sequence[Variant]) -> Iterator[tuple[str, ...]]:
    """A row of plain text for each variant, under `HEADINGS`; empty cells were not measured."""
    for variant in variants:
        latency = variant.latency
        yield (
            variant.files[-1],
            bytes_for_people(variant.size),
            "" if variant.share is None else f"{variant.share:.2f}",
            variant.measured,
            ("" if variant.passed else "✗ ") + TIERS[variant.tier],
            time_for_people(latency.seconds) if latency else "",
            f"{latency.seconds / latency.reference_seconds:.2f}" if latency else "",
            ", ".join(f"{pattern} ({kind})" for pattern, kind in variant.wider.items()),
        )


def sources(variants: Sequence[Variant]) -> str:
    """The caption of the figures; empty without figures."""
    if not variants:
        return ""
    first = variants[0]
    timed = next((variant.latency for variant in variants if variant.latency), None)
    at = f", calls at {', '.join(f'{axis} {length}' for axis, length in timed.axes.items())}" if timed else ""
    threads = f" with {timed.threads} {'thread' if timed.threads == 1 else 'threads'}" if timed else ""
    searched = [variant.search for variant in variants if variant.search]
    tried, seconds = sum(search.tried for search in searched), sum(search.cpu_seconds for search in searched)
    cost = f" {tried} {'setting was' if tried == 1 else 'settings were'} tried in {seconds:.0f} CPU s to choose." if tried else ""
    return f"Loss over {first.accuracy_drop.inputs} inputs: {first.accuracy_drop.of}. By {first.runtime} on {first.cpu}{at}{threads}.{cost}"
