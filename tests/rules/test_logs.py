"""Where JAX has logs of a VJP, rules tell δ in them if they are asked to, and nothing otherwise."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.functions import halves

HAS_LOGS = hasattr(jax.custom_vjp, "defvjp_with_logs")
needs_logs = pytest.mark.skipif(not HAS_LOGS, reason="this JAX has no logs of a VJP")
NET = layers.chain(layers.linear(4), layers.gelu(), layers.layer_norm(), layers.linear(2))
PARAMS, _ = NET.init(jax.random.key(0), (3,))
X, LABELS = jax.random.normal(jax.random.key(1), (5, 3)), jnp.arange(5) % 2


def model(params, x):
    """The network as a function that knows of no layer."""
    first, _, norm, last = params
    return rules.linear(rules.layer_norm(rules.gelu(rules.linear(x, **first)), **norm), **last)


def cost(params, x, labels=LABELS):
    return rules.softmax_cross_entropy(model(params, x), labels).mean()


def told(f, *arguments, asks=True):
    """Gradients and logs of a function whose output is a number."""
    with rules.log_deltas() if asks else contextlib.nullcontext():
        pulled: Any = jax.vjp(f, *arguments)
    y, pull = pulled
    return pull.with_logs(jnp.ones_like(y))


def wanted():
    """δ of each rule with parameters, by backprop."""
    _, _, (first, _, norm, last) = jb.backprop(NET, rules.softmax_cross_entropy)(PARAMS, X, LABELS)
    return {"linear 0": first, "layer_norm 0": norm, "linear 1": last}


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, expected)


@needs_logs
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["as it is", "jit"])
def test_the_deltas_of_a_function_are_those_of_backprop(transform):
    gradients, deltas = transform(lambda params: told(lambda params: cost(params, X), params))(PARAMS)
    assert_same(deltas, wanted())
    jax.tree.map(np.testing.assert_array_equal, gradients[0], transform(jax.grad(cost))(PARAMS, X))


@needs_logs
@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint], ids=["jit", "checkpoint"])
def test_a_compiled_or_checkpointed_part_logs_too(transform):
    part = transform(model)
    _, deltas = told(lambda params: rules.softmax_cross_entropy(part(params, X), LABELS).mean(), PARAMS)
    for got, delta in zip(*(sorted(each.values(), key=np.linalg.norm) for each in (deltas, wanted())), strict=True):
        np.testing.assert_allclose(got, delta, rtol=1e-5, atol=1e-7)


@needs_logs
def test_a_scan_logs_every_step_and_vmap_every_example():
    w = jax.random.normal(jax.random.key(2), (3, 3))
    steps = told(lambda w: jax.lax.scan(lambda h, _: (rules.linear(h, w), None), X, None, length=4)[0].sum(), w)[1]
    (deltas,) = steps.values()
    expected, dy = [], jnp.ones_like(X)
    for _ in range(4):
        expected.insert(0, dy)
        dy = dy @ w.T
    np.testing.assert_allclose(deltas, jnp.stack(expected), rtol=1e-5)
    each = told(lambda params: jax.vmap(lambda x, y: cost(params, x[None], y[None]))(X, LABELS).mean(), PARAMS)[1]
    assert_same({name: delta.reshape(5, -1) for name, delta in each.items()}, wanted())


@needs_logs
@pytest.mark.parametrize("twice", [jax.jit, jax.checkpoint], ids=["jit", "checkpoint"])
def test_who_does_not_ask_may_call_twice_what_is_traced_once(twice):
    w = jax.random.normal(jax.random.key(2), (3, 3))
    layer = twice(rules.linear)
    gradients, logs = told(lambda w: layer(layer(X, w), w).sum(), w, asks=False)
    assert logs == {}
    np.testing.assert_allclose(gradients[0], jax.grad(lambda w: (X @ w @ w).sum())(w), rtol=1e-5)
    with pytest.raises(ValueError, match="Duplicate backward-pass log key 'linear"):
        told(lambda w: layer(layer(X, w), w).sum(), w)


@needs_logs
def test_who_does_not_ask_pays_nothing():
    def products(asks):
        program = jax.make_jaxpr(lambda params: told(lambda params: cost(params, X), params, asks=asks))(PARAMS)
        return str(program).count("dot_general")

    assert products(asks=False) == str(jax.make_jaxpr(jax.grad(cost))(PARAMS, X)).count("dot_general")
    assert products(asks=False) < products(asks=True)


def test_the_halves_of_a_rule_with_logs():
    found = halves(rules.linear, "rule")
    y, residuals = found.forward(X, PARAMS[0]["w"], None)
    dx, dw, db = found.backward(residuals, jnp.ones_like(y))
    assert (dx.shape, dw.shape, db) == ((5, 3), (3, 4), None)


@pytest.mark.skipif(HAS_LOGS, reason="this JAX has logs of a VJP")
def test_an_older_jax_is_named():
    with pytest.raises(RuntimeError, match=r"log_deltas: jax, wanted one whose VJPs have logs \(0.11 or later"):
        told(lambda x: rules.tanh(x), X)


@needs_logs
def test_a_model_of_flax():
    linen = pytest.importorskip("flax.linen")

    class Dense(linen.Module):
        features: int

        @linen.compact
        def __call__(self, x):
            w = self.param("w", linen.initializers.lecun_normal(), (x.shape[-1], self.features))
            return rules.linear(x, w)

    net = linen.Sequential([Dense(4), rules.gelu, Dense(2)])
    params = net.init(jax.random.key(0), X)
    _, deltas = told(lambda params: rules.softmax_cross_entropy(net.apply(params, X), LABELS).mean(), params)
    assert {name: delta.shape for name, delta in deltas.items()} == {"linear 0": (5, 4), "linear 1": (5, 2)}
    logits = net.apply(params, X)
    np.testing.assert_allclose(
        deltas["linear 1"], (jax.nn.softmax(logits) - jax.nn.one_hot(LABELS, 2)) / 5, rtol=1e-4, atol=1e-7
    )


@needs_logs
def test_a_model_of_equinox():
    equinox = pytest.importorskip("equinox")

    class Dense(equinox.Module):
        w: jax.Array

        def __call__(self, x):
            return rules.linear(x, self.w)

    net = [Dense(PARAMS[0]["w"]), Dense(PARAMS[3]["w"])]
    _, deltas = told(lambda net: net[1](rules.tanh(net[0](X))).sum(), net)
    assert {name: delta.shape for name, delta in deltas.items()} == {"linear 0": (5, 4), "linear 1": (5, 2)}
    np.testing.assert_allclose(deltas["linear 1"], jnp.ones((5, 2)))
