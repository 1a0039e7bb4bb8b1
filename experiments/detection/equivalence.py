"""Is a mutant wrong at all?  Told from the right rule it was made of, and never from a checker.

A mutant is *equivalent* if its gradients are those of the right rule, to 8 roundings of the largest and in dtype and
in every NaN, at each of a list of inputs written with the faults in view: random ones; in each argument in turn, in
all entries and in some, the corners that a fault names, zeros and ties; half precision, more batch axes, a batch of
one, a batch under vmap, a call again; one argument alone, and small and large cotangents.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import precision

from .mutants import Rule, more_axes, of_batch, takes

Arrays = tuple[jax.Array, ...]


_VALUES = (
    (2.02, 1.9, -1.2, 0.7, 2.03),
    (3.5, 2.9, -1.2, 0.7),
    (60.0, -60.0, 55.0, 0.7),
    (0.0, 0.5),
    (-0.25, 0.0),
    (0.5, 0.5, -0.25, -0.25),
)


class Trial(NamedTuple):
    """The right rule at one list of arguments.

    Attributes:
      arguments: of the rule.
      under: what the rule is transformed with.
      gradients: one for each argument, of a random cotangent.
    """

    arguments: Arrays
    under: Callable[[Rule], Rule]
    gradients: Arrays


def trials(right: Rule, arguments: Sequence[jax.Array]) -> list[Trial]:
    """The gradients of a right rule wherever a mutant of it is to be tried; the arguments are of the size to try."""
    with precision("float64"):
        return [Trial(inputs, under, _pulled(under(right), inputs)) for inputs, under in _inputs(right, arguments)]


def equivalent(wrong: Rule, right: Sequence[Trial]) -> bool:
    """Whether the gradients of a mutant agree with those of the right rule in every trial."""
    with precision("float64"):
        return all(_agrees(wrong, trial) for trial in right)


def _inputs(right, arguments) -> Iterator[tuple[Arrays, Callable[[Rule], Rule]]]:
    """Arguments, and what to transform the functions with."""
    exact = _typed(arguments, jnp.float64)
    rng = np.random.default_rng(0)
    yield exact, _plain
    for i in range(len(exact)):
        yield exact, partial(_alone, i)
    for size in (1e-4, 1e3):
        yield exact, partial(_times, size)
    for size in (1.5, 8, 8, 8, 8):
        yield _changed(exact, lambda a, size=size: a * rng.uniform(-size, size, a.shape)), _plain
    for values, everywhere in itertools.product(_VALUES, (True, False)):
        for i, a in enumerate(exact):
            if jnp.issubdtype(a.dtype, jnp.floating):
                corner = jnp.asarray(np.resize(values, a.shape), a.dtype)
                picked = rng.permutation(a.size) < max(1, a.size // 4)
                some = (picked | np.roll(picked, 1)).reshape(a.shape)  # and their neighbours, for ties
                yield (*exact[:i], jnp.where(everywhere | some, corner, a), *exact[i + 1 :]), _plain
    yield _typed(arguments, jnp.bfloat16), _plain
    half = _typed(arguments, jnp.float16)
    twelves = _changed(half, lambda a: jnp.where(rng.uniform(size=a.shape) < 0.5, 12, a))
    yield twelves, _plain
    for i, some in enumerate(twelves):
        for times in (1, 1 / 8):  # of many twelves a rule that saturates has no gradient
            others = _changed(half, lambda a, times=times: times * a)
            yield (*others[:i], some, *others[i + 1 :]), _plain
    yield _changed(_typed(arguments, jnp.float32), lambda a: 1.25 * a), _plain
    yield tuple(jnp.stack([a, a]) for a in exact), jax.vmap
    # Compiled, a rule cannot refuse what is looked up in a table of one row.
    for other, under in ((more_axes(exact), _plain), (of_batch(exact, lambda a: a[:1]), jax.jit)):
        if takes(right, other):
            yield other, under


def _plain(f):
    return f


def _alone(i, f):
    """Differentiated by one argument alone."""
    return lambda *arguments: f(*(a if i == j else jax.lax.stop_gradient(a) for j, a in enumerate(arguments)))


def _times(size, f):
    """Under larger or smaller cotangents."""
    return lambda *arguments: size * f(*arguments)


def _agrees(wrong, trial):
    try:
        got = _pulled(trial.under(wrong), trial.arguments)
    except Exception:  # such as a stale residual of another dtype: wrong in any case
        return False
    return all(map(_same, trial.gradients, got))


def _same(right, wrong):
    if (right.dtype, right.shape) != (wrong.dtype, wrong.shape):
        return False
    if not jnp.issubdtype(right.dtype, jnp.floating):
        return True
    eps = float(jnp.finfo(right.dtype).eps)
    right, wrong = (np.asarray(a, np.float64) for a in (right, wrong))
    rounding = 8 * eps * np.abs(right).max(initial=0, where=np.isfinite(right))
    return np.allclose(wrong, right, rtol=0, atol=rounding, equal_nan=True)


def _pulled(f, arguments):
    output, vjp = jax.vjp(f, *arguments)
    u = np.random.default_rng(1).normal(size=output.shape)
    return vjp(jnp.asarray(u, output.dtype))


def _typed(arguments, dtype):
    return _changed(arguments, lambda a: a, dtype)


def _changed(arguments, change, dtype=None):
    """The floating point arguments changed, in their dtype or another."""
    return tuple(
        jnp.asarray(change(a), dtype or a.dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in arguments
    )
