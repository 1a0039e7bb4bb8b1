"""The two sides of a comparison, measured together."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax

from jbackprop.functions import (
    Differentiable,
    Quartiles,
    calls_per_sample,
    distance_to_truth,
    draw_cotangents,
    interleaved,
    quartiles,
    time_sample,
)

from ._data import Error, Ratios, Side, Stage
from ._programs import Compiled, compiled
from ._targets import compile_for
from ._truth import Truth, true_values

_STAGES = ("forward", "backward", "whole")


class Measured(NamedTuple):
    """A side, and its seconds: stage -> one figure for each round."""

    side: Side
    seconds: dict[str, list[float]]


def measured(
    pair: Sequence[Callable[..., Differentiable]],
    args: tuple,
    label: str,
    repeats: int,
    key: jax.Array,
    targets: Sequence[str],
) -> tuple[Measured, Measured, list[str]]:
    """Compiles, runs and times the manual gradient and the other one; and notes where that is no truth.

    Args:
      pair: for each side, (*args) -> the gradient taken apart.
      args: the arguments.
      label: what to call the other side, whose float64 evaluation is the truth for both.
      repeats: rounds of timing.
      key: for the cotangent.
      targets: accelerators to compile for.
    """
    problems = [problem_of(*args) for problem_of in pair]
    built = [compiled(problem, key) for problem in problems]
    _check_alike(*(side.outputs for side in built))
    truth = true_values(pair[1], args, draw_cotangents(built[0].outputs, key))
    seconds = interleaved(_samples([side.run for side in built]), repeats)

    def side(i, label):
        spent = {stage: seconds[stage, i] for stage in _STAGES}
        stages = {stage: Stage(quartiles(spent[stage]), built[i].programs[stage]) for stage in _STAGES}
        compiled_for = tuple(compile_for(target, problems[i], built[i].outputs) for target in targets)
        errors = _errors(problems[i], built[i], truth)
        return Measured(Side(label, errors, **stages, residuals=built[i].residuals, targets=compiled_for), spent)

    return side(0, "manual"), side(1, label), truth.notes([problems[1].names[i] for i in problems[1].chosen], label)


def ratios(manual: dict[str, list[float]], automatic: dict[str, list[float]]) -> Ratios:
    """Automatic time / manual time within each round."""
    return Ratios(**{stage: _ratio(automatic[stage], manual[stage]) for stage in _STAGES})


def _samples(runs):
    """What times each program, by stage and side: as many calls on one side as on the other."""
    calls = {stage: max(calls_per_sample(run[stage]) for run in runs) for stage in _STAGES}
    programs = itertools.product(_STAGES, range(len(runs)))
    return {(stage, i): partial(time_sample, runs[i][stage], calls[stage]) for stage, i in programs}


def _ratio(numerators, denominators) -> Quartiles:
    return quartiles([a / b for a, b in zip(numerators, denominators, strict=True)])


def _errors(problem: Differentiable, side: Compiled, truth: Truth) -> tuple[Error, ...]:
    count = len(side.outputs)
    values = [f"value[{i}]" if count > 1 else "value" for i in range(count)]
    gradients = [f"∂{problem.names[i]}" for i in problem.chosen]
    own = [truth.gradient(i, got) for i, got in enumerate(side.gradients)]
    got, wanted = [*side.outputs, *side.gradients], [*truth.outputs, *own]
    names = [*values, *gradients]
    return tuple(Error(of, *distance_to_truth(g, w)) for of, g, w in zip(names, got, wanted, strict=True))


def _check_alike(manual, other):
    """A reference must return what f returns; of other dtype is well."""
    wanted, got = ([tuple(y.shape) for y in outputs] for outputs in (manual, other))
    if wanted != got:
        raise ValueError(f"reference, wanted floating-point outputs of shapes {wanted} (as f), got {got}")
