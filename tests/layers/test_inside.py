"""What is inside a combinator computes what it computes, with the same random numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers

PART = layers.chain(layers.linear(5), layers.dropout(0.5))
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
KEY = jax.random.key(7)
ONE_BRANCH: dict[str, tuple[layers.Layer, Any]] = {
    "stack": (layers.stack(PART, 3), X),
    "checkpoint": (layers.checkpoint(layers.linear(3), layers.dropout(0.5)), X),
    "shared": (layers.shared(layers.chain(PART, layers.linear(5)), ("0.0.w", "1.w.T")), X),
    "reversible": (layers.reversible(PART, layers.dropout(0.5), 2), (X, X + 1)),
}


def drawn(net, x):
    shape = jax.tree.map(lambda a: a.shape[1:], x)
    return net.init(jax.random.key(1), shape)[0]


@pytest.mark.parametrize("name", ONE_BRANCH)
def test_the_one_branch_is_the_whole(name):
    net, x = ONE_BRANCH[name]
    params = drawn(net, x)
    found = layers.inside(net, params, KEY)
    assert found is not None and found.output == ""
    (branch,) = found.branches
    got, _ = branch.layer.forward(branch.params, branch.into(x), branch.key)
    wanted, _ = net.forward(params, x, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, wanted)
    assert branch.arriving(x, x) is x


@pytest.mark.parametrize("join", ["tuple", "sum", "concatenate"])
def test_branches_side_by_side_join_to_the_whole(join):
    net = layers.parallel(PART, layers.identity(), join=join)
    params = drawn(net, X)
    found = layers.inside(net, params, KEY)
    assert found is not None and found.adds
    parts = [branch.layer.forward(branch.params, branch.into(X), branch.key)[0] for branch in found.branches]
    wanted, _ = net.forward(params, X, KEY)
    together = {"tuple": tuple, "sum": sum, "concatenate": lambda parts: jnp.concatenate(parts, axis=-1)}[join](parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), together, wanted)
    received = [branch.arriving(wanted, X) for branch in found.branches]
    for got, part in zip(received, parts, strict=True):
        np.testing.assert_allclose(got, wanted if join == "sum" else part, rtol=1e-6)


def test_a_chain_and_other_layers_have_no_inside():
    assert layers.inside(PART, ({}, ())) is layers.inside(layers.linear(3), {}) is None
