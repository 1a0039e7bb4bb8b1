"""A network as it is used, against the same written out with the statistics that it is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules, signals
from tests.problems import draw

M, N_IN, N = 6, 5, 4

pytestmark = pytest.mark.usefixtures("float64")


def trained(net):
    """Parameters that are not where they start, and the statistics of a batch."""
    params, _ = net.init(jax.random.key(0), (N_IN,))
    params = jax.tree.map(lambda p: p + 0.3 * draw(*p.shape), params)
    _, cache = net.forward(params, 2 + draw(M, N_IN))
    return params, net.statistics(params, cache)


def normalised(x, statistics):
    return (x - statistics.mean) / jnp.sqrt(statistics.variance + 1e-5)


def test_tied_normalisations_have_statistics_of_their_own():
    norm = layers.batch_norm()
    net = layers.shared(layers.chain(layers.linear(N), norm, layers.linear(N), norm), ("1", "3"))
    params, statistics = trained(net)
    z = draw(M, N_IN)
    for linear, place in ((params[0], 1), (params[2], 3)):
        z = normalised(z @ linear["w"] + linear["b"], statistics[place])
        z = params[1]["scale"] * z + params[1]["offset"]
    got = layers.evaluation(net).apply((params, statistics), draw(M, N_IN))
    np.testing.assert_allclose(got, z, rtol=0, atol=1e-12)


def test_a_normalisation_tied_to_one_without_statistics():
    net = layers.shared(layers.chain(layers.layer_norm(), layers.batch_norm()), ("0", "1"))
    params, statistics = trained(net)
    z = normalised(layers.layer_norm().apply(params[0], draw(M, N_IN)), statistics[1])
    got = layers.evaluation(net).apply((params, statistics), draw(M, N_IN))
    np.testing.assert_allclose(got, params[0]["scale"] * z + params[0]["offset"], rtol=0, atol=1e-12)


def test_a_normalisation_without_parameters():
    net = layers.batch_norm(scale=False, offset=False)
    params, statistics = trained(net)
    got = layers.evaluation(net).apply((params, statistics), draw(M, N_IN))
    np.testing.assert_allclose(got, normalised(draw(M, N_IN), statistics), rtol=0, atol=1e-12)


NORM = layers.batch_norm()
PLAIN = layers.chain(layers.linear(N), NORM, layers.tanh(), layers.linear(3))
NETS = {
    "plain": PLAIN,
    "without parameters": layers.chain(layers.batch_norm(scale=False, offset=False), layers.linear(3)),
    "nothing to evaluate": layers.chain(layers.linear(3), layers.dropout(0.5)),
    "a stack": layers.chain(
        layers.linear(N), layers.stack(layers.residual(NORM, layers.linear(N)), 2), layers.linear(3)
    ),
    "tied": layers.shared(
        layers.chain(layers.linear(N), NORM, layers.tanh(), layers.linear(N), NORM, layers.linear(3)), ("1", "4")
    ),
}


def pretrained(net):
    """A trained network in evaluation, below another layer."""
    whole = layers.chain(layers.evaluation(net), layers.linear(3))
    head, _ = whole.parts[1].init(jax.random.key(1), (3,))
    return whole, (trained(net), head)


@pytest.fixture(params=NETS)
def evaluated(request):
    return pretrained(NETS[request.param])


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max()), got, wanted)


def test_gradients_are_those_of_autodiff(evaluated):
    net, params = evaluated
    x, y = draw(M, N_IN), draw(M, 3)
    cost, wanted, _ = jax.jit(jb.autodiff(net, rules.squared_error))(params, x, y)
    assert_close(jb.backprop(net, rules.squared_error)(params, x, y)[:2], (cost, wanted))
    applied = jax.grad(lambda params: rules.squared_error(net.apply(params, x), y).mean())(params)
    assert_close(applied, wanted)


def test_gradients_of_each_example(evaluated):
    net, params = evaluated
    x, y = draw(M, N_IN), draw(M, 3)
    factors = signals.factored_gradient(net, rules.squared_error)(params, x, y).factors
    plain = jb.automatic(lambda params, x, y: rules.squared_error(net.forward(params, x[None])[0], y[None]).sum())
    wanted = jax.jit(jax.vmap(jax.grad(plain), (None, 0, 0)))(params, x, y)
    assert_close(signals.per_example(factors), wanted)
    norms = jnp.sqrt(sum(jnp.square(g).reshape(M, -1).sum(1) for g in jax.tree.leaves(wanted)))
    got = signals.clipped_gradient(net, rules.squared_error, float(jnp.median(norms)))(params, x, y)
    shares = jnp.minimum(1, jnp.median(norms) / norms) / M
    assert_close((got.norms, got.gradients), (norms, jax.tree.map(lambda g: jnp.einsum("i,i...", shares, g), wanted)))


def test_curvature():
    net, params = pretrained(PLAIN)
    x, y, vector = draw(M, N_IN), draw(M, 3), jax.tree.map(lambda p: draw(*p.shape), params)
    given = rules.squared_error, params, x, y, vector
    gradient = jax.grad(lambda params: jb.autodiff(net, rules.squared_error)(params, x, y)[0])
    assert_close(signals.hessian_vector_product(net, *given), jax.jvp(gradient, (params,), (vector,))[1])
    plain = jb.automatic(lambda params: net.forward(params, x)[0])
    moved = jax.jvp(plain, (params,), (vector,))[1]
    assert_close(signals.ggn_vector_product(net, *given), jax.vjp(plain, params)[1](moved / M)[0])
