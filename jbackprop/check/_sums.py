"""How many terms the longest sum of a computation has, read off its jaxpr: rounding grows with its square root."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
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


def _of_jaxpr(jaxpr):
    jaxpr = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    return max(map(_of_equation, jaxpr.eqns), default=1)


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
