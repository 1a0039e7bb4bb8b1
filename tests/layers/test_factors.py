"""A layer names its gradients, the caller says what the names mean: other quantities from one backward pass.

The reference is `vmap(jax.grad)`, one example at a time, with every rule removed.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.layers import Outer, Summed
from tests.problems import draw

M, T, N_IN, HIDDEN, N_OUT = 7, 4, 6, 5, 3

pytestmark = pytest.mark.usefixtures("float64")


per_example = jax.vmap(layers.total)


def squared_norm(factored):
    """‖∂C_i/∂p‖² of each example i, without its gradient; s t positions.

    Σ_st (a_is · a_it) (δ_is · δ_it) of a weight, ‖Σ_t δ_it‖² of a bias.
    """
    if isinstance(factored, Summed):
        return jnp.square(per_example(factored)).sum(axis=-1)
    a, delta = (leaf.reshape(len(leaf), -1, leaf.shape[-1]) for leaf in (factored.a, factored.delta))
    return jnp.einsum("isn,itn,iso,ito->i", a, a, delta, delta)


def weighted(weights, factored):
    """Σ_i weights_i ∂C_i/∂W, the sum of private training when the weights clip."""
    times = weights.reshape(-1, *[1] * (factored.delta.ndim - 1))
    return layers.total(dataclasses.replace(factored, delta=factored.delta * times))


def network():
    return layers.chain(layers.linear(HIDDEN), layers.tanh(), layers.chain(layers.linear(N_OUT, bias=False)))


@pytest.fixture(params=[(), (T,)], ids=["rows", "rows of positions"])
def backward_pass(request):
    """`gradient` as a function of the quantity alone, and the examples' gradients.  C_i is a sum over positions."""
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
    assert_close(gradient(squared_norm), norms(each))


def test_clipped_sum_without_a_second_backward_pass(backward_pass):
    gradient, each = backward_pass
    lengths = jnp.sqrt(sum(jax.tree.leaves(gradient(squared_norm))))
    limit = jnp.median(lengths)
    clipped = gradient(functools.partial(weighted, jnp.minimum(1, limit / lengths)))
    factors = jnp.minimum(1, limit / jnp.sqrt(sum(jax.tree.leaves(norms(each)))))
    assert 0 < (factors < 1).sum() < M
    assert_close(clipped, jax.tree.map(lambda g: jnp.einsum("i,i...->...", factors, g), each))


def test_kronecker_factors():
    """A quantity may be any tree: here (Σ aᵀa, Σ δᵀδ)."""
    x, delta = draw(M, N_IN), draw(M, N_OUT)
    layer = layers.linear(N_OUT)
    params, _ = layer.init(jax.random.key(0), (N_IN,))
    _, cache = layer.forward(params, x)

    def factors(factored):
        if isinstance(factored, Outer):
            return Outer(factored.a, factored.a).total(), Outer(factored.delta, factored.delta).total()
        return ()

    got = layer.gradient(params, cache, delta, factors)
    assert_close(
        got["w"], (jnp.asarray(np.einsum("im,in->mn", x, x)), jnp.asarray(np.einsum("io,ip->op", delta, delta)))
    )


def test_factors_are_values():
    """They leave a compiled function, and are contracted in another."""
    net = network()
    params, _ = net.init(jax.random.key(0), (N_IN,))
    x, y = draw(M, N_IN), draw(M, N_OUT)

    @jax.jit
    def factors(params):
        output, cache = net.forward(params, x)
        return net.factors(params, cache, net.backward(params, cache, output - y)[1])

    got = jax.jit(functools.partial(jax.tree.map, layers.total, is_leaf=layers.is_factored))(factors(params))
    wanted = jax.grad(lambda params: rules.squared_error(net.apply(params, x), y).sum())(params)
    assert_close(got, wanted)


def test_a_tied_table_keeps_its_cross_terms():
    """The gradient of a shared parameter is the sum of its uses', and its norm is not the sum of their norms."""
    net = layers.shared(
        layers.chain(layers.embedding(9, N_IN), layers.tanh(), layers.linear(9, bias=False)), ("0.table", "2.w.T")
    )
    params, _ = net.init(jax.random.key(0), (T,))
    ids, y = jnp.asarray(np.random.default_rng(3).integers(9, size=(M, T))), draw(M, T, 9)
    output, cache = net.forward(params, ids)
    _, deltas = net.backward(params, cache, output - y)
    table = net.factors(params, cache, deltas)[0]["table"]
    each = per_example(table)
    parts = [per_example(factor) for factor in table.factors]
    np.testing.assert_allclose(each, sum(parts), rtol=1e-12)
    cross = 2 * (parts[0] * parts[1]).sum(axis=(1, 2))
    squares = [jnp.square(part).sum(axis=(1, 2)) for part in parts]
    np.testing.assert_allclose(jnp.square(each).sum(axis=(1, 2)), sum(squares) + cross, rtol=1e-12)
    assert np.abs(cross).min() > 0
