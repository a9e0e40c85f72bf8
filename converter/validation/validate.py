"""Validate a float32 artifact: interface, cases, influence of every input, weights, latency."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, makes_its_own
from converter.architectures.model_config import overridden
from converter.backends.session import Session
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.pooling import lacks_padding_token, padding_token
from converter.core.out_of_memory import is_out_of_memory
from converter.core.reason import reason
from converter.core.records import Exactness, Options, Verdict
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.compare import compare, kept_positions
from converter.validation.generation import compare_generation
from converter.validation.influence import measure_influences
from converter.validation.interface import behaviour_problems, first_run, guard_problems, interface_problems
from converter.validation.latency import measure_latency
from converter.validation.reference import Reference
from converter.validation.state import Change
from converter.validation.tolerance import Tolerance, default_tolerance
from converter.validation.trial import Trial
from converter.validation.weights import check_weights

_SEED = 20250704  # another than the capture's, so that no case is the sample it was captured with


def validate(session: Session, reference: Reference, config: OnnxConfig, tokenizer: Any | None, options: Options) -> Verdict:
    """Measure the artifact in `session` against `reference`. A verdict that has not passed is a failure, whatever its cause."""
    rng = np.random.default_rng(_SEED)
    tolerance = default_tolerance(config, reference.model.dtype)
    if options.atol is not None:
        tolerance = replace(tolerance, atol=options.atol)
    notes = [*_overrides(reference.model.config, config), *_padding(reference.model, config, tokenizer)]
    with overridden(reference.model.config, config.values_override):
        generator = InputGenerator(config, reference.model.dtype, tokenizer, rng, session.signature.shapes, reference.model.size)
        longest = generator.longest_case()
        if session.unrunnable:
            return Verdict(
                atol=tolerance.atol,
                rtol=tolerance.rtol,
                runtime=session.runtime,
                unvalidated=session.unrunnable,
                problems=tuple(interface_problems(session.signature, config, longest.arrays, reference.model.dtype)),
            )
        trial = Trial(session, reference, config, tolerance)
        case, past = trial.run_longest(longest)
        inputs = [*generator.grid(past), *_short_sound(generator, reference)]
        try:
            inputs.append(generator.text())
        except ValueError as error:
            notes.append(f"no real text was tried: {error}")
        apart = {name: session.tokens_apart(name, size) for name, size in config.vocab_sizes.items() if name in MASKED_BY}
        tokens = generator.tokens_case(apart)
        inputs += [tokens] if tokens else []
        first = first_run(session, inputs[0].arrays)
        expected = reference.run(inputs[0].arrays)
        cases = [trial.run(inputs[0], expected), *map(trial.run, inputs[1:]), case]
        inputs.append(longest)
        notes += [*_single_lengths(config, inputs), *session.notes]
        problems = (
            *interface_problems(session.signature, config, inputs[0].arrays, reference.model.dtype),
            *behaviour_problems(session, inputs[0].arrays, first),
            *reference_problems(reference, inputs[0], expected),
            *guard_problems(session, generator),
        )
        sound = [sample for sample, case in zip(inputs, cases, strict=True) if not case.error]
        problems += tuple(state_problems(sound, generator, reference, tolerance))
        generation = compare_generation(session, reference, config, rng, tolerance)
        exactness: tuple[Exactness, ...] = ()
        if options.atol is None:
            try:
                cases, exactness, generation = trial.judge_by_float64(inputs, cases, generation)
            except Exception as error:  # whatever the model's own code raises in float64: the tolerance decides alone
                if is_out_of_memory(error):
                    raise
                notes.append(f"nothing could be held against float64: {reason(error)}")
        return Verdict(
            atol=tolerance.atol,
            rtol=tolerance.rtol,
            runtime=session.runtime,
            problems=problems,
            cases=tuple(cases),
            exactness=exactness,
            influences=tuple(measure_influences(session, reference, config, generator, past)),
            generation=generation,
            weights=check_weights(session, reference, [sample.arrays for sample in sound], options.keeps_ties),
            latency=measure_latency(session, reference, inputs, cases),
            notes=tuple(notes),
        )


def _short_sound(generator: InputGenerator, reference: Reference) -> Iterator[Inputs]:
    """The case of a short sound, if the checkpoint takes it: no setting says how short a sound may be."""
    short = generator.short_sound()
    if short is not None:
        with suppress(RuntimeError, ValueError):  # as torch's convolutions and transformers' masks refuse it
            reference.run(short.arrays)
            yield short


def _overrides(model_config: Any, config: OnnxConfig) -> Iterator[str]:
    """The configuration's changes to the model, besides the cache."""
    for name, value in (config.values_override or {}).items():
        if name != "use_cache" and getattr(model_config, name, None) != value:
            yield f"with {name} = {value!r} in place of {getattr(model_config, name, None)!r}, in the checkpoint too"


