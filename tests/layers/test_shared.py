"""Ties within ties, against the same network with every use written out; and ties that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules, signals
from tests.problems import draw

M, N = 6, 4
LINEAR = layers.linear(N)

pytestmark = pytest.mark.usefixtures("float64")


def tied(*ties):
    return layers.shared(layers.chain(LINEAR, layers.tanh(), LINEAR), *ties)


INNER = tied(("0.w", "2.w.T"))
NESTED = {
    "beside": (layers.shared(layers.chain(INNER, LINEAR), ("0.0.w", "1.w")), 4),
    "its owner elsewhere": (layers.shared(layers.chain(LINEAR, INNER), ("0.w", "1.0.w")), 4),
    "whole": (layers.shared(layers.chain(INNER, layers.tanh(), INNER), ("0", "2")), 3),
    "a stack": (layers.shared(layers.chain(layers.stack(INNER, 2), layers.stack(INNER, 2)), ("0.0.b", "1.2.b")), 5),
}


@pytest.mark.parametrize("name", NESTED)
def test_ties_within_ties(name):
    net, count = NESTED[name]
    params, _ = net.init(jax.random.key(0), (N,))
    assert len(jax.tree.leaves(params)) == count
    params = jax.tree.map(lambda p: p + 0.1, params)
    x, y = draw(M, N), draw(M, N)
    wanted = jax.jit(jb.autodiff(net, rules.squared_error))(params, x, y)[:2]
    assert_close(jb.backprop(net, rules.squared_error)(params, x, y)[:2], wanted)
    factors = signals.factored_gradient(net, rules.squared_error)(params, x, y).factors
    assert_close(jax.tree.map(lambda g: g.mean(0), signals.per_example(factors)), wanted[1])


def test_a_tie_within_a_tie_is_one_parameter():
    net, _ = NESTED["whole"]
    (params, *_), _ = net.init(jax.random.key(0), (N,))
    w, (a, b) = params[0]["w"], (params[0]["b"], params[2]["b"])
    x = draw(M, N)
    half = jnp.tanh(jnp.tanh(x @ w + a) @ w.T + b)
    nothing = jax.tree.map(lambda _: None, params)
    assert_close(net.apply((params, (), nothing), x), jnp.tanh(half @ w + a) @ w.T + b)


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max()), got, wanted)


REFUSED = {
    "a first place that is none": (tied(("7.w", "0.w")), r"wanted places among 0\.b, 0\.w, 2\.b, 2\.w, got '7\.w'"),
    "a first place that is transposed": (tied(("2.w.T", "0.w")), r"wanted places among .*, got '2\.w\.T'"),
    "a part and a parameter": (tied(("0", "2.w")), "wanted places among .*, got '0'"),
    "a place with itself": (tied(("0.w", "0.w")), r"wanted each place once, .*, got 0\.w again"),
    "a place twice": (tied(("0.w", "2.w", "2.w.T")), r"wanted each place once, .*, got 2\.w again"),
    "a group after another": (
        layers.shared(layers.chain(LINEAR, LINEAR, LINEAR), ("0.w", "1.w"), ("1.w", "2.w")),
        r"wanted each place once, or as the first of each group, got 1\.w again",
    ),
    "what an inner tie fills": (
        layers.shared(layers.chain(INNER, LINEAR), ("1.w", "0.2.w")),
        r"wanted places that hold a parameter, got 0\.2\.w, which another tie fills",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    net, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"shared: ties, {message}"):
        net.init(jax.random.key(0), (N,))
