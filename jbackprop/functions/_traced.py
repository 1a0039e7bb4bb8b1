"""What a computation is judged by, read off its jaxpr: the length of its sums, its dtypes, and random numbers."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

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
    """
    equations = _every_equation(jax.make_jaxpr(function)(*args))
    rounded_to = [dtype for equation in equations for dtype in _rounded_to(equation)]
    return max(rounded_to, key=_spacing, default="float64")


def draws_random_numbers(function: Callable, *args: Any) -> bool:
    """Whether function(*args) draws random numbers: then it draws other ones in another dtype."""
    return any(equation.primitive.name in _RANDOM for equation in _every_equation(jax.make_jaxpr(function)(*args)))


def has_rules(function: Callable, *args: Any) -> bool:
    """Whether there is a hand-written rule anywhere in function(*args)."""
    text = str(jax.make_jaxpr(function)(*args))
    return any(rule in text for rule in ("custom_vjp_call", "custom_jvp_call"))


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


def _every_equation(jaxpr) -> Iterator[Any]:
    for equation in _opened(jaxpr).eqns:
        inner = list(_inner(equation.params))
        yield from itertools.chain(*map(_every_equation, inner)) if inner else [equation]


def _opened(jaxpr):
    return jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr


def _of_jaxpr(jaxpr):
    return max(map(_of_equation, _opened(jaxpr).eqns), default=1)


def _of_equation(equation):
    inside = max(map(_of_jaxpr, _inner(equation.params)), default=1)
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


def _inner(params) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, core.Jaxpr | core.ClosedJaxpr):
                yield item
