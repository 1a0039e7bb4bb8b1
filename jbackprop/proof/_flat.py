"""The function under proof laid flat: arrays in, arrays out."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jbackprop.functions import DTYPES, Wrt, cast, described, differentiable, draw_arguments, is_real, precision

from ._complex import of_parts, taken_apart
from ._subject import Subject


def lay_flat(
    f: Callable,
    reference: Callable | None,
    gradient_of: Callable | None,
    args: Sequence[Any],
    wrt: Wrt,
    dtypes: Sequence[str] | None,
    seed: int,
    quick: bool = False,
    tolerance: float = 0.0,
) -> Subject:
    """The subject for f(*args); what is not an array among the arguments stays as it is, what is a shape is drawn.

    Args:
      f, reference, gradient_of, args, wrt, seed: as for `check`.
      dtypes: to prove f in; without them, float64 and that of the arguments, and if not `quick` all others of `DTYPES`
        that f takes.
      quick, tolerance: see there.

    Raises:
      TypeError: no argument holds a floating point array to differentiate by.
      ValueError: `wrt` names no argument; no output is of floating point; gradient_of has other outputs than f.
    """
    args = taken_apart(draw_arguments(tuple(args), seed))
    problem = differentiable(of_parts(f), *args, wrt=wrt)
    subject = Subject(
        function=_flat(f, args),
        reference=None if reference is None else _flat(reference, args),
        meant=None if gradient_of is None else _flat(gradient_of, args),
        leaves=cast("float64", problem.leaves),
        names=problem.names,
        wrt=problem.chosen,
        original=problem.leaves,
        dtypes=tuple(DTYPES if dtypes is None else dtypes),
        seed=seed,
        tolerance=tolerance,
    )
    called = jax.eval_shape if quick else _called  # a program for each operation takes long
    called(subject.function, *subject.original)  # what it raises is the caller's to see
    _check_outputs(subject)
    if dtypes is not None:
        return subject
    always = "float64", subject.given
    kept = [dtype for dtype in DTYPES if dtype in always or (not quick and subject.takes(dtype))]
    return dataclasses.replace(subject, dtypes=tuple(kept))


def _called(function, *arrays):
    return function(*arrays)


def _check_outputs(subject):
    if not any(map(is_real, subject.outputs)):
        found = ", ".join(map(described, subject.outputs)) or "none"
        raise ValueError(f"check: f, wanted a function with a floating-point output, got {found}")
    if subject.meant is not None:
        with precision(subject.given):
            meant = jax.eval_shape(subject.meant, *cast(subject.given, subject.leaves))
        got, wanted = (", ".join(described(out) for out in outs if is_real(out)) for outs in (meant, subject.outputs))
        if got != wanted:
            raise ValueError(f"check: gradient_of, wanted a function with outputs like those of f, {wanted}, got {got}")


def _flat(f, args):
    """f as a function of the arrays among its arguments."""
    function = differentiable(of_parts(f), *args).function
    return lambda *arrays: tuple(function(*arrays))
