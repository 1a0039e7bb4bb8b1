"""The function under proof: its gradients, by rule and automatic, and what they are judged by."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import (
    FLOAT64_SHARE,
    STEPS,
    Allowance,
    Arrays,
    arrays_that_matter,
    as_float64,
    automatic,
    cast,
    computed_in,
    count_rules,
    draws_random_numbers,
    error_line,
    extrapolated,
    is_real,
    longest_sum,
    neighbours,
    noise_of,
    precision,
    replaced,
    shaken,
    stops_gradients,
)

from ._applied import Applied
from ._pull import Flat, Pull, pull_back
from ._report import Failure, NotApplicableError
from ._together import together

_POINTS = 32
"""At so many random points it is looked up what depends on what: the slope of a relu is 0 at half of them."""
_DIRECTIONS = 4


@dataclasses.dataclass(frozen=True)
class Subject(Applied):
    """A function under proof: one that was applied, and what its gradients are judged by."""

    @functools.cached_property
    def twin(self) -> Flat:
        """What is differentiated automatically: the function without its hand-written rules, or what stands in for it.

        A forward pass with a `while_loop` or a callback has no automatic gradient, a bisection one that is not that of
        its values, and a distance of equal points has NaN: then the reference's is taken, and without a reference the
        function's own, which only finite differences can judge.
        """
        if self.meant is not None:
            return self.meant
        plain, refusal = self._automatic
        if not refusal:
            return plain
        return self.function if self.reference is None or self._refusal(self.reference) else self.reference

    @functools.cached_property
    def irreversible(self) -> str:
        """Why there is no automatic gradient to hold the rule against; "" where there is one."""
        return self._automatic[1] if self.twin is self.function else ""

    @property
    def irreversible_as_known(self) -> str:
        """The same, but that nothing is computed for it that no check has asked for, or that may not end."""
        return self.irreversible if self._plain_refusal or "_contradiction" in vars(self) else ""

    def need_twin(self) -> None:
        """Raises NotApplicableError for a check that compares with an automatic gradient, where there is none."""
        if self.irreversible:
            raise NotApplicableError("there is no automatic gradient")

    @functools.cached_property
    def _plain(self) -> Flat:
        return automatic(self.function)

    @functools.cached_property
    def _automatic(self) -> tuple[Flat, str]:
        return self._plain, self._plain_refusal or self._contradiction

    @functools.cached_property
    def _plain_refusal(self) -> str:
        return self._refusal(self._plain)

    @functools.cached_property
    def _contradiction(self) -> str:
        """Why the automatic gradient is not to be believed, as that of a bisection; "" where it is."""
        try:
            own = self.evaluate(self.pull, "float64")[1]
            outputs, other = self.evaluate(self._pull_plain, "float64")
            if any(map(_is_nan, other)) and not any(map(_is_nan, outputs)):
                return "it is NaN at these arguments"
            wrong = any(map(_differ, own, other)) and self._is_along(own).all() and not self._is_along(other).any()
        except Exception:  # for the checks to see
            return ""
        return "finite differences contradict it, and not the rule" if wrong and not self._stops_gradients else ""

    def unless_stopped(self, failures: Iterable[Failure]) -> Sequence[Failure]:
        """The failures of a check that takes the gradient for that of the values.

        Raises NotApplicableError instead where a `stop_gradient` makes the automatic gradient another.
        """
        found = list(failures)
        if found and self._is_stopped:
            raise NotApplicableError("it has a `stop_gradient`: its gradient is not that of its values, by design")
        return found

    @property
    def _is_stopped(self):
        """Whether the automatic gradient is none of the values', and no rule of `jax.custom_jvp` may be to blame."""
        return self._stops_gradients and not self.has_custom_jvp and not self._is_along(self.truth[1]).all()

    @functools.cached_property
    def _stops_gradients(self):
        with precision(self.given):
            return stops_gradients(self.meant or self._plain, *cast(self.given, self.leaves))

    def _is_along(self, gradients):
        """Whether gradients at the given arguments are the slopes of the values, along each of some directions."""
        places = tuple(np.stack([self.leaves[i]] * _DIRECTIONS) for i in self.wrt)
        directions = tuple(self.rng(15, i).choice((-1.0, 1.0), size=place.shape) for i, place in enumerate(places))
        with precision("float64"):
            slopes, doubts = as_float64(self.slopes_at(places, directions, self.leaves, self.cotangents()))
        along = sum((g * d).reshape(_DIRECTIONS, -1).sum(axis=1) for g, d in zip(gradients, directions, strict=True))
        return np.abs(along - slopes) <= 8 * doubts + 1e-6 * np.abs(slopes)

    def _refusal(self, function):
        """What JAX says instead of a gradient of the function; "" if it gives one."""
        with precision(self.given):
            try:
                jax.eval_shape(pull_back(function, self.wrt), cast(self.given, self.leaves), self.cotangents())
            except Exception as error:  # JAX's errors for this are of many types
                return error_line(error)
        return ""

    @functools.cached_property
    def has_custom_jvp(self) -> bool:
        """Whether the function holds a rule of `jax.custom_jvp`, which nothing removes."""
        with precision(self.given):
            return count_rules(self.twin, *cast(self.given, self.leaves), custom_jvp=True) > 0

    @functools.cached_property
    def referred(self) -> tuple[Any, ...]:
        """The reference's values in float64, and what its own `pull` would return; or what either raised."""
        if self.reference is None:
            return ()
        with precision("float64"):
            leaves, cotangents = cast("float64", self.leaves), self.cotangents()
            return together([(self.reference, leaves), (pull_back(self.reference, self.wrt), (leaves, cotangents))])

    @functools.cached_property
    def pull_twin(self) -> Pull:
        """Gradients by automatic differentiation, jitted."""
        return self._pull_plain if self.twin is self._plain else jax.jit(pull_back(self.twin, self.wrt))

    @functools.cached_property
    def _pull_plain(self) -> Pull:
        return jax.jit(pull_back(self._plain, self.wrt))

    @functools.cached_property
    def pull_reference(self) -> Pull:
        """The reference's automatic gradients, jitted; there has to be one."""
        assert self.reference is not None
        return jax.jit(pull_back(self.reference, self.wrt))

    def reached(self, outputs: Sequence[np.ndarray]) -> Arrays:
        """Which entries of each gradient depend on chosen entries of the outputs, at random points near the origin.

        Args:
          outputs: (sets, *shape) of each floating point output, True for the entries of each set.

        Returns:
          (sets, *shape) for each gradient.
        """
        rng, scale = self.rng(11), 2.0 ** self.rng(12).uniform(-4, 1, size=_POINTS)
        points = [np.einsum("p,p...->p...", scale, rng.normal(size=(_POINTS, *self.leaves[i].shape))) for i in self.wrt]
        cotangents = tuple(u * chosen for u, chosen in zip(self.cotangents(), outputs, strict=True))
        with precision("float64"):
            return tuple(map(np.asarray, self._reach(cast("float64", self.leaves), tuple(points), cotangents)))

    @functools.cached_property
    def _reach(self) -> Callable[..., Arrays]:
        pull = pull_back(self.twin, self.wrt)

        def at(leaves, points, cotangents):
            gradients = jax.lax.map(lambda point: pull(replaced(leaves, self.wrt, point), cotangents)[1], points)
            return tuple(((g != 0) & jnp.isfinite(g)).any(axis=0) for g in gradients)

        return jax.jit(lambda leaves, points, sets: jax.lax.map(lambda u: at(leaves, points, u), sets))

    @functools.cached_property
    def slopes_at(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        """(draws of the leaves in wrt, directions, leaves, u) -> the slope of ⟨u, f⟩ at each, and the doubt."""
        spacing = max(float(jnp.finfo(self.finest).eps), self.tolerance)

        def of(draws, directions, leaves, cotangents):
            def at(one):
                draw, direction = one

                def value(step):
                    moved = replaced(leaves, self.wrt, [x + step * d for x, d in zip(draw, direction, strict=True)])
                    outputs = filter(is_real, self.function(*moved))
                    return sum((u * out).sum() for u, out in zip(cotangents, outputs, strict=True))

                return extrapolated(jnp.stack([value(step) for step in STEPS]), spacing)

            return jax.lax.map(at, (draws, directions))

        return jax.jit(of)

    @functools.cached_property
    def truth(self) -> tuple[Arrays, Arrays]:
        """Outputs and gradients at the given arguments by the twin in float64, for `cotangents()`."""
        return self.evaluate(self.pull_twin, "float64")

    def true(self, dtype: str, leaves: Arrays, cotangents: Arrays | None = None) -> tuple[Arrays, Arrays]:
        """Outputs and gradients by the twin, to judge those in a dtype by: in float64, if that is the same function."""
        return self.evaluate(self.pull_twin, dtype if self.is_random else "float64", leaves, cotangents)

    @functools.cached_property
    def is_random(self) -> bool:
        """Whether the function draws random numbers, and so is another function in another dtype."""
        with precision(self.given):
            return draws_random_numbers(self.twin, *cast(self.given, self.leaves))

    def noise(self, dtype: str) -> tuple[list[float], list[float]]:
        """What conditioning explains in a dtype at the given arguments: of each output, each gradient."""
        return self.noise_at(dtype, self.leaves, self.cotangents())

    def noise_at(self, dtype: str, leaves: Arrays, cotangents: Arrays | None = None) -> tuple[list[float], list[float]]:
        """The same at other arguments; for float64, which nothing finer can judge, from float32.

        Where a rule is judged by its own gradient in float64, what it is off itself is no excuse.
        """
        lower, share = ("float32", FLOAT64_SHARE) if dtype == "float64" else (dtype, 1.0)
        start = cast(lower, leaves)
        near = neighbours(start) if self.is_random else [start]
        moved = [] if self.is_random else shaken(cast("float64", start), lower, self.rng(13))
        truths, around = ([self.true(lower, at, cotangents) for at in places] for places in (near, moved))
        got = truths[0] if self.irreversible else self.evaluate(self.pull_twin, lower, start, cotangents)
        outputs, gradients = (
            [share * n for n in noise_of(got[kind], [t[kind] for t in truths], [m[kind] for m in around])]
            for kind in (0, 1)
        )
        return outputs, gradients

    @functools.cached_property
    def length(self) -> int:
        """The longest sum in the values and the gradients, by the rules or automatic."""
        cotangents = self.cotangents()
        with precision("float64"):
            return max(longest_sum(pull, self.leaves, cotangents) for pull in (self.pull, self.pull_twin))

    @functools.cached_property
    def finest(self) -> str:
        """The dtype that the function computes its values in when it is given float64."""
        with precision("float64"):
            return computed_in(self.meant or self._plain, *self.leaves)

    @functools.cached_property
    def finest_of_gradients(self) -> str:
        """The same of the automatic gradient, and of the values that have one; where there is none, of all values.

        Of the rule's too, unless somebody wants it in float64: a backward pass in float32 is right for the others.
        """
        of_twin = self.finest if self.irreversible else _coarser(self._finest_of(self.twin), self._finest_that_move)
        return of_twin if "float64" in self.dtypes else _coarser(of_twin, self._finest_of(self.function))

    @functools.cached_property
    def _finest_that_move(self):
        """Of the outputs of which any gradient comes: no figure for a log."""
        if self.finest == "float64":
            return self.finest
        values, pull, cotangents = self.meant or self._plain, pull_back(self.twin, self.wrt), self.cotangents()
        with precision("float64"):
            used = arrays_that_matter(lambda leaves, u: pull(leaves, u)[1], self.leaves, cotangents)
            moving = used[len(used) - len(cotangents) :]
            return computed_in(lambda *leaves: tuple(compress(filter(is_real, values(*leaves)), moving)), *self.leaves)

    @property
    def judged_in(self) -> str:
        """The same, as far as a check has asked for it."""
        return vars(self).get("finest_of_gradients", "float64")

    def _finest_of(self, function):
        pull = pull_back(function, self.wrt)
        with precision("float64"):
            return computed_in(lambda leaves, u: pull(leaves, u)[1], self.leaves, self.cotangents())

    def allowance(self, dtype: str, scale: float = 0.0, noise: float | np.ndarray = 0.0) -> Allowance:
        """What a gradient may be off, computed from arguments in this dtype."""
        return Allowance(_coarser(dtype, self.finest_of_gradients), self.length, scale, noise, self.tolerance)

    def allowance_of_values(self, dtype: str) -> Allowance:
        """What an output may be off."""
        return Allowance(_coarser(dtype, self.finest), self.length, tolerance=self.tolerance)


def _coarser(*dtypes):
    return max(dtypes, key=lambda name: float(jnp.finfo(name).eps))


def _is_nan(array):
    return array.size > 0 and bool(np.isnan(array).all())


def _differ(one, other):
    return np.abs(one - other).max(initial=0) > 1e-6 * np.abs(other).max(initial=0)
