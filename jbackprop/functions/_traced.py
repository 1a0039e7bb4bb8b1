"""What a computation is judged by, read off its jaxpr: the length of its sums, its dtypes, and random numbers."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ._jaxprs import CUSTOM_JVP, CUSTOM_VJP, every_equation, holds, inner_jaxprs, needed, opened_jaxpr

LINEAR_ALGEBRA = {
    "cholesky",
    "cholesky_update",
    "eig",
    "eigh",
    "fft",
    "geqrf",
    "householder_product",
    "lu",
    "qr",
    "schur",
    "svd",
    "triangular_solve",
    "tridiagonal_solve",
}
"""Primitives that sum along the axes of a matrix, out of sight."""


def longest_sum(function: Callable, *args: Any) -> int:
    """The number of terms in the longest sum that function(*args) forms, at least 1."""
    return _of_jaxpr(jax.make_jaxpr(function)(*args))


def computed_in(function: Callable, *args: Any) -> str:
    """The coarsest floating point dtype that function(*args) rounds anything finer to; float64 if it never does.

    `jax.nn.dot_product_attention` takes float64 and computes its softmax in float32: no gradient of it can be better.
    What no output depends on does not count.
    """
    equations = every_equation(needed(jax.make_jaxpr(function)(*args))[0])
    single = (equation for equation in equations if not any(inner_jaxprs(equation)))
    rounded_to = [dtype for equation in single for dtype in _rounded_to(equation)]
    return max(rounded_to, key=_spacing, default="float64")


def arrays_that_matter(function: Callable, *args: Any) -> tuple[bool, ...]:
    """Of each array among the arguments, whether an output of floating point depends on it."""
    return tuple(needed(jax.make_jaxpr(function)(*args))[1])


def draws_random_numbers(function: Callable, *args: Any) -> bool:
    """Whether function(*args) draws random numbers: then it draws other ones in another dtype."""
    return holds(jax.make_jaxpr(function)(*args), _RANDOM)


def stops_gradients(function: Callable, *args: Any) -> bool:
    """Whether function(*args) calls `jax.lax.stop_gradient`."""
    return holds(jax.make_jaxpr(function)(*args), {"stop_gradient"})


def count_rules(function: Callable, *args: Any, custom_jvp: bool = False) -> int:
    """How many calls of a function with a hand-written rule stand in function(*args), at any depth.

    Args:
      function: of arrays.
      args: its arguments, or the `jax.ShapeDtypeStruct` of them.
      custom_jvp: count the rules of `jax.custom_jvp` too, and not those of `jax.custom_vjp` alone.
    """
    counted = {CUSTOM_VJP, CUSTOM_JVP} if custom_jvp else {CUSTOM_VJP}
    return sum(equation.primitive.name in counted for equation in every_equation(jax.make_jaxpr(function)(*args)))


_RANDOM = {"random_bits", "random_gamma", "rng_bit_generator", "rng_uniform", "threefry2x32"}


def _rounded_to(equation) -> Iterator[str]:
    inputs = [dtype for atom in equation.invars if (dtype := _floating(atom))]
    finest = min(map(_spacing, inputs), default=math.inf)
    return (dtype for atom in equation.outvars if (dtype := _floating(atom)) and _spacing(dtype) > finest)


def _floating(atom):
    dtype = getattr(atom.aval, "dtype", None)
    return str(dtype) if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else ""


def _spacing(dtype):
    return float(jnp.finfo(dtype).eps)


def _of_jaxpr(jaxpr):
    return max(map(_of_equation, opened_jaxpr(jaxpr)[0].eqns), default=1)


def _of_equation(equation):
    inside = max(map(_of_jaxpr, inner_jaxprs(equation)), default=1)
    return max(1, _own(equation), inside * equation.params.get("length", 1))  # a scan may carry a sum along


def _own(equation):
    name, params = equation.primitive.name, equation.params
    first, *rest = [_shape(atom) for atom in equation.invars] or [()]
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return math.prod(first[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return math.prod(rest[0]) // max(1, rest[0][params["dimension_numbers"].rhs_spec[0]])
    if name.startswith("reduce_window") or name.startswith("select_and"):
        return math.prod(params.get("window_dimensions", ()))
    if name.startswith(("reduce", "cum", "psum")):
        return _reduced(first, params)
    if name.startswith("scatter"):
        return math.prod(rest[1])
    return max(first, default=1) if name in LINEAR_ALGEBRA else 1


def _reduced(shape, params):
    axes = params.get("axes", (params["axis"],) if "axis" in params else ())
    return math.prod(shape[axis] for axis in axes if isinstance(axis, int))


def _shape(atom):
    return getattr(atom.aval, "shape", ())
