"""Dropout: keys of both styles, the ends of the rate, the expectation, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


def test_both_styles_of_key_give_one_mask():
    key, x = jax.random.key(3), jnp.ones((5, 7))
    new, old = (jax.grad(lambda x, k=k: rules.dropout(k, x, 0.3).sum())(x) for k in (key, jax.random.key_data(key)))
    assert (new == old).all()
    assert (new == rules.dropout(key, x, 0.3)).all()


def test_expectation_is_the_input():
    y = rules.dropout(jax.random.key(0), jnp.ones(100_000), 0.3)
    np.testing.assert_allclose(y.mean(), 1, atol=0.01)
    np.testing.assert_allclose((y == 0).mean(), 0.3, atol=0.01)


def test_ends_of_the_rate():
    x, key = jnp.array([1.0, jnp.inf, jnp.nan]), jax.random.key(0)
    np.testing.assert_array_equal(rules.dropout(key, x, 0.0), x)
    np.testing.assert_array_equal(rules.dropout(key, x, 1.0), jnp.zeros(3))


def test_bad_input():
    with pytest.raises(ValueError, match=r"dropout: rate, wanted a number in \[0, 1\], got 1.5"):
        rules.dropout(jax.random.key(0), jnp.ones(3), 1.5)
    with pytest.raises(TypeError, match="dropout: x, wanted a floating point array"):
        rules.dropout(jax.random.key(0), jnp.arange(3), 0.5)
