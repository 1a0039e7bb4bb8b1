"""Every layer and every combinator of the table: its gradients against JAX's own; those of each example: `signals`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers
from jbackprop.cases import LAYERS, NETWORKS
from jbackprop.functions import count_rules
from tests.problems import problem, shapes

EXAMPLES = 7
EVERY = (*LAYERS, *NETWORKS)
each_case = pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)

pytestmark = pytest.mark.usefixtures("float64")


def assert_close(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(np.abs(b).max(initial=0), 1e-3))


def floating(tree):
    """What the inputs that are no integers get."""
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != jax.dtypes.float0]


BY_DESIGN = ("clip_gradient", "reverse_gradient", "scale_gradient", "stop_gradient", "straight_through")
"""Layers whose gradient is not that of their values."""


@each_case
def test_reads_as_it_was_written(case):
    layer = case.layer
    assert eval(repr(layer), {**vars(layers)}) == layer  # it is the library's own text
    assert len({layer, eval(repr(layer), {**vars(layers)})}) == 1


@each_case
def test_the_shape_of_the_output(case):
    params, out_shape = shapes(case)
    x = case.inputs(1, EXAMPLES, jnp.float64)
    y = jax.eval_shape(lambda params, x: case.layer.forward(params, x)[0], params, x)
    assert jax.tree.map(lambda out: out.shape[1:], y) == out_shape


@each_case
def test_gradients(case):
    params, x, dy = problem(case, EXAMPLES)
    layer, key = case.layer, jax.random.key(9) if case.draws else None

    def output(params, x):
        return layer.forward(params, x, key)[0]

    def applied(params, x):
        return layer.apply(params, x, key)

    @jax.jit
    def gradients(params, x, dy):
        y, cache = layer.forward(params, x, key)
        dx, delta = layer.backward(params, cache, dy)
        again_dx, again_delta, again = layer.backpropagate(params, cache, dy)
        by_hand = (layer.gradient(params, cache, delta), dx), (again, again_dx)
        (applied_y, pull), (_, pull_automatic) = (jax.vjp(f, params, x) for f in (applied, jb.automatic(output)))
        return (y, applied_y), again_delta, *by_hand, pull(dy), pull_automatic(dy)

    assert count_rules(applied, params, x)
    (y, applied_y), delta, by_hand, again, by_apply, automatic = gradients(params, x, dy)
    assert bool(jax.tree.leaves(delta)) == bool(jax.tree.leaves(params))
    assert_close(again, by_hand)
    assert_close(applied_y, y)
    for wanted in (by_apply,) if case.name.startswith(BY_DESIGN) else (by_apply, automatic):
        assert_close(by_hand[0], wanted[0])
        assert_close(floating(by_hand[1]), floating(wanted[1]))


@pytest.mark.parametrize("case", NETWORKS, ids=lambda case: case.name)
def test_static_under_jit(case):
    """The settings are data: a second network of the same settings does not trace again."""
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def output(layer, params, x):
        traces.append(layer)
        return layer.apply(params, x)

    params, x, _ = problem(case, EXAMPLES)
    for layer in (case.layer, eval(repr(case.layer), {**vars(layers)})):
        output.trace(layer, params, x)
    assert len(traces) == 1