def _padding(model: LoadedModel, config: OnnxConfig, tokenizer: Any | None) -> Iterator[str]:
    """Yield notes on padding: a checkpoint without a padding token, or with two different ones."""
    if lacks_padding_token(model.module):
        yield "config.json has no pad_token_id: the artifact finds the last token of each text by attention_mask"
    named, padded = padding_token(model.module), getattr(tokenizer, "pad_token_id", None)
    if named is not None and padded is not None and named != padded and "input_ids" in config.inputs:
        yield (
            f"config.json has pad_token_id {named} and the tokenizer pads with {padded}: the model uses {named}, "
            f"in PyTorch too; if that is wrong, set pad_token_id in config.json to {padded}"
        )


def _single_lengths(config: OnnxConfig, inputs: Sequence[Inputs]) -> Iterator[str]:
    """The axes that a custom configuration only gives one length, so that nothing is known of others."""
    for label in inputs[0].axes:
        lengths = {case.axes[label] for case in inputs}
        if len(lengths) == 1 and makes_its_own(config):
            yield f"{type(config).__name__}.generate_dummy_inputs makes {label} {lengths.pop()} long and no other length was tried"


def reference_problems(reference: Reference, case: Inputs, expected: Mapping[str, Array]) -> Iterator[str]:
    """Say which outputs the checkpoint itself gives otherwise than `expected` the second time: nothing can be held against them."""
    again = reference.run(case.arrays)
    for name, array in expected.items():
        if array.tobytes() != again[name].tobytes():
            yield f"the checkpoint itself gives another {name} each time for the same inputs ({case.name})"


_LONGER = 4096
"""Tokens of the longest text that is tried with a model whose calls change a setting of it: BigBird's do for texts of more than 704."""


def state_problems(inputs: Sequence[Inputs], generator: InputGenerator, reference: Reference, tolerance: Tolerance) -> Iterator[str]:
    """Report changes of the checkpoint by calls if they change its outputs: an artifact has no state between calls."""
    changes = [*reference.changes.values()]
    if not changes:
        return
    clause, remedy = _describe_changes(changes), _remedy(changes, reference.model.config)
    if reference.unsteady:
        yield f"each call writes to {min(reference.unsteady)} of the checkpoint, so that no two calls are by the same weights; {remedy}"
        return
    rising = sorted(inputs, key=lambda case: sum(array.size for array in case.arrays.values()))
    orders: list[list[Inputs]] = [[*reversed(rising), *rising]]
    if any(change.before is not None for change in changes):
        orders += ([long, rising[0], long] for long in generator.longer(_LONGER))
    for cases in orders:
        for case, (fresh, used) in zip(cases, reference.in_turn(case.arrays for case in cases), strict=True):
            for name, array in fresh.items():
                kept = kept_positions(name, array, generator.config, case.arrays)
                comparison = compare(name, used[name], array, kept, tolerance, decides=False)
                if not comparison.close:
                    off = "of another shape" if comparison.max_abs_error is None else f"{comparison.max_abs_error:.2g} off"
                    yield (
                        f"a call changes the checkpoint itself, and an artifact keeps nothing from one call to the next: {clause}, "
                        f"and {name} of {case.name!r} is {off} then; {remedy}"
                    )
                    return


def _describe_changes(changes: Sequence[Change]) -> str:
    """The change that tells most, and how many others there are."""
    (first, *others) = sorted(changes, key=lambda change: (change.before is None, change.path.count("."), change.path))
    return f"{first} ({len(others)} more)" if others else str(first)


def _remedy(changes: Sequence[Change], model_config: Any) -> str:
    """What to do: a configuration that begins as the model ends, if the change is of a value in it."""
    for change in changes:
        if change.after is not None and getattr(model_config, change.name, _NONE) == change.before:
            return f"to convert the changed model, set {json.dumps(change.name)}: {json.dumps(change.after)} in config.json"
    return "take a checkpoint, or a configuration of it, that calls do not change"


_NONE = object()
