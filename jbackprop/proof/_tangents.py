"""Rules of `jax.custom_jvp`, the truth to automatic differentiation, held against the slopes of the values.

At an input x and along each axis eₖ, of ⟨u, f⟩ in float64,

    S±(h) = ±(⟨u, f(x ± h eₖ)⟩ − ⟨u, f(x)⟩) / h

tell a slope where all of S±(h) and S±(h/4) agree: there is no kink, no jump, and nothing narrower than h.  Where
S⁺(h) and S⁺(h/4) agree, and S⁻(h) and S⁻(h/4), it is a kink, and any gradient between the two is a choice.  Where
kinks do not add up, as those of equal maxima, it lies between the slopes along the sum of the axes too (`_kinks.py`).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import Arrays, as_float64, automatic, cast, is_real, precision

from ._kinks import adds_up, along_axes, moved, moved_by
from ._numbers import magnitude
from ._pull import Pull, pull_back
from ._report import Failure
from ._subject import Subject

_STEP, _NEARER, _SLACK, _OFF = 1e-6, 1e-4, 1e-4, 1e-3
"""Of differences, and the share of it that is tried where slopes change within it, as at a variance of 0; how far the
slopes may be apart, and a gradient from them, as a share of both and of one."""


@dataclasses.dataclass(frozen=True)
class Tangents:
    """What judges the rules of `jax.custom_jvp` in a function; compiled once for all inputs."""

    subject: Subject

    @functools.cached_property
    def judges(self) -> bool:
        """Whether there are such rules, and float64 to tell slopes by; not where another gradient is meant."""
        return self.subject.meant is None and self.subject.has_custom_jvp and self.subject.finest == "float64"

    def wrong_slopes(self, leaves: Arrays, note: str) -> Iterator[Failure]:
        """Gradients in float64 that are not the slopes, where there are some, or not between those at a kink.

        Numbers smaller than the step are left out: a right rule may lose all its digits there, as that of sin x / x.
        """
        if any(((leaves[i] != 0) & (np.abs(leaves[i]) < _STEP)).any() for i in self.subject.wrt):
            return
        _, got = self.subject.evaluate(self.subject.pull, "float64", leaves)
        slopes = self._one_sided_slopes(leaves, [np.zeros(g.shape, bool) for g in got])
        low, high = slopes.bounds(got)
        if self._is_rule:
            yield from slopes.off_together(got, note)
        else:  # of several kinks behind one another the choices multiply, and lie outside
            low = [np.where(a == b, a, np.nan) for a, b in zip(low, high, strict=True)]
        wanted = [np.clip(g, *bounds) for g, *bounds in zip(got, low, high, strict=True)]
        with np.errstate(invalid="ignore"):  # nowhere a slope is NaN, and no more than NaN off
            wrong = [np.abs(g - w) > _OFF * np.maximum(1, np.abs(w)) for g, w in zip(got, wanted, strict=True)]
        yield from self._failures("float64", got, wanted, wrong, f"finite difference, {note}")

    def nan(self, leaves: Arrays, got: Sequence[np.ndarray], outputs: Arrays, note: str) -> Iterator[Failure]:
        """Gradients in the given dtype that are NaN where the values are finite and have slopes.

        That is the fault of a rule if nothing else is in the function, or if its gradient without the rule is finite.
        Where a gradient is infinite there is no opinion: the function has no derivative, as x log y at 0.
        """
        unknown = [np.isnan(g) for g in got]
        if not any(map(np.any, unknown)) or not all(np.isfinite(out).all() for out in outputs):
            return
        if any(np.isinf(g).any() for g in got):
            return
        without = self._without_rules(leaves, got)
        blamed = [no & (self._is_rule | np.isfinite(g)) for no, g in zip(unknown, without, strict=True)]
        low, high = self._one_sided_slopes(leaves, blamed).bounds(got)
        wrong = [where & np.isfinite(a) & (a == b) for where, a, b in zip(blamed, low, high, strict=True)]
        yield from self._failures(self.subject.given, got, low, wrong, f"finite difference, {note}")

    def _without_rules(self, leaves, got):
        """The gradients without rules of `jax.custom_jvp`, NaN where JAX has none, as of some special functions."""
        try:
            _, without = self.subject.evaluate(self._pull_without, self.subject.given, leaves)
        except NotImplementedError:
            return [np.full_like(g, np.nan) for g in got]
        return without

    def _failures(self, dtype, got, wanted, wrong, note):
        for i, (g, w, where) in enumerate(zip(got, wanted, wrong, strict=True)):
            if where.any():
                entry = tuple(int(k) for k in np.argwhere(where)[0])
                yield Failure(
                    f"gradient of {self.subject.name(i)}", dtype, entry, float(g[entry]), float(w[entry]), note=note
                )

    def _one_sided_slopes(self, leaves, first):
        """By the entries of the leaves in wrt, those picked `first` before others, and along the sum of these axes."""
        flat = np.concatenate([np.ravel(picked) for picked in first])
        axes = moved(self.subject, flat)
        directions = along_axes(axes, flat.size)
        found = np.full((2, len(directions)), np.nan)
        size = magnitude([leaves[i] for i in self.subject.wrt])
        for step in (_STEP, _STEP * _NEARER):
            found = np.where(np.isnan(found), self._at_step(leaves, directions, step * size), found)
        return _OneSided(axes, *found)

    def _at_step(self, leaves, directions, step):
        with precision("float64"):
            here, slopes = as_float64(
                self._one_sided(cast("float64", leaves), self.subject.cotangents(), directions, np.float64(step))
            )
        return _steady(slopes, 32 * np.finfo(np.float64).eps * float(here) / step)

    @functools.cached_property
    def _one_sided(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        """(leaves, u, directions, h) -> Σ|u ⊙ f|, and S⁺(h), S⁻(h), S⁺(h/4), S⁻(h/4) along each direction."""

        def terms(leaves, u, by):
            moved = moved_by(leaves, self.subject.wrt, by)
            outputs = filter(is_real, self.subject.function(*moved))
            return jnp.concatenate([jnp.ravel(a * out) for a, out in zip(u, outputs, strict=True)])

        def one_sided(leaves, u, directions, h):
            here = terms(leaves, u, jnp.zeros(directions.shape[1:]))
            steps = jnp.array([h, -h, h / 4, -h / 4])

            def along(direction):
                return jax.lax.map(lambda step: (terms(leaves, u, step * direction) - here).sum() / step, steps)

            return jnp.abs(here).sum(), jax.lax.map(along, directions)

        return jax.jit(one_sided)

    @functools.cached_property
    def _pull_without(self) -> Pull:
        return jax.jit(pull_back(automatic(self.subject.function, custom_jvp=True), self.subject.wrt))

    @functools.cached_property
    def _is_rule(self) -> bool:
        with precision(self.subject.given):
            return _is_rule(jax.make_jaxpr(self.subject.function)(*cast(self.subject.given, self.subject.leaves)).jaxpr)


@dataclasses.dataclass(frozen=True)
class _OneSided:
    """Slopes on both sides of an input, NaN where there is none.

    Attributes:
      axes: the entries that were moved, of all leaves laid one after the other.
      ahead: S⁺ along each of the axes, and along their sum.
      behind: S⁻ along the same.
    """

    axes: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray

    def bounds(self, like: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The lower and the higher slope by each entry of such leaves: the same where there is no kink."""
        sizes = [leaf.size for leaf in like]
        found = np.full((2, sum(sizes)), np.nan)
        found[:, self.axes] = np.sort([self.ahead[:-1], self.behind[:-1]], axis=0)
        each = (np.split(bound, np.cumsum(sizes)[:-1]) for bound in found)
        low, high = ([part.reshape(leaf.shape) for part, leaf in zip(parts, like, strict=True)] for parts in each)
        return low, high

    def off_together(self, gradients: Sequence[np.ndarray], note: str) -> Iterator[Failure]:
        """Of kinks that do not add up: a gradient that is not between the slopes along the sum of the axes."""
        with np.errstate(invalid="ignore"):  # of ∞ − ∞ there is no opinion
            got = float(np.concatenate([np.ravel(g) for g in gradients])[self.axes].sum())
        sides = np.array([self.ahead, self.behind])
        slack = _SLACK * np.maximum(1, np.abs(sides)).sum()
        wanted = float(np.clip(got, sides[:, -1].min(), sides[:, -1].max()))
        if not all(adds_up(side, slack) for side in sides) and abs(got - wanted) > slack:
            note = f"finite difference along the sum of {len(self.axes)} axes, {note}"
            yield Failure("gradient", "float64", None, got, wanted, note=note)


def _steady(slopes, rounding):
    """Ahead and behind of each row of one-sided slopes, NaN where those of one side do not agree."""
    size = _SLACK * np.maximum(1, np.abs(slopes).max(axis=1))
    with np.errstate(invalid="ignore"):
        steady = (np.abs(slopes[:, :2] - slopes[:, 2:]) <= size[:, None]).all(axis=1) & (rounding <= size)
        is_smooth = (np.ptp(slopes, axis=1) <= size)[:, None]
        nearest = np.where(is_smooth, slopes[:, 2:].mean(axis=1)[:, None], slopes[:, 2:])
        return np.where(steady, nearest.T, np.nan)


def _is_rule(jaxpr):
    """Whether a jaxpr is one call of a rule of `jax.custom_jvp`, under `jit` or not."""
    if len(jaxpr.eqns) != 1:
        return False
    (equation,) = jaxpr.eqns
    name = equation.primitive.name
    return name == "custom_jvp_call" or (name in ("jit", "pjit") and _is_rule(equation.params["jaxpr"].jaxpr))
