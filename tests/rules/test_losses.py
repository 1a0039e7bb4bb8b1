"""Losses at the ends of their domains: examples left out, no pair, no length; and bad input."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


def test_example_left_out_has_no_value_and_no_gradient():
    logits = jnp.array([[1.0, 2.0], [jnp.nan, 0.0], [0.5, 0.25]])
    labels, where = jnp.array([1, -1, 0]), jnp.array([True, True, False])

    def total(logits):
        return rules.softmax_cross_entropy(logits, labels, where=where, ignore_index=-1).sum()

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
    assert not jax.jit(jax.grad(rules.cosine_similarity))(a, b).any()
    value, gradient = jax.jit(jax.value_and_grad(rules.nt_xent))(np.eye(3, dtype=np.float32), np.arange(3))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("loss", [rules.sigmoid_cross_entropy, partial(rules.sigmoid_focal, gamma=0.0)])
def test_sure_and_right_answers_keep_their_digits(loss, label):
    logits = jnp.array([10.0, 20.0, 50.0, -10.0, -30.0])[:, None]
    value, pull = jax.vjp(lambda z: loss(z, jnp.full((5, 1), label)), logits)
    z = np.asarray(logits, np.float64)[:, 0]
    wanted = np.logaddexp(0, z) if label == 0 else np.logaddexp(0, -z)
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    slope = 1 / (1 + np.exp(-z)) if label == 0 else -1 / (1 + np.exp(z))
    np.testing.assert_allclose(pull(jnp.ones(5))[0][:, 0], slope, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("label", [0.0, 0.25, 1.0])
def test_focal_loss_and_its_derivatives_are_finite_and_right_far_out(gamma, label):
    logits = np.array([-100.0, -50, -41, -20, 0, 20, 41, 50, 100])

    def derivatives(dtype):
        def of_logit(z):
            return rules.sigmoid_focal(z[None], jnp.full(1, label, dtype), gamma=gamma)

        derived = of_logit, jax.grad(of_logit), jax.grad(jax.grad(of_logit))
        return jax.jit(lambda z: [jax.vmap(f)(z) for f in derived])(logits.astype(dtype))

    single = derivatives(jnp.float32)
    with jax.enable_x64(True):
        double = derivatives(jnp.float64)
    for got, wanted in zip(single, double, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-10)


def test_distance_of_nan_is_nan():
    value, pull = jax.vjp(lambda a: rules.triplet(a, jnp.zeros(2), jnp.ones(2)), jnp.array([jnp.nan, 0.0]))
    assert jnp.isnan(value)
    assert jnp.isnan(pull(1.0)[0]).all()


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (rules.squared_error, "target"),
        (rules.absolute_error, "target"),
        (rules.huber, "target"),
        (rules.log_cosh, "target"),
        (rules.sigmoid_cross_entropy, "labels"),
        (rules.sigmoid_focal, "labels"),
        (rules.softmax_cross_entropy, "labels"),
    ],
)
def test_complex_targets_are_refused(loss, name):
    with pytest.raises(TypeError, match=f"{loss.__name__}: {name}, wanted real numbers, got complex64"):
        loss(jnp.ones((2, 3)), jnp.ones((2, 3), complex))


@pytest.mark.parametrize("number", [math.nan, -1.0])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("huber: delta", lambda x, n: rules.huber(x, x, n)),
        ("sigmoid_focal: gamma", lambda x, n: rules.sigmoid_focal(x, x, gamma=n)),
        ("softmax_cross_entropy: label_smoothing", lambda x, n: rules.softmax_cross_entropy(x, x, label_smoothing=n)),
        ("nt_xent: temperature", lambda x, n: rules.nt_xent(x, jnp.arange(2), n)),
        ("cosine_similarity: epsilon", lambda x, n: rules.cosine_similarity(x, x, n)),
        ("cosine_similarity: epsilon", lambda x, n: rules.cosine_distance(x, x, n)),
        ("triplet: eps", lambda x, n: rules.triplet(x, x, x, eps=n)),
        ("elu: alpha", rules.elu),
        ("celu: alpha", rules.celu),
        ("squareplus: b", rules.squareplus),
        ("dropout: rate", lambda x, n: rules.dropout(jax.random.key(0), x, n)),
        ("layer_norm: eps", lambda x, n: rules.layer_norm(x, eps=n)),
        ("batch_norm: eps", lambda x, n: rules.batch_norm(x, eps=n)),
        ("sinusoidal_positions: base", rules.sinusoidal_positions),
        ("clip_gradient: limit", rules.clip_gradient),
        ("clip_gradient_norm: limit", rules.clip_gradient_norm),
    ],
)
def test_options_out_of_their_range_are_refused(name, call, number):
    with pytest.raises(ValueError, match=f"{name}, wanted a .*, got {number}"):
        call(jnp.ones((2, 4)), number)


@pytest.mark.parametrize(("option", "error"), [([1.0], TypeError), (jnp.ones(2), ValueError)])
def test_options_that_are_no_numbers_are_refused(option, error):
    with pytest.raises(error, match="huber: delta, wanted a positive number, got"):
        rules.huber(jnp.ones(2), jnp.ones(2), option)
    with pytest.raises(TypeError, match="celu: alpha, wanted a positive number, got '1'"):
        rules.celu(jnp.ones(2), "1")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x, y: rules.softmax_cross_entropy(x, y, weights=jnp.ones(2)),
            ValueError,
            r"weights, wanted shape \(3,\)",
        ),
        (lambda x, y: rules.softmax_cross_entropy(x, x, ignore_index=1), ValueError, "ignore_index, wanted None"),
        (lambda x, y: rules.softmax_cross_entropy(x, y, label_smoothing=2.0), ValueError, "label_smoothing, wanted"),
        (lambda x, y: rules.softmax_cross_entropy(x, y, where=y), ValueError, "where, wanted booleans"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x, None, y), ValueError, "w, wanted shape"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, None, y + 9), ValueError, "labels, wanted class"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, x, y), ValueError, "b, wanted shape"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, None, y, chunk=0), ValueError, "chunk, wanted"),
        (lambda x, y: rules.linear_softmax_cross_entropy(x, x.T, None, y, keep="z"), ValueError, "keep, wanted"),
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


@pytest.mark.parametrize("keep", ["nothing", "delta"])
def test_the_mean_of_many_losses_keeps_its_gradient_in_float16(keep):
    """dC of 1e-5 times p of 1e-4 is no number of float16; the weights' gradient of all examples is one."""
    x, w = (0.01 * jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(64, 8), (8, 4096)]))
    labels, scale = jnp.zeros(64, int), jnp.full(64, 1e-5)

    def gradient(x, w):
        _, pull = jax.vjp(lambda w: rules.linear_softmax_cross_entropy(x, w, None, labels, keep=keep), w)
        return pull(scale.astype(x.dtype))[0].astype(jnp.float32)

    half = gradient((100 * x).astype(jnp.float16), (100 * w).astype(jnp.float16))
    wanted = gradient(100 * x, 100 * w)
    np.testing.assert_allclose(half, wanted, atol=2e-2 * float(jnp.abs(wanted[:, 1:]).max()))
