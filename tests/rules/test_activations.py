"""Activations at their kinks, at their ends, and with arguments that they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


@pytest.mark.parametrize(
    ("rule", "kinks", "slopes"),
    [
        (rules.relu6, (0.0, 6.0), (0, 0)),
        (rules.hard_tanh, (-1.0, 1.0), (0, 0)),
        (rules.hard_sigmoid, (-3.0, 3.0), (0, 0)),
        (rules.hard_silu, (-3.0, 3.0), (0, 1)),
        (rules.sparse_plus, (-1.0, 1.0), (0, 1)),
        (rules.sparse_sigmoid, (-1.0, 1.0), (0, 0)),
        (rules.celu, (0.0,), (1,)),
    ],
)
def test_slope_at_the_kinks(rule, kinks, slopes):
    assert jax.vmap(jax.grad(rule))(jnp.array(kinks)).tolist() == list(slopes)


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    [
        (rules.mish, 0, 1),
        (rules.squareplus, 0, 1),
        (rules.celu, 0, 1),
        (rules.log_sigmoid, 1, 0),
        (rules.soft_sign, 0, 0),
    ],
)
def test_slope_far_out(rule, low, high):
    slopes = jax.vmap(jax.grad(rule))(jnp.array([-1e18, 1e18]))
    np.testing.assert_allclose(slopes, [low, high], atol=1e-12)


def test_squareplus_does_not_cancel():
    np.testing.assert_allclose(rules.squareplus(jnp.float32(-1e6)), 1e-6, rtol=1e-6)


def test_mish_is_smooth_at_zero():
    second = jax.grad(jax.grad(rules.mish))
    np.testing.assert_allclose(second(0.0), second(1e-4), rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rules.celu(jnp.ones(3), 0.0), ValueError, "celu: alpha, wanted a positive number, got 0.0"),
        (lambda: rules.squareplus(jnp.ones(3), -1.0), ValueError, "squareplus: b, wanted a positive number"),
        (lambda: rules.sigmoid(jnp.arange(3)), TypeError, "sigmoid: x, wanted a floating point array, got int32"),
        (lambda: rules.relu6(jnp.ones(3) * 1j), TypeError, "relu6: x, wanted real numbers, got complex64"),
        (lambda: rules.relu(jnp.ones(3) * 1j), TypeError, "relu: x, wanted real numbers, got complex64"),
        (lambda: rules.prelu(jnp.ones((2, 3)), jnp.ones(2)), ValueError, r"prelu: slope, wanted shape \(\) or \(3,\)"),
        (lambda: rules.prelu(jnp.ones((2, 3)), jnp.arange(3)), TypeError, "prelu: slope, wanted a floating"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
