"""The story of an artifact's variants: derive each from the float32 files, open it again, measure it, judge it.

A variant fails if it loses too much, is not smaller, or is not quantized.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import cached_property, partial
from pathlib import Path

from converter.architectures.model_config import overridden
from converter.backends.conversion import Conversion
from converter.backends.session import Session
from converter.backends.variant_info import VariantInfo
from converter.backends.variants import Variants
from converter.core.errors import ConversionError
from converter.core.records import AccuracyDrop, Deviation, Signature, Variant
from converter.validation.accuracy.cpu import processor
from converter.validation.accuracy.custom_metric import PASSED, measure
from converter.validation.accuracy.evaluator import AccuracyEvaluator
from converter.validation.accuracy.texts import texts_for
from converter.validation.accuracy.tiers import achieved_tier, tier_violations
from converter.validation.deviation import VariantGrid
from converter.validation.interface import behaviour_problems, interface_problems, run
from converter.validation.latency import measure_pair
from converter.validation.reference import Reference
from converter.validation.weights import check_variant_weights


def judge(conversion: Conversion, folder: Path, *, make: bool) -> tuple[tuple[Variant, ...], Signature]:
    """The requested variants of the artifact in `folder`, measured against the checkpoint, and the call of the first.

    `make` derives each from the float32 files first. Raises NotSupportedError for unusable texts or metrics, ConversionError or
    OutputError if a variant cannot be made or is missing. Its accuracy drop is in its record.
    """
    variants, configured = conversion.backend.variants, conversion.reference
    assert variants
    with overridden(configured.model.config, configured.config.values_override):
        measuring = _Measuring(conversion, variants, folder)
        measured = [measuring.variant(name, measuring.info(name, make=make)) for name in conversion.variants]
        return tuple(measuring.timed(variant for variant, _ in measured)), measured[0][1]


class _Measuring:
    """What all variants of one artifact are measured with."""

    def __init__(self, conversion: Conversion, variants: Variants, folder: Path) -> None:
        self._variants, self._folder = variants, folder
        self._config, self._tokenizer = conversion.reference.config, conversion.tokenizer
        self._requirement = conversion.options.accuracy_requirement
        self._reference = Reference(conversion.reference.model, tuple(self._config.outputs))
        self._grid: VariantGrid | None = None
        texts = texts_for(self._requirement.text)
        self.evaluator = AccuracyEvaluator(self._reference, self._config, self._tokenizer, texts, self._requirement.tier)

    def info(self, name: str, *, make: bool) -> VariantInfo:
        """The description of a variant; `make` derives it first."""
        if name == self._variants.base and self._base:
            return self._base
        return self._variants.derive(self._folder, name, self.evaluator) if make else self._variants.describe(self._folder, name)

    def variant(self, name: str, info: VariantInfo) -> tuple[Variant, Signature]:
        """One variant, measured and judged, and its call."""
        base = self._variants.base
        reference_size = sum(self._base.stored.values()) if self._base else 0
        with closing(self._variants.open(self._folder, name)) as session:
            accuracy_drop = self.evaluator.accuracy_drop(session)
            custom_figures = self._custom_metrics(session)
            problems = [*self._problems(session, info, accuracy_drop, custom_figures, reference_size if name != base else 0)]
            deviations: tuple[Deviation, ...] = ()
            if name != base:
                self._grid = self._grid or VariantGrid(self._reference, self._config, self._tokenizer)
                deviations = self._grid.deviations(session, activations=info.activations)
                problems += [problem for deviation in deviations for problem in deviation.problems()] + [*self._grid.problems(session)]
            runtime, signature = session.runtime, session.signature
        variant = Variant(
            name=name,
            is_base=name == base,
            files=info.files,
            size=sum(path.stat().st_size for path in _files(self._folder, info)),
            reference_size=reference_size,
            computed=info.computed,
            stored=info.stored,
            quantized=info.quantized,
            left_out=info.left_out,
            float32=info.float32,
            calibrated=info.calibrated,
            search=info.search,
            required_tier=self._requirement.tier,
            tier=achieved_tier(accuracy_drop),
            accuracy_drop=accuracy_drop,
            deviations=deviations,
            custom_metrics=custom_figures,
            runtime=runtime,
            cpu=processor(),
            problems=tuple(problems),
        )
        return variant, signature

    def _problems(
        self,
        session: Session,
        info: VariantInfo,
        accuracy_drop: AccuracyDrop,
        custom_figures: Mapping[str, float | bool],
        reference_size: int,
    ) -> Iterator[str]:
        yield from info.problems
        stored = sum(info.stored.values())
        if reference_size and stored >= reference_size:
            yield f"stores {stored} bytes, and {reference_size} in float32: nothing was won by it"
        arrays = self.evaluator.sample.arrays
        yield from interface_problems(session.signature, self._config, arrays, self._reference.model.dtype)
        yield from behaviour_problems(session, arrays)
        yield from check_variant_weights(session, self._reference, [arrays]).problems()
        yield from (
            f"lost more than {self._requirement.tier} allows: {clause}" for clause in tier_violations(accuracy_drop, self._requirement.tier)
        )
        if accuracy_drop.distance != accuracy_drop.distance:
            yield "its outputs have NaN or infinity"
        if custom_figures.get(PASSED) is False:
            yield f"does not pass {self._requirement.evaluate}"

    def _custom_metrics(self, session: Session) -> Mapping[str, float | bool]:
        """The figures of a custom metric, if there is one."""
        if not self._requirement.evaluate:
            return {}
        return measure(self._requirement.evaluate, partial(run, session), self._reference.run, self._tokenizer)

    def timed(self, variants: Iterable[Variant]) -> Iterator[Variant]:
        """The variants with their latency beside the float32 files, if these exist: all opened as users do."""
        if not self._base:
            yield from variants
            return
        opened = partial(self._variants.open, self._folder, deployed=True)
        with ExitStack() as stack:
            base = None
            for variant in variants:
                if variant.is_base:
                    yield variant
                    continue
                base = base or stack.enter_context(closing(opened(self._variants.base)))
                with closing(opened(variant.name)) as session:
                    latency = measure_pair(session, base, self.evaluator.single, self._reference.threads)
                yield variant.model_copy(update={"latency": latency})

    @cached_property
    def _base(self) -> VariantInfo | None:
        """The description of the float32 files; None without such files."""
        try:
            return self._variants.describe(self._folder, self._variants.base)
        except ConversionError:
            return None


def _files(folder: Path, info: VariantInfo) -> Iterator[Path]:
    """The files of a variant, and those beside them that hold their tensors."""
    for name in info.files:
        yield from folder.glob(f"{name}*")
