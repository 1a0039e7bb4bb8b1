"""Every layer with parameters: what each example gets and what is made of it, against `vmap(jax.grad)`."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers, signals
from tests.signals.problems import (
    EVERY,
    EXAMPLES,
    assert_close,
    assert_trees_close,
    automatic_gradients,
    clip,
    factors_of,
    in_rows,
    inner,
    problem,
    weighted_sum,
)

APART = pytest.mark.parametrize("case", [case for case in EVERY if not case.mixes_examples], ids=lambda c: c.name)
MIXING = pytest.mark.parametrize("case", [case for case in EVERY if case.mixes_examples], ids=lambda c: c.name)
WEIGHTS = np.array([1, 0.5, 0, 1, 2, 1, 1, 0.25])

pytestmark = pytest.mark.usefixtures("float64")


def blocks_first(stacked, params):
    """A stack's gradients have the axis of blocks behind the examples', as its parameters have it in front."""
    return jax.tree.map(lambda each, param: each.reshape(EXAMPLES, *param.shape), stacked, params)


def apart(two):
    return [jax.tree.map(operator.itemgetter(i), two) for i in range(2)]


def quantities(layer, params, x, dys):
    """By hand: the gradients, of two meanings, then norms, then products."""
    one, other = (factors_of(layer, params, x, dy) for dy in apart(dys))
    few = jax.tree.map(lambda leaf: leaf[:3], other)
    each = jax.tree.map(jax.vmap(layers.total), one, is_leaf=layers.is_factored), signals.per_example(one)
    norms = jax.tree.map(signals.squared_norm, one, is_leaf=layers.is_factored), signals.squared_norm(one)
    return each, norms, (signals.dot(one, other), signals.inner_products(one), signals.inner_products(one, few))


@APART
def test_quantities_of_each_example_and_their_clipped_sum(case):
    params, x, dy = problem(case)
    dys = jax.tree.map(lambda dy: np.stack([dy, np.cos(3 * dy)]), dy)
    automatic = jax.vmap(automatic_gradients(case.layer), in_axes=(None, None, 0))

    @jax.jit
    def both_ways(params, x, dys):
        return quantities(case.layer, params, x, dys), automatic(params, x, dys)

    by_hand, gradients = jax.device_get(both_ways(params, x, dys))
    wanted, others = apart(gradients)
    check_quantities(params, wanted, in_rows(wanted), in_rows(others), *by_hand)
    check_clipped(case.layer, params, x, dy, wanted)


def check_quantities(params, wanted, rows, others, each, norms, products):
    for gradients in each:
        jax.tree.map(assert_close, blocks_first(gradients, params), wanted)
    jax.tree.map(lambda got, g: assert_close(got, (g.reshape(EXAMPLES, -1) ** 2).sum(1)), norms[0], wanted)
    assert_close(norms[1], (rows**2).sum(1))
    for got, product in zip(products, ((rows * others).sum(1), rows @ rows.T, rows @ others[:3].T), strict=True):
        assert_close(got, product)


def check_clipped(layer, params, x, dy, each):
    """Flat, weighted, in micro-batches, and automatic."""
    norms = np.sqrt((in_rows(each) ** 2).sum(1))
    longest = float(np.median(norms))
    assert 0 < (norms > longest).sum() < EXAMPLES

    @jax.jit
    def by_hand(params, x, dy):
        clipped = functools.partial(signals.clipped_gradient, layer, inner, longest)
        whole = clipped()(params, x, dy, weights=jnp.asarray(WEIGHTS))
        parts, automatic = clipped(micro_batches=4), clipped(stability=0.3, mean=False)
        return whole, parts(params, x, dy), automatic(params, x, dy), inner(layer.forward(params, x)[0], dy)

    whole, parts, automatic, losses = by_hand(params, x, dy)
    assert_close(whole.norms, norms)
    assert_close(parts.norms, norms)
    assert_close(whole.cost, (WEIGHTS * losses).mean())
    assert_trees_close(whole.gradients, weighted_sum(WEIGHTS * clip(norms, longest) / EXAMPLES, each))
    assert_trees_close(parts.gradients, weighted_sum(clip(norms, longest) / EXAMPLES, each))
    assert_trees_close(automatic.gradients, weighted_sum(longest / (norms + 0.3), each))


@MIXING
def test_mixed_examples_are_refused_by_name(case):
    def factors_for(quantity):
        return jax.eval_shape(lambda *arrays: quantity(factors_of(case.layer, *arrays)), *problem(case))

    for quantity in signals.per_example, signals.squared_norm, signals.inner_products:
        with pytest.raises(ValueError, match=r": (0\.0\.)?(offset|scale), wanted layers .* mixes them, .*group_norm"):
            factors_for(quantity)
    with pytest.raises(ValueError, match="keeps its examples apart"):
        factors_for(functools.partial(jax.tree.map, jax.vmap(layers.total), is_leaf=layers.is_factored))
