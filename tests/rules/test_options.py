"""Options that are numbers: traced under jit they are what they are as constants, and they have their gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules

X, Y, Z = (jax.random.normal(jax.random.key(seed), (4, 7)) for seed in range(3))
LABELS, CLASSES = (X > 0).astype(jnp.float32), jnp.array([1, 0, 6, 2])
SOFT = jax.nn.softmax(Y)


def _smoothed(labels, **options):
    return lambda x, number: rules.softmax_cross_entropy(x, labels, label_smoothing=number, **options)


WEIGHTED = {"weights": jnp.arange(1.0, 8), "where": jnp.array([True, False, True, True])}
TRACED = {
    "huber, delta": (lambda x, number: rules.huber(x, Y, number), 0.7),
    "sigmoid_focal, alpha": (lambda x, number: rules.sigmoid_focal(x, LABELS, alpha=number), 0.3),
    "sigmoid_focal, gamma": (lambda x, number: rules.sigmoid_focal(x, SOFT, 0.25, number), 1.5),
    "triplet, margin": (lambda x, number: rules.triplet(x, Y, Z, number), 0.8),
    "triplet, epsilon": (lambda x, number: rules.triplet(x, Y, Z, epsilon=number), 0.1),
    "cosine_similarity, epsilon": (lambda x, number: rules.cosine_similarity(x, Y, number), 6.0),
    "cosine_distance, epsilon": (lambda x, number: rules.cosine_distance(x, Y, number), 6.0),
    "nt_xent, temperature": (lambda x, number: rules.nt_xent(x, jnp.array([0, 1, 1, 0]), number), 0.5),
    "label_smoothing": (_smoothed(CLASSES), 0.1),
    "label_smoothing, none": (_smoothed(CLASSES), 0.0),
    "label_smoothing, soft labels": (_smoothed(SOFT), 0.1),
    "label_smoothing, weights": (_smoothed(CLASSES, **WEIGHTED), 0.2),
    "z_loss": (lambda x, number: rules.softmax_cross_entropy(x, CLASSES, ignore_index=6, z_loss=number), 1e-2),
    "z_loss, none": (lambda x, number: rules.softmax_cross_entropy(x, CLASSES, z_loss=number), 0.0),
}
each_option = pytest.mark.parametrize(("rule", "number"), TRACED.values(), ids=TRACED)


def _value_and_gradients(rule, x, number):
    out, pull = jax.vjp(rule, x, number)
    return out, pull(jnp.cos(jnp.arange(out.size)).reshape(out.shape))


@each_option
def test_traced_it_is_what_it_is_as_a_constant(rule, number):
    wanted = jax.jit(lambda x: (rule(x, number), jax.grad(lambda x: rule(x, number).sum())(x)))(X)
    got = jax.jit(lambda x, n: (rule(x, n), jax.grad(lambda x: rule(x, n).sum())(x)))(X, number)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), got, wanted)


@each_option
def test_it_has_the_gradient_of_autodiff(rule, number):
    got, wanted = (_value_and_gradients(f, X, jnp.float32(number)) for f in (rule, jb.automatic(rule)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, wanted)
    assert got[1][1] != 0


@each_option
def test_it_may_differ_from_example_to_example(rule, number):
    numbers = jnp.array([number, number + 0.1])
    got = jax.vmap(rule, (None, 0))(X, numbers)
    for out, one in zip(got, numbers, strict=True):
        np.testing.assert_allclose(out, rule(X, one.item()), rtol=1e-5, atol=1e-6)


@each_option
def test_a_constant_in_half_precision_keeps_the_dtype(rule, number):
    half = X.astype(jnp.bfloat16)
    assert jax.jit(lambda x: rule(x, number))(half).dtype in (jnp.bfloat16, jnp.float32)
    assert jax.grad(lambda x: rule(x, number).sum().astype(jnp.float32))(half).dtype == jnp.bfloat16
