"""Solvers, and functions of sorted or normalised input: right ones pass, their wrong twins do not."""

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from tests.proof.ruled import ruled

X = jax.random.normal(jax.random.key(0), (4, 3))
FAST = ("float64", "float32")


def _bisected(a):
    """√a between 0 and 64 by bisection: JAX has a gradient of it, and that is 0."""

    def step(_, ends):
        low, high = ends
        middle = (low + high) / 2
        return jnp.where(middle * middle < a, middle, low), jnp.where(middle * middle < a, high, middle)

    low, high = jax.lax.fori_loop(0, 70, step, (jnp.zeros_like(a), jnp.full_like(a, 64)))
    return (low + high) / 2


def _implicit(share):
    """Its forward half calls the rule itself, so that it has a second derivative."""

    def fwd(a):
        y = root(a)
        return y, y

    root = ruled(_bisected, fwd, lambda y, u: (share * u / (2 * y),))
    return root


@pytest.mark.parametrize("reference", [None, jnp.sqrt])
def test_an_implicit_rule_over_a_bisection(reference):
    options = {
        "dtypes": FAST,
        "domain": lambda x: 1 + x * x,
        "only": ["gradient", "finite differences", "second order"],
    }
    right = jb.check(_implicit(1), X, reference=reference, **options)
    assert right.passed
    assert ("finite differences contradict it" in str(right)) == (reference is None)
    with pytest.raises(jb.GradientError, match="gradient of "):
        jb.check(_implicit(1.001), X, reference=reference, **options)


def _widths(x):
    """Of the gaps of sorted numbers."""
    return jnp.log(x[..., 1:] - x[..., :-1])


def _of_gaps(sign):
    def bwd(x, u):
        du = u / (x[..., 1:] - x[..., :-1])
        nothing = jnp.zeros_like(du[..., :1])
        return (jnp.concatenate([nothing, du], -1) + sign * jnp.concatenate([du, nothing], -1),)

    return ruled(_widths, lambda x: (_widths(x), x), bwd)


def test_a_domain_of_sorted_numbers():
    options = {"domain": lambda x: jnp.cumsum(jnp.exp(x), axis=-1), "dtypes": FAST}
    assert jb.check(_of_gaps(-1), X, **options).passed
    with pytest.raises(jb.GradientError, match="gradient of x"):
        jb.check(_of_gaps(1), X, **options)


def _surprise(p):
    return -jnp.sum(p * jnp.log(p), axis=-1)


def _of_probabilities(constant):
    """On the simplex a constant makes no difference, and off it it does."""

    def bwd(p, u):
        return (-u[..., None] * (jnp.log(p) + constant),)

    return ruled(_surprise, lambda p: (_surprise(p), p), bwd)


def test_a_domain_of_normalised_numbers():
    """A rule for numbers of sum 1 alone is right there."""
    checks = {"dtypes": FAST, "only": ["gradient", "finite differences", "special inputs"]}
    assert jb.check(_of_probabilities(0), X, domain=jax.nn.softmax, **checks).passed
    with pytest.raises(jb.GradientError, match="gradient of p"):
        jb.check(_of_probabilities(0), jax.nn.softmax(X), **checks)
