"""The weights of an artifact beside the checkpoint's."""

from __future__ import annotations

from collections.abc import Iterator

from converter.core.records.base import Count, Record, Text


class WeightCheck(Record):
    """The artifact's tensors compared with the checkpoint's, in both directions.

    `different` tensors have the name of a weight and other values; in another precision, values further off than it allows. `unknown`
    tensors are large, and neither a weight nor a constant that the checkpoint computes; `computed` counts such constants. `missing`
    weights are not stored though outputs depend on them. No output depends on `unneeded` weights. `tied` has groups of names with the
    same bytes. `doubled` weights are tied in the checkpoint and stored twice. `joined` weights share bytes though they were to be
    stored one by one.
    """

    compared: Count
    different: tuple[Text, ...] = ()
    unknown: tuple[Text, ...] = ()
    computed: Count = 0
    missing: tuple[Text, ...] = ()
    unneeded: tuple[Text, ...] = ()
    tied: tuple[tuple[Text, ...], ...] = ()
    doubled: tuple[Text, ...] = ()
    joined: tuple[Text, ...] = ()

    def problems(self) -> Iterator[str]:
        """The problems of the stored weights, a clause for one problem."""
        for names, what in (
            (self.different, "of its weights are not the checkpoint's"),
            (self.unknown, "of its large tensors do not come from the checkpoint"),
            (self.missing, "of the checkpoint's weights are not in it"),
            (self.doubled, "of its weights are tied in the checkpoint and stored twice"),
            (self.joined, "of its weights share their bytes and were to be stored each for itself"),
        ):
            if names:
                yield f"{len(names)} {what}, {names[0]} first"
