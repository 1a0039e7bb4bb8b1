"""Rules of `jax.custom_jvp`, the truth to automatic differentiation, held against the slopes of the values.

At an input x and along each axis eₖ, of ⟨u, f⟩ in float64,

    S±(h) = ±(⟨u, f(x ± h eₖ)⟩ − ⟨u, f(x)⟩) / h

tell a slope where all of S±(h) and S±(h/4) agree: there is no kink, no jump, and nothing narrower than h.
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

_STEP, _SLACK, _OFF = 1e-6, 1e-4, 1e-3
"""Of differences; how far the slopes may be apart, and a gradient from them, as a share of both and of one."""


@dataclasses.dataclass(frozen=True)
class Tangents:
    """What judges the rules of `jax.custom_jvp` in a function; compiled once for all inputs."""

    subject: Subject

    @functools.cached_property
    def judges(self) -> bool:
        """Whether there are such rules, and float64 to tell slopes by; not where another gradient is meant."""
        return self.subject.meant is None and self.subject.has_custom_jvp and self.subject.finest == "float64"

    def wrong_slopes(self, leaves: Arrays, note: str) -> Iterator[Failure]:
        """Finite gradients in float64 that are not the slopes, where there are some.

        Numbers smaller than the step are left out: a right rule may lose all its digits there, as that of sin x / x.
        """
        if any(((leaves[i] != 0) & (np.abs(leaves[i]) < _STEP)).any() for i in self.subject.wrt):
            return
        _, got = self.subject.evaluate(self.subject.pull, "float64", leaves)
        wanted = self._slopes(leaves, [np.zeros(g.shape, bool) for g in got])
        allowed = [_OFF * np.maximum(1, np.abs(w)) for w in wanted]
        wrong = [
            np.isfinite(g) & np.isfinite(w) & (np.abs(g - w) > a) for g, w, a in zip(got, wanted, allowed, strict=True)
        ]
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
        _, without = self.subject.evaluate(self._pull_without, self.subject.given, leaves)
        blamed = [no & (self._is_rule | np.isfinite(g)) for no, g in zip(unknown, without, strict=True)]
        wanted = self._slopes(leaves, blamed)
        wrong = [where & np.isfinite(w) for where, w in zip(blamed, wanted, strict=True)]
        yield from self._failures(self.subject.given, got, wanted, wrong, f"finite difference, {note}")

    def _failures(self, dtype, got, wanted, wrong, note):
        for i, (g, w, where) in enumerate(zip(got, wanted, wrong, strict=True)):
            if where.any():
                entry = tuple(int(k) for k in np.argwhere(where)[0])
                yield Failure(
                    f"gradient of {self.subject.name(i)}", dtype, entry, float(g[entry]), float(w[entry]), note=note
                )

    def _slopes(self, leaves, first):
        """The slope by each entry of the leaves in wrt, those picked `first` before others; NaN where there is none."""
        flat = np.concatenate([np.ravel(picked) for picked in first])
        axes = moved(self.subject, flat)
        step = _STEP * max([1.0, *(largest(leaves[i]) for i in self.subject.wrt)])
        with precision("float64"):
            here, slopes = as_float64(
                self._one_sided(cast("float64", leaves), self.subject.cotangents(), axes, np.float64(step))
            )
        found = np.full(flat.shape, np.nan)
        found[axes] = _agreed(slopes, 32 * np.finfo(np.float64).eps * float(here) / step)
        ends = np.cumsum([picked.size for picked in first])[:-1]
        return [part.reshape(picked.shape) for part, picked in zip(np.split(found, ends), first, strict=True)]

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


def _agreed(slopes, rounding):
    """The slope of each row of one-sided ones, NaN where they do not agree."""
    size = _SLACK * np.maximum(1, np.abs(slopes).max(axis=1))
    with np.errstate(invalid="ignore"):
        agree = (np.ptp(slopes, axis=1) <= size) & (rounding <= size)
        return np.where(agree, slopes[:, 2:].mean(axis=1), np.nan)


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
