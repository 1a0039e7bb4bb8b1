"""Something to try a layer on, drawn by NumPy: what JAX draws takes a program for each shape."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.cases import LayerCase


@functools.cache
def shapes(case: LayerCase):
    """What `init` returns, no more than the shapes of the parameters."""
    out_shape = None

    def init():
        nonlocal out_shape
        params, out_shape = case.layer.init(jax.random.key(0), case.shape)
        return params

    return jax.eval_shape(init), out_shape


def has_parameters(case: LayerCase) -> bool:
    return bool(jax.tree.leaves(shapes(case)[0]))


def problem(case: LayerCase, examples: int):
    """Parameters that are all off their special values, inputs, and a random cotangent, in float64."""
    rng = np.random.default_rng(0)
    params = parameters(shapes(case)[0])
    x = case.inputs(1, examples, jnp.float64)
    y = jax.eval_shape(lambda params, x: case.layer.forward(params, x)[0], params, x)
    return params, x, jax.tree.map(lambda out: jax.device_put(rng.normal(size=out.shape)), y)


def draw(*shape: int) -> jax.Array:
    """Normal numbers, the same of a shape whenever it is asked for."""
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape))


def parameters(shaped):
    """Generic ones of these shapes: a weight keeps the size of what it is given, a scale and an offset are near 1."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda param: _parameter(rng, param.shape), shaped)


def _parameter(rng, shape):
    numbers = rng.normal(size=shape)
    return jax.device_put(numbers / math.sqrt(math.prod(shape[:-1])) if len(shape) > 1 else 1 + 0.1 * numbers)
