"""Every layer and every combinator of the table: its gradients and those of each example, against JAX's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers
from jbackprop.cases import LAYERS, NETWORKS, LayerCase
from jbackprop.functions import count_rules

EXAMPLES = 7
EVERY = (*LAYERS, *NETWORKS)
each_case = pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def problem(case: LayerCase):
    """Parameters that are all off their special values, inputs, a random cotangent, and a key if one is wanted."""
    params, _ = case.layer.init(jax.random.key(0), case.shape)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(p.size), p.shape), params)
    x = case.inputs(jax.random.key(1), EXAMPLES, jnp.float64)
    y = jax.eval_shape(lambda params, x: case.layer.forward(params, x)[0], params, x)
    dy = jax.tree.map(lambda out: jax.random.normal(jax.random.key(out.size), out.shape), y)
    return params, x, dy, jax.random.key(9) if case.draws else None


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(np.abs(b).max(initial=0), 1e-3))


def floating(tree):
    """What the inputs that are no integers get."""
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != jax.dtypes.float0]


def inner(y, dy):
    return sum((a * b).sum() for a, b in zip(jax.tree.leaves(y), jax.tree.leaves(dy), strict=True))


BY_DESIGN = ("clip_gradient", "reverse_gradient", "scale_gradient", "stop_gradient", "straight_through")
"""Layers whose gradient is not that of their values."""


@each_case
def test_reads_as_it_was_written(case):
    layer = case.layer
    assert eval(repr(layer), {**vars(layers)}) == layer  # it is the library's own text
    assert len({layer, eval(repr(layer), {**vars(layers)})}) == 1


@each_case
def test_the_shape_of_the_output(case):
    params, out_shape = case.layer.init(jax.random.key(0), case.shape)
    x = case.inputs(jax.random.key(1), EXAMPLES, jnp.float64)
    y = jax.eval_shape(lambda params, x: case.layer.forward(params, x)[0], params, x)
    assert jax.tree.map(lambda out: out.shape[1:], y) == out_shape


@each_case
def test_gradients(case):
    params, x, dy, key = problem(case)
    layer = case.layer

    @jax.jit
    def by_hand(params, x, dy):
        y, cache = layer.forward(params, x, key)
        dx, delta = layer.backward(params, cache, dy)
        return y, dx, layer.gradient(params, cache, delta), layer.backpropagate(params, cache, dy)

    @jax.jit
    def by_apply(params, x, dy):
        y, pull = jax.vjp(lambda params, x: layer.apply(params, x, key), params, x)
        return y, *pull(dy)

    y, dx, gradient, (again_dx, delta, again) = by_hand(params, x, dy)
    assert bool(jax.tree.leaves(delta)) == bool(jax.tree.leaves(params))
    applied_y, applied_gradient, applied_dx = by_apply(params, x, dy)
    assert count_rules(lambda params, x: layer.apply(params, x, key), params, x)
    assert_close((again_dx, again), (dx, gradient))
    assert_close((applied_y, applied_gradient), (y, gradient))
    assert_close(floating(applied_dx), floating(dx))
    if case.name.startswith(BY_DESIGN):
        return
    plain = jb.automatic(lambda params, x: layer.forward(params, x, key)[0])
    wanted_gradient, wanted_dx = jax.jit(lambda params, x, dy: jax.vjp(plain, params, x)[1](dy))(params, x, dy)
    assert_close(gradient, wanted_gradient)
    assert_close(floating(dx), floating(wanted_dx))


WITH_PARAMETERS = [case for case in EVERY if jax.tree.leaves(case.layer.init(jax.random.key(0), case.shape)[0])]


@pytest.mark.parametrize("case", WITH_PARAMETERS, ids=lambda case: case.name)
def test_the_gradient_of_each_example(case):
    """∂C_i/∂p from one backward pass, and `vmap(jax.grad)` over batches of one."""
    params, x, dy, key = problem(case)
    layer = case.layer

    @jax.jit
    def by_hand(params, x, dy):
        _, cache = layer.forward(params, x, key)
        return layer.gradient(params, cache, layer.backward(params, cache, dy)[1], jax.vmap(layers.total))

    if case.mixes_examples:
        with pytest.raises(ValueError, match="keeps its examples apart"):
            by_hand(params, x, dy)
        return
    if case.draws:
        pytest.skip("the mask of one example is another one than that of the batch")

    def cost(params, x, dy):
        x, dy = jax.tree.map(lambda leaf: leaf[None], (x, dy))
        return inner(jb.automatic(lambda p, x: layer.forward(p, x)[0])(params, x), dy)

    each = jax.jit(jax.vmap(jax.grad(cost), in_axes=(None, 0, 0)))(params, x, dy)
    assert_close(by_hand(params, x, dy), each)


@pytest.mark.parametrize("case", NETWORKS, ids=lambda case: case.name)
def test_static_under_jit(case):
    """The settings are data: a second network of the same settings does not trace again."""
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def output(layer, params, x):
        traces.append(layer)
        return layer.apply(params, x)

    params, x, _, _ = problem(case)
    for layer in (case.layer, eval(repr(case.layer), {**vars(layers)})):
        output(layer, params, x)
    assert len(traces) == 1
