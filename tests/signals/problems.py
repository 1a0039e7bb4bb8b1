"""Layers and networks to measure, and the gradients of their examples by JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jbackprop as jb
from jbackprop.cases import LAYERS, NETWORKS

EXAMPLES = 8
EVERY = [
    case
    for case in (*LAYERS, *NETWORKS)
    if not case.draws and jax.tree.leaves(case.layer.init(jax.random.key(0), case.shape)[0])
]
"""The cases with parameters; of dropout, one example's mask is another one than that of the batch."""


def problem(case):
    """Parameters that are all off their special values, inputs, and a random cotangent."""
    params, _ = case.layer.init(jax.random.key(0), case.shape)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(p.size), p.shape), params)
    x = case.inputs(jax.random.key(1), EXAMPLES, jnp.float64)
    y = jax.eval_shape(lambda params, x: case.layer.forward(params, x)[0], params, x)
    return params, x, jax.tree.map(lambda out: jax.random.normal(jax.random.key(out.size), out.shape), y)


def inner(output, dy):
    """⟨output_i, dy_i⟩ of each example: a loss whose gradient is dy."""
    pairs = zip(jax.tree.leaves(output), jax.tree.leaves(dy), strict=True)
    return functools.reduce(jnp.add, [(a * b).reshape(len(a), -1).sum(1) for a, b in pairs])


def each_gradient(layer, params, x, y, loss=inner):
    """(examples, …): by JAX, one example at a time."""

    def cost(params, x, y):
        x, y = jax.tree.map(lambda leaf: leaf[None], (x, y))
        return jb.automatic(lambda p, x: loss(layer.forward(p, x)[0], y))(params, x)[0]

    return jax.jit(jax.vmap(jax.grad(cost), in_axes=(None, 0, 0)))(params, x, y)


def in_rows(gradients):
    """(examples, numbers): all that an example has, in a row."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(gradients)], axis=1)


def assert_close(got, wanted, rounding=1e-11):
    """Equal but for a share of the largest entry."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rounding * np.abs(wanted).max())


def draw(*shape):
    """Normal numbers."""
    return jax.random.normal(jax.random.key(sum(shape)), shape)
