"""A function of arrays, and the arguments to try it on."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import Arrays, as_float64, cast, count_rules, every_equation, is_real, precision

from ._pull import Flat, Pull, pull_back


@dataclasses.dataclass(frozen=True)
class Applied:
    """A function of arrays, what to hold it against, and the arguments to try both on.

    Attributes:
      function: (*leaves) -> a tuple of output arrays, hand-written rules in place.
      reference: an independent implementation, flat in the same way, or None.
      meant: the function whose automatic gradient it is meant to have, if not its own; flat in the same way, or None.
      leaves: every array among the arguments, the floating point ones in float64.
      names: what to call each leaf: the argument's name and the path inside it.
      wrt: positions of the leaves to differentiate by.
      original: every array among the arguments as it was given.
      dtypes: the floating point dtypes to prove the function in.
      seed: of everything random.
      tolerance: what the function's own solver leaves, as a share of an array's largest entry.
    """

    function: Flat
    reference: Flat | None
    meant: Flat | None
    leaves: Arrays
    names: tuple[str, ...]
    wrt: tuple[int, ...]
    original: Arrays
    dtypes: tuple[str, ...]
    seed: int
    tolerance: float = 0.0

    @functools.cached_property
    def given(self) -> str:
        """The coarsest floating point dtype among the arguments as they were given."""
        return max((str(self.original[i].dtype) for i in self.wrt), key=lambda dtype: float(jnp.finfo(dtype).eps))

    @functools.cached_property
    def run(self) -> Callable[[Arrays, Arrays], tuple[Arrays, Arrays, Arrays]]:
        """All outputs of the function itself, and what `pull` returns: one program for every dtype."""
        pull = pull_back(self.function, self.wrt)
        return jax.jit(lambda leaves, cotangents: (self.function(*leaves), *pull(leaves, cotangents)))

    def pull(self, leaves: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        """Gradients by the hand-written rules, jitted."""
        return self.run(leaves, cotangents)[1:]

    @functools.cached_property
    def outputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes and dtypes of all outputs at the given arguments."""
        with precision(self.given):
            return jax.eval_shape(self.function, *cast(self.given, self.leaves))

    @functools.cached_property
    def has_rules(self) -> bool:
        """Whether the function holds anything hand-written."""
        with precision(self.given):
            return count_rules(self.function, *cast(self.given, self.leaves), custom_jvp=True) > 0

    @functools.cached_property
    def is_told_of_zeros(self) -> bool:
        """Whether a rule in the function was defined with symbolic zeros."""
        return any(equation.params.get("symbolic_zeros") for equation in self._equations)

    @functools.cached_property
    def _equations(self):
        with precision(self.given):
            return list(every_equation(jax.make_jaxpr(self.function)(*cast(self.given, self.leaves))))

    def takes(self, dtype: str) -> bool:
        """Whether the function can be computed in a dtype, rules aside: LAPACK and FFTs have no half precision."""
        with precision(dtype):
            leaves = cast(dtype, self.leaves)
            try:
                traced = jax.jit(self.function).trace(*leaves)
                program = traced.lower()
                if any("callback" in equation.primitive.name for equation in every_equation(traced.jaxpr)):
                    jax.block_until_ready(program.compile()(*leaves))  # what it calls is seen only then
            except Exception:  # JAX's errors for this are of many types
                return False
        return True

    def values(self, dtype: str) -> Arrays:
        """All outputs of the function itself in one dtype, handed back in float64."""
        with precision(dtype):
            return as_float64(self.run(cast(dtype, self.leaves), self.cotangents())[0])

    def evaluate(self, pull: Pull, dtype: str, leaves: Arrays | None = None, cotangents=None) -> tuple[Arrays, Arrays]:
        """Outputs and gradients of a pull-back in one dtype, handed back in float64."""
        leaves = self.leaves if leaves is None else leaves
        cotangents = self.cotangents() if cotangents is None else cotangents
        with precision(dtype):
            outputs, gradients = pull(cast(dtype, leaves), cotangents)
            return as_float64(outputs), as_float64(gradients)

    def cotangents(self, stream: int = 0) -> Arrays:
        """A random cotangent for each floating point output: multiples of 1/8, exact in every dtype, none of them 0."""
        rng = self.rng(1, stream)
        return tuple(_eighths(rng, out.shape) for out in self.outputs if is_real(out))

    def rng(self, *stream: int) -> np.random.Generator:
        """Random numbers, the same at every run; each check has a stream of its own."""
        return np.random.default_rng((self.seed, *stream))

    def name(self, position: int) -> str:
        """The name of the leaf that the gradient at this position belongs to."""
        return self.names[self.wrt[position]]


def _eighths(rng, shape):
    eighths = np.round(8 * rng.normal(size=shape))
    return np.where(eighths == 0, 1, eighths) / 8
