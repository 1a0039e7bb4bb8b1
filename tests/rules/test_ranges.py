"""Sums of squares of numbers whose squares float32 does not hold: each rule there against itself in float64."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules

SIZES = (3e19, 1e20, 1.0, 1e-20, 1e-25)
LABELS = jnp.array([0, 1, 0, 1, 1])


@functools.cache
def _value_and_gradients(rule):
    """Compiled once for all sizes of numbers."""

    @jax.jit
    def compiled(arrays, cotangents):
        out, pull = jax.vjp(rule, *arrays)
        return out, pull(cotangents.astype(out.dtype))

    return compiled


def _agree_with_float64(rule, arrays):
    cotangents = np.random.default_rng(1).normal(size=jax.eval_shape(rule, *arrays).shape)
    with jax.enable_x64(True):
        wanted = _value_and_gradients(rule)([a.astype(np.float64) for a in arrays], cotangents)
    got = _value_and_gradients(rule)(arrays, cotangents)
    for single, double in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        smallest = float(jnp.finfo(jnp.float32).tiny)  # below, XLA on a CPU has 0
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=max(1e-6 * np.abs(double).max(), smallest))


def _normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


OF_ONE = {
    **{f"layer_norm, eps {eps}": partial(rules.layer_norm, eps=eps) for eps in (1e-3, 1e-5, 1e-8, 1e-12, 0.0)},
    "rms_norm": rules.rms_norm,
    "rms_norm, eps 0": partial(rules.rms_norm, eps=0.0),
    "group_norm": partial(rules.group_norm, groups=2, spatial=0),
    "instance_norm": partial(rules.instance_norm, spatial=1, eps=0.0),
    "batch_norm": lambda x: rules.batch_norm(x)[0],
    "batch_norm, keeps the output": lambda x: rules.batch_norm(x, eps=0.0, keep="output")[0],
    "nt_xent": lambda x: rules.nt_xent(x, LABELS),
    "squareplus": rules.squareplus,
    "clip_gradient_norm": lambda x: rules.clip_gradient_norm(x, 1e-3),
}
OF_SEVERAL = {
    "cosine_similarity": (rules.cosine_similarity, 2),
    "cosine_similarity, epsilon": (partial(rules.cosine_similarity, epsilon=1e-8), 2),
    "cosine_distance": (rules.cosine_distance, 2),
    "triplet": (partial(rules.triplet, margin=0.0, eps=0.0), 3),
    "triplet, epsilon": (partial(rules.triplet, margin=0.0), 3),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule", OF_ONE.values(), ids=OF_ONE)
def test_of_one_array(rule, size):
    _agree_with_float64(rule, [_normal(5, 6) * np.float32(size)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("rule", "count"), OF_SEVERAL.values(), ids=OF_SEVERAL)
def test_of_several_arrays(rule, count, size):
    _agree_with_float64(rule, list(_normal(count, 5, 6) * np.float32(size)))


@pytest.mark.parametrize("size", [3e19, 1e-20])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_norm_of_a_clipped_gradient(size, dtype):
    gradient = jnp.array([3, 4], dtype) * jnp.array(size, dtype)
    (clipped,) = jax.vjp(lambda x: rules.clip_gradient_norm(x, size), jnp.ones(2, dtype))[1](gradient)
    np.testing.assert_allclose(clipped.astype("float32") / size, [0.6, 0.8], rtol=1e-2 if dtype == "bfloat16" else 1e-6)


def test_a_gradient_within_the_limit_passes_as_it_is():
    gradient = jnp.array([3e-30, 0, 4e-30])
    (clipped,) = jax.vjp(lambda x: rules.clip_gradient_norm(x, 1.0), jnp.ones(3))[1](gradient)
    assert clipped.tolist() == gradient.tolist()
