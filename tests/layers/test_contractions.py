"""A layer names its gradients, the caller says what the words mean: other quantities from one backward pass.

The reference is `vmap(jax.grad)`, one example at a time, with every rule removed.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.layers import Contraction, total

M, T, N_IN, HIDDEN, N_OUT = 7, 4, 6, 5, 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def draw(*shape):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape))


per_example = Contraction(outer=jax.vmap(total.outer), summed=jax.vmap(total.summed))
"""∂C_i/∂W for every example i: total, kept apart."""


def squared_norm_of_outer(a, delta):
    """‖a_iᵀ δ_i‖² = Σ_st (a_is · a_it) (δ_is · δ_it) without the product itself; i example, s t positions."""
    a, delta = (leaf.reshape(len(leaf), -1, leaf.shape[-1]) for leaf in (a, delta))
    return jnp.einsum("isn,itn,iso,ito->i", a, a, delta, delta)


def squared_norm_of_sum(delta):
    """‖Σ_t δ_it‖²."""
    return jnp.square(delta.reshape(len(delta), -1, delta.shape[-1]).sum(axis=1)).sum(axis=-1)


squared_norms = Contraction(squared_norm_of_outer, squared_norm_of_sum)


def weighted(weights):
    """Σ_i weights_i ∂C_i/∂W, the sum of private training when the weights clip."""

    def times(delta):
        return delta * weights.reshape(-1, *[1] * (delta.ndim - 1))

    return Contraction(lambda a, delta: total.outer(a, times(delta)), lambda delta: total.summed(times(delta)))


def second_moments(a, delta):
    """Σ_i (∂C_i/∂W)² for rows without positions: the squares of the factors."""
    return total.outer(a**2, delta**2)


def network():
    return layers.chain(layers.linear(HIDDEN), layers.tanh(), layers.chain(layers.linear(N_OUT, bias=False)))


@pytest.fixture(params=[(), (T,)], ids=["rows", "rows of positions"])
def backward_pass(request):
    """`gradient` as a function of the contraction alone, and the examples' gradients.  C_i is a sum over positions."""
    net = network()
    params = jax.tree.map(lambda p: p + draw(*p.shape), net.init(jax.random.key(0), (N_IN,))[0])
    x, y = draw(M, *request.param, N_IN), draw(M, *request.param, N_OUT)

    def cost(params, x, y):
        return rules.squared_error(net.apply(params, x[None]), y[None]).sum()

    output, cache = net.forward(params, x)
    _, deltas = net.backward(params, cache, output - y)
    each = jax.jit(jax.vmap(jax.grad(jb.automatic(cost)), in_axes=(None, 0, 0)))(params, x, y)
    return functools.partial(net.gradient, params, cache, deltas), each


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max()), got, wanted)


def norms(each):
    return jax.tree.map(lambda g: jnp.square(g).reshape(M, -1).sum(axis=1), each)


def test_total_is_the_sum_over_examples(backward_pass):
    gradient, each = backward_pass
    assert_close(gradient(), jax.tree.map(lambda g: g.sum(axis=0), each))


def test_per_example_gradients(backward_pass):
    gradient, each = backward_pass
    assert_close(gradient(per_example), each)


def test_per_example_squared_norms(backward_pass):
    gradient, each = backward_pass
    assert_close(gradient(squared_norms), norms(each))


def test_clipped_sum_without_a_second_backward_pass(backward_pass):
    gradient, each = backward_pass
    lengths = jnp.sqrt(sum(jax.tree.leaves(gradient(squared_norms))))
    limit = jnp.median(lengths)
    clipped = gradient(weighted(jnp.minimum(1, limit / lengths)))
    factors = jnp.minimum(1, limit / jnp.sqrt(sum(jax.tree.leaves(norms(each)))))
    assert 0 < (factors < 1).sum() < M
    assert_close(clipped, jax.tree.map(lambda g: jnp.einsum("i,i...->...", factors, g), each))


def test_second_moments():
    gradient = functools.partial(layers.linear(N_OUT).gradient, None, draw(M, N_IN), draw(M, N_OUT))
    got = gradient(Contraction(second_moments, lambda delta: total.summed(delta**2)))
    each = gradient(per_example)
    assert_close(got, jax.tree.map(lambda g: jnp.square(g).sum(axis=0), each))


def test_kronecker_factors():
    """A contraction may return any tree: here (Σ aᵀa, Σ δᵀδ)."""
    x, delta = draw(M, N_IN), draw(M, N_OUT)
    factors = Contraction(lambda a, delta: (total.outer(a, a), total.outer(delta, delta)), lambda delta: ())
    got = layers.linear(N_OUT).gradient(None, x, delta, factors)
    assert_close(
        got["w"], (jnp.asarray(np.einsum("im,in->mn", x, x)), jnp.asarray(np.einsum("io,ip->op", delta, delta)))
    )
