"""A network as it is used, against the same written out with the statistics that it is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers

M, N_IN, N = 6, 5, 4


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def draw(*shape):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape))


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


def test_a_normalisation_without_parameters():
    net = layers.batch_norm(scale=False, offset=False)
    params, statistics = trained(net)
    got = layers.evaluation(net).apply((params, statistics), draw(M, N_IN))
    np.testing.assert_allclose(got, normalised(draw(M, N_IN), statistics), rtol=0, atol=1e-12)
