"""In the place of jax.nn's and optax's functions: what they take, of any kind of number, and bad axes and masks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jbackprop import rules

OF_REAL = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "mish", "softplus", "squareplus", "soft_sign"),
    *("hard_tanh", "hard_sigmoid", "hard_silu", "log_sigmoid", "sparse_plus", "sparse_sigmoid", "logsumexp"),
)
NUMBERS = [jnp.array([-3, 0, 5]), jnp.array([-3, 0, 5], jnp.int8), 7, 1.5, np.float32(-2)]
X, Y = (jax.random.normal(jax.random.key(seed), (4, 7)) for seed in range(2))
WHERE = X > 0


@pytest.mark.parametrize("name", OF_REAL)
@pytest.mark.parametrize(
    "z", [jnp.array([-3, 0, 5]), jnp.array([-3, 0, 5], jnp.int8), 7, 1.5, np.float32(-2)], ids=repr
)
def test_numbers_of_any_kind_are_what_they_are_to_jax_nn(name, z):
    got, wanted = getattr(rules, name)(z), getattr(jax.nn, name)(z)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=2e-7)  # theirs cancels in gelu(−3) = −3 · 1.2e-3


@pytest.mark.parametrize("rule", [rules.softmax, rules.log_softmax, rules.logsumexp])
def test_softmax_of_integers(rule):
    got, wanted = rule(jnp.array([-3, 0, 5])), rule(jnp.array([-3.0, 0, 5]))
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("nothing", [jnp.zeros((3, 0)), jnp.array([])], ids=jnp.shape)
def test_softmax_of_nothing_is_nothing(name, nothing):
    assert getattr(rules, name)(nothing).shape == getattr(jax.nn, name)(nothing).shape == nothing.shape


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_where_nothing_counts(name):
    nowhere = jnp.zeros(4, bool)
    got, pull = jax.vjp(lambda x: getattr(rules, name)(x, where=nowhere), jnp.arange(4.0))
    np.testing.assert_array_equal(got, getattr(jax.nn, name)(jnp.arange(4.0), where=nowhere))
    assert not pull(jnp.ones(4))[0].any()


@pytest.mark.parametrize("weights", [2.0, jnp.array([1, 0, -2]), jnp.array([0.5, -3.0, 0.0])], ids=repr)
@pytest.mark.parametrize("options", [{}, {"return_sign": True}, {"axis": 0, "keepdims": True}], ids=repr)
def test_weighted_sum_of_exponentials(weights, options):
    got, wanted = (f(jnp.array([0.5, 40.0, -1.0]), b=weights, **options) for f in (rules.logsumexp, jax.nn.logsumexp))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, wanted)


def test_labels_may_be_a_number_or_a_list():
    value, gradient = jax.value_and_grad(rules.softmax_cross_entropy)(X[0], 1)
    np.testing.assert_array_equal(value, rules.softmax_cross_entropy(X[0], jnp.array(1)))
    np.testing.assert_allclose(gradient, jax.nn.softmax(X[0]) - jnp.eye(7)[1], atol=1e-6)
    np.testing.assert_array_equal(
        rules.softmax_cross_entropy(X, [1, 0, 6, 2]), rules.softmax_cross_entropy(X, jnp.array([1, 0, 6, 2]))
    )
    with pytest.raises(ValueError, match=r"softmax_cross_entropy: labels, wanted shape \(4,\) .* got \(\)"):
        rules.softmax_cross_entropy(X, 1)


@pytest.mark.parametrize("axis", [0, (1, 0)])
def test_a_label_that_is_no_entry_is_as_in_optax(axis):
    labels, where = (jnp.arange(7) % 4 if axis == 0 else jnp.array(9)), WHERE.at[:, 2].set(False)

    def both(loss):
        return jax.value_and_grad(lambda x: (loss(x, labels, axis=axis, where=where) * 1.5).sum())(X)

    got, wanted = both(rules.softmax_cross_entropy), both(optax.softmax_cross_entropy_with_integer_labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, wanted)


@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf])
@pytest.mark.parametrize(
    "loss",
    [rules.kl_divergence, rules.kl_divergence_with_log_targets, rules.cosine_similarity, rules.softmax_cross_entropy],
    ids=lambda loss: loss.__name__,
)
def test_whatever_fills_an_entry_that_does_not_count_is_nothing(loss, filling):
    pull = jax.value_and_grad(lambda *pair: loss(*pair, where=WHERE).sum(), (0, 1))
    filled = (jnp.where(WHERE, array, filling) for array in (X, Y))
    plain = (jnp.where(WHERE, array, 1) for array in (X, Y))
    jax.tree.map(np.testing.assert_array_equal, pull(*filled), pull(*plain))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: rules.kl_divergence(X, Y, 2),
            ValueError,
            "axis, wanted one of the 2 of log_predictions",
        ),
        (lambda: rules.cosine_distance(X, Y, axis=-3), ValueError, "axis, wanted one of the 2 of predictions, got -3"),
        (lambda: rules.softmax(X, where=X), TypeError, "softmax: where, wanted booleans, got float32"),
        (
            lambda: rules.softmax(X, where=WHERE[:, :3]),
            ValueError,
            "where, wanted a shape that broadcasts to",
        ),
        (lambda: rules.logsumexp(X, -1, True), TypeError, "logsumexp: b, wanted real numbers, got bool"),
        (
            lambda: rules.logsumexp(X, b=X[None]),
            ValueError,
            "logsumexp: b, wanted a shape that broadcasts",
        ),
        (lambda: rules.softmax_cross_entropy(X, Y, axis=2), ValueError, "axis, wanted one of the 2 of logits, got 2"),
        (
            lambda: rules.softmax_cross_entropy(X, Y, where=WHERE, label_smoothing=0.1),
            ValueError,
            "label_smoothing, wanted None where `where` names entries, got 0.1",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
