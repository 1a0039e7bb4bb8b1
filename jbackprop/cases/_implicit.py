"""Cases of the implicit rules, against the inverse, and against an iteration that is differentiated step by step."""

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


def _solve(a, b):
    """By the inverse, b's columns last."""
    inverse = jnp.linalg.inv(a)
    return (inverse @ b[..., None])[..., 0] if b.ndim < a.ndim else inverse @ b


def _regular(n, *batch):
    """Matrices that are well conditioned, unsymmetric."""
    return lambda key, dtype: (jax.random.normal(key, (*batch, n, n)) + 4 * jnp.eye(n)).astype(dtype)


def _layer(params, z):
    w, x = params
    return 0.25 * jnp.tanh(z @ w) + x


def _pair(params, z):
    """A tree of two, each of which the other one enters."""
    first, second = z
    return 0.25 * jnp.cos(second) * params, 0.25 * jnp.sin(first) + params


def _found(w, x, z0):
    return rules.fixed_point(_layer, (w, x), z0, max_iterations=64)


def _found_pair(params, *z0):
    return rules.fixed_point(_pair, params, z0, max_iterations=64)


def _unrolled(f, params, z0):
    held = jax.lax.stop_gradient(z0)
    return jax.lax.scan(lambda z, _: (f(params, z), None), held, length=100)[0]


IMPLICIT = (
    Case(
        "linear_solve",
        rules.linear_solve,
        _solve,
        (_regular(4, 3), normal(3, 4)),
        ("float32[3,4,4]", "int32[3,4]", "float32[3,4,1]", "float32[0,3,4,4]", "float32[0,3,4]"),
        (_regular(64, 32), normal(32, 64)),
    ),
    Case(
        "linear_solve, columns, no batch axis",
        rules.linear_solve,
        _solve,
        (_regular(4), normal(4, 2)),
        ("float32[4,4]", "int32[4]", "float32[4,2]", "float32[0,4,4]", "float32[0,4,2]"),
        (_regular(512), normal(512, 32)),
    ),
    Case(
        "linear_solve, columns, two batch axes",
        rules.linear_solve,
        _solve,
        (_regular(4, 3, 2), normal(3, 2, 4, 5)),
        ("float32[3,2,4,4]", "int32[3,2,4]", "float32[3,2,4,5]", "float32[0,3,2,4,4]", "float32[0,3,2,4,5]"),
        variant_of="linear_solve, columns, no batch axis",
    ),
    Case(
        "fixed_point",
        _found,
        lambda w, x, z0: _unrolled(_layer, (w, x), z0),
        (normal(3, 3), normal(5, 3), normal(5, 3)),
        ("float32[3,3]", "float32[5,3]", "float32[5,3]"),
        (lambda key, dtype: normal(256, 256)(key, dtype) / 16, normal(512, 256), normal(512, 256)),
    ),
    Case(
        "fixed_point, a tree",
        _found_pair,
        lambda params, *z0: _unrolled(_pair, params, z0),
        (normal(5), normal(5), normal(5)),
        ("float32[5]", "float32[5]", "float32[5]"),
    ),
)
