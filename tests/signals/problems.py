"""Layers and networks to measure, and the gradients of their examples by JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jbackprop as jb
from jbackprop.cases import LAYERS, NETWORKS
from tests import problems

EXAMPLES = 8
EVERY = [case for case in (*LAYERS, *NETWORKS) if not case.draws and problems.has_parameters(case)]
"""The cases with parameters; of dropout, one example's mask is another one than that of the batch."""


def problem(case):
    return problems.problem(case, EXAMPLES)


def inner(output, dy):
    """⟨output_i, dy_i⟩ of each example: a loss whose gradient is dy."""
    pairs = zip(jax.tree.leaves(output), jax.tree.leaves(dy), strict=True)
    return functools.reduce(jnp.add, [(a * b).reshape(len(a), -1).sum(1) for a, b in pairs])


def each_gradient(layer, params, x, y, loss=inner):
    """(examples, …): by JAX, one example at a time."""
    return jax.device_get(jax.jit(automatic_gradients(layer, loss))(params, x, y))


def automatic_gradients(layer, loss=inner):
    """(params, x, y) -> the gradients of the examples."""

    def cost(params, x, y):
        x, y = jax.tree.map(lambda leaf: leaf[None], (x, y))
        return jb.automatic(lambda p, x: loss(layer.forward(p, x)[0], y))(params, x)[0]

    return jax.vmap(jax.grad(cost), in_axes=(None, 0, 0))


def factors_of(layer, params, x, dy):
    _, cache = layer.forward(params, x)
    return layer.factors(params, cache, layer.backward(params, cache, dy)[1])


def in_rows(gradients):
    """(examples, numbers): all that an example has, in a row."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(gradients)], axis=1)


def assert_close(got, wanted, rounding=1e-11):
    """Equal but for a share of the largest entry."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rounding * np.abs(wanted).max())


def assert_trees_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * scale)


def weighted_sum(scales, gradients):
    return jax.tree.map(lambda g: np.einsum("i,i...->...", scales, g), gradients)


def clip(norms, longest):
    return longest / np.maximum(norms, longest)


def draw(*shape):
    """Normal numbers."""
    return jax.device_put(np.random.default_rng(sum(shape)).normal(size=shape))
