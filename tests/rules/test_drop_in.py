"""In the place of jax.nn's and optax's functions: what they take, of any kind of number, and bad axes and masks."""

import importlib
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jbackprop import rules

OF_REAL = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "mish", "softplus", "squareplus", "soft_sign"),
    *("hard_tanh", "hard_sigmoid", "hard_silu", "hard_swish", "log_sigmoid", "sparse_plus", "sparse_sigmoid", "tanh"),
    *("sigmoid", "silu", "swish", "glu", "softmax", "log_softmax", "logsumexp"),
)
_OF_SEVERAL = ("glu", "softmax", "log_softmax", "logsumexp")
NUMBERS = [
    *(jnp.array([-3, 0, 5, 2]), jnp.array([-3, 0, 5, 2], jnp.int8), jnp.array([True, False]), jnp.array([0.5, -2])),
    *(np.array([1.5, -1], np.float32), 7, 1.5, True, np.float32(-2)),
]
X, Y = (jax.random.normal(jax.random.key(seed), (4, 7)) for seed in range(2))
WHERE = X > 0


def _namesakes():
    """Each function of jax.nn and of optax with the rule that says in the first lines that it is as that one."""
    for rule in (rule for rule in vars(rules).values() if isinstance(rule, jax.custom_vjp)):
        first = (inspect.getdoc(rule) or "").split("\n\nArgs:")[0]
        for module, name in re.findall(r"\bas `(jax\.nn|jax\.numpy|optax|optax\.losses)\.(\w+)`", first):
            yield pytest.param(getattr(importlib.import_module(module), name), rule, id=name)


@pytest.mark.parametrize("name", OF_REAL)
@pytest.mark.parametrize("x", NUMBERS, ids=repr)
def test_numbers_of_any_kind_are_what_they_are_to_jax_nn(name, x):
    try:
        wanted = getattr(jax.nn, name)(x)
    except (TypeError, ValueError, IndexError, RuntimeWarning):
        return  # nothing is promised for what they refuse
    got = getattr(rules, name)(x)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=2e-7)  # theirs cancels in gelu(−3) = −3 · 1.2e-3


@pytest.mark.parametrize("name", [name for name in OF_REAL if name not in _OF_SEVERAL])
def test_a_slope_that_is_another_at_a_kink_is_told_by_the_docstring(name):
    kinks = jnp.array([-3.0, -1, 0, 1, 3, 6])
    got, wanted = (jax.vmap(jax.grad(getattr(of, name)))(kinks) for of in (rules, jax.nn))
    told = "slope at" in (inspect.getdoc(getattr(rules, name)) or "").split("Args:")[0]
    assert told != np.allclose(got, wanted, atol=1e-6)


LESS = {
    "dot_product_attention": {"return_residual"},
    "ctc": {"log_epsilon"},
}
"""What a namesake takes and we do not."""


@pytest.mark.parametrize(("theirs", "rule"), list(_namesakes()))
def test_arguments_are_called_as_those_of_the_namesake(theirs, rule):
    names, ours = inspect.signature(theirs).parameters, inspect.signature(rule).parameters
    assert set(names) - set(ours) <= LESS.get(rule.__name__, set())
    in_order = [name for name, parameter in names.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(in_order)] == in_order
    for name in set(names) & set(ours):
        assert ours[name].default == names[name].default, name


@pytest.mark.parametrize("shape", [(), (5,), (5, 5), (4, 5, 5), (2, 1, 5, 5), (1, 4, 1, 1)], ids=repr)
@pytest.mark.parametrize("name", ["mask", "bias"])
def test_a_mask_may_have_fewer_axes_than_attention_has(shape, name):
    array = jnp.array(jax.random.bernoulli(jax.random.key(3), 0.7, shape), bool if name == "mask" else float)
    array = array.at[..., 0].set(True) if shape and name == "mask" else array
    q, k, v = (jax.random.normal(jax.random.key(seed), (2, 5, 4, 3)) for seed in range(3))

    def both(attend):
        return jax.vjp(lambda *arrays: attend(*arrays, **{name: array}), q, k, v)

    (got, pull), (wanted, their_pull) = map(both, (rules.dot_product_attention, jax.nn.dot_product_attention))
    for ours, theirs in zip((got, *pull(v)), (wanted, *their_pull(v)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_bias_with_fewer_axes_has_a_gradient_in_its_shape():
    q = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    bias = jnp.arange(5.0)
    got, wanted = (
        jax.grad(lambda bias, attend=attend: (attend(q, q, q, bias) * q).sum())(bias)
        for attend in (rules.dot_product_attention, jax.nn.dot_product_attention)
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_an_unbatched_mask_may_have_an_axis_of_size_one_more():
    q, mask = jax.random.normal(jax.random.key(0), (5, 4, 3)), jnp.tril(jnp.ones((1, 4, 5, 5), bool))
    got, wanted = (attend(q, q, q, mask=mask) for attend in (rules.dot_product_attention, jax.nn.dot_product_attention))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


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
    labels, where = (np.arange(7) % 4 if axis == 0 else np.array(9)), WHERE.at[:, 2].set(False)

    def both(loss):
        return jax.jit(jax.value_and_grad(lambda x: (loss(x, labels, axis=axis, where=where) * 1.5).sum()))(X)

    got, wanted = both(rules.softmax_cross_entropy), both(optax.softmax_cross_entropy_with_integer_labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, wanted)


@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf])
@pytest.mark.parametrize(
    "loss",
    [rules.kl_divergence, rules.kl_divergence_with_log_targets, rules.cosine_similarity, rules.softmax_cross_entropy],
    ids=lambda loss: loss.__name__,
)
def test_whatever_fills_an_entry_that_does_not_count_is_nothing(loss, filling):
    pull = jax.jit(jax.value_and_grad(lambda *pair: loss(*pair, where=WHERE).sum(), (0, 1)))
    filled = (np.where(WHERE, array, filling) for array in (X, Y))
    plain = (np.where(WHERE, array, np.float32(1)) for array in (X, Y))
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
