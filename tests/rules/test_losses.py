"""Losses at the ends of their domains: examples left out, no pair, no length; and bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


def test_example_left_out_has_no_value_and_no_gradient():
    logits = jnp.array([[1.0, 2.0], [jnp.nan, 0.0], [0.5, 0.25]])
    labels, where = jnp.array([1, -1, 0]), jnp.array([True, True, False])

    def total(logits):
        return rules.softmax_cross_entropy(logits, labels, None, where, ignore_index=-1).sum()

    value, gradient = jax.value_and_grad(total)(logits)
    assert value > 0
    assert gradient[1:].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf])
def test_whatever_fills_an_ignored_row_counts_for_nothing(filling):
    x, w, b = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[1.0, 0.5, 2.0], [0.0, 1.0, -1.0]]), jnp.zeros(3)
    pull = jax.value_and_grad(
        lambda *a: rules.linear_softmax_cross_entropy(*a, jnp.array([-1, 2]), ignore_index=-1).sum(), (0, 1, 2)
    )
    jax.tree.map(np.testing.assert_array_equal, pull(x.at[0].set(filling), w, b), pull(x, w, b))


def test_unknown_class_under_jit_is_nan():
    logits, labels = jnp.ones((2, 3)), jnp.array([0, 3])
    for loss in (rules.softmax_cross_entropy, rules.multiclass_hinge):
        assert jnp.isnan(jax.jit(loss)(logits, labels)).tolist() == [False, True]


def test_cosine_of_no_length_and_contrast_without_pairs():
    a, b = jnp.zeros(3), jnp.ones(3)
    assert rules.cosine_similarity(a, b) == 0
    assert not jax.grad(rules.cosine_similarity)(a, b).any()
    value, gradient = jax.value_and_grad(rules.nt_xent)(jnp.eye(3), jnp.arange(3))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: rules.softmax_cross_entropy(x, y, jnp.ones(2)), ValueError, r"weights, wanted shape \(3,\)"),
        (lambda x, y: rules.softmax_cross_entropy(x, x, ignore_index=1), ValueError, "ignore_index, wanted None"),
        (lambda x, y: rules.softmax_cross_entropy(x, y, label_smoothing=2.0), ValueError, "label_smoothing, wanted"),
        (lambda x, y: rules.softmax_cross_entropy(x, y, None, y), ValueError, "where, wanted booleans"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x, None, y), ValueError, "w, wanted shape"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, None, y + 9), ValueError, "labels, wanted class"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, x, y), ValueError, "b, wanted shape"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, None, y, chunk=0), ValueError, "chunk, wanted"),
        (lambda x, y: rules.huber(x, x, 0.0), ValueError, "delta, wanted a positive number"),
        (lambda x, y: rules.absolute_error(x, y), ValueError, "target, wanted shape"),
        (lambda x, y: rules.sigmoid_focal(x, x, gamma=-1.0), ValueError, "gamma, wanted"),
        (lambda x, y: rules.kl_divergence(x, y), TypeError, "targets, wanted a floating"),
        (lambda x, y: rules.multiclass_hinge(x, x[:, 0]), TypeError, "labels, wanted integers"),
        (lambda x, y: rules.triplet(x, x, x[0]), ValueError, "negatives, wanted shape"),
        (lambda x, y: rules.nt_xent(x, y, 0.0), ValueError, "temperature, wanted"),
        (lambda x, y: rules.nt_xent(x, x[:, 0]), TypeError, "labels, wanted integers"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(jnp.ones((2, 3)), jnp.array([0, 1]))


def test_known_labels_may_be_closed_over_by_a_jitted_function():
    labels = jnp.array([2, 0])
    got = jax.jit(lambda logits: rules.softmax_cross_entropy(logits, labels))(jnp.zeros((2, 3)))
    assert got.tolist() == pytest.approx([math.log(3)] * 2)
