"""Rules of `jax.custom_jvp`, the truth to automatic differentiation, held against the slopes of the values.

At an input x and along each axis eₖ, of ⟨u, f⟩ in float64,

    S±(h) = ±(⟨u, f(x ± h eₖ)⟩ − ⟨u, f(x)⟩) / h

tell a slope where all of S±(h) and S±(h/4) agree: there is no kink, no jump, and nothing narrower than h.  Where
S⁺(h) and S⁺(h/4) agree, and S⁻(h) and S⁻(h/4), it is a kink, and any gradient between the two is a choice.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import Arrays, as_float64, automatic, cast, is_real, largest, precision, replaced

from ._kinks import moved
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
        low, high = self._one_sided_slopes(leaves, [np.zeros(g.shape, bool) for g in got])
        if not self._is_rule:  # of several kinks behind one another the choices multiply, and lie outside
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
        low, high = self._one_sided_slopes(leaves, blamed)
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
        """The lower and the higher slope by each entry of the leaves in wrt, those picked `first` before others.

        Both are the same where there is no kink, and NaN where there is no slope.
        """
        flat = np.concatenate([np.ravel(picked) for picked in first])
        axes = moved(self.subject, flat)
        found = np.full((2, *flat.shape), np.nan)
        for step in (_STEP, _STEP * _NEARER):
            bounds = self._at_step(leaves, axes, step * max([1.0, *(largest(leaves[i]) for i in self.subject.wrt)]))
            found[:, axes] = np.where(np.isnan(found[:, axes]), bounds, found[:, axes])
        ends = np.cumsum([picked.size for picked in first])[:-1]
        return [
            [part.reshape(picked.shape) for part, picked in zip(np.split(bound, ends), first, strict=True)]
            for bound in found
        ]

    def _at_step(self, leaves, axes, step):
        with precision("float64"):
            here, slopes = as_float64(
                self._one_sided(cast("float64", leaves), self.subject.cotangents(), axes, np.float64(step))
            )
        return _bounds(slopes, 32 * np.finfo(np.float64).eps * float(here) / step)

    @functools.cached_property
    def _one_sided(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        """(leaves, u, axes, h) -> Σ|u ⊙ f|, and S⁺(h), S⁻(h), S⁺(h/4), S⁻(h/4) along each axis."""

        def terms(leaves, u, axis, step):
            moved = _along(leaves, self.subject.wrt, axis, step)
            outputs = filter(is_real, self.subject.function(*moved))
            return jnp.concatenate([jnp.ravel(a * out) for a, out in zip(u, outputs, strict=True)])

        def one_sided(leaves, u, axes, h):
            here = terms(leaves, u, 0, 0.0)
            steps = jnp.array([h, -h, h / 4, -h / 4])

            def along(axis):
                return jax.lax.map(lambda step: (terms(leaves, u, axis, step) - here).sum() / step, steps)

            return jnp.abs(here).sum(), jax.lax.map(along, axes)

        return jax.jit(one_sided)

    @functools.cached_property
    def _pull_without(self) -> Pull:
        return jax.jit(pull_back(automatic(self.subject.function, custom_jvp=True), self.subject.wrt))

    @functools.cached_property
    def _is_rule(self) -> bool:
        with precision(self.subject.given):
            return _is_rule(jax.make_jaxpr(self.subject.function)(*cast(self.subject.given, self.subject.leaves)).jaxpr)


def _bounds(slopes, rounding):
    """The lower and the higher slope of each row of one-sided ones, NaN where those of one side do not agree."""
    size = _SLACK * np.maximum(1, np.abs(slopes).max(axis=1))
    with np.errstate(invalid="ignore"):
        steady = (np.abs(slopes[:, :2] - slopes[:, 2:]) <= size[:, None]).all(axis=1) & (rounding <= size)
        nearest = np.where(
            (np.ptp(slopes, axis=1) <= size)[:, None], slopes[:, 2:].mean(axis=1)[:, None], slopes[:, 2:]
        )
        return np.where(steady, np.sort(nearest, axis=1).T, np.nan)


def _along(leaves, wrt, axis, step):
    """The leaves with one entry moved, of all those in wrt laid one after the other."""
    chosen = [leaves[i] for i in wrt]
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in chosen])
    parts = jnp.split(flat.at[axis].add(step), np.cumsum([leaf.size for leaf in chosen])[:-1])
    return replaced(leaves, wrt, [part.reshape(leaf.shape) for part, leaf in zip(parts, chosen, strict=True)])


def _is_rule(jaxpr):
    """Whether a jaxpr is one call of a rule of `jax.custom_jvp`, under `jit` or not."""
    if len(jaxpr.eqns) != 1:
        return False
    (equation,) = jaxpr.eqns
    name = equation.primitive.name
    return name == "custom_jvp_call" or (name in ("jit", "pjit") and _is_rule(equation.params["jaxpr"].jaxpr))
