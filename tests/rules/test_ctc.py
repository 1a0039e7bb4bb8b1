"""CTC against all paths counted one by one, labels that cannot be spelt, nothing to spell, and bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


def _spells(path, labels, blank_id):
    merged = [k for k, _ in itertools.groupby(path)]
    return [k for k in merged if k != blank_id] == list(labels)


@pytest.mark.parametrize(("labels", "blank_id"), [((1, 1), 0), ((0, 2), 1), ((2, 1, 2), 0), ((), 0)])
def test_is_the_sum_over_all_paths(labels, blank_id):
    logits = jax.random.normal(jax.random.key(0), (5, 3))
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    paths = itertools.product(range(3), repeat=5)
    total = sum(p[range(5), path].prod() for path in paths if _spells(path, labels, blank_id))
    cost = rules.ctc(logits, jnp.zeros(5), jnp.array(labels, int), jnp.zeros(len(labels)), blank_id)
    np.testing.assert_allclose(cost, -np.log(total), rtol=1e-5)


def test_what_is_padded_counts_for_nothing():
    logits, labels = jax.random.normal(jax.random.key(0), (5, 3)), jnp.array([1, 2])
    cost = rules.ctc(logits[:3], jnp.zeros(3), labels[:1], jnp.zeros(1))
    frames, rest = jnp.array([0, 0, 0, 1, 1]), jnp.array([0, 1])
    padded, gradient = jax.value_and_grad(rules.ctc)(logits, frames, labels, rest)
    np.testing.assert_allclose(padded, cost, rtol=1e-6)
    assert gradient[:3].all()
    assert not gradient[3:].any()


@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf, -jnp.inf])
def test_whatever_fills_padded_frames_counts_for_nothing(filling):
    logits, labels = jax.random.normal(jax.random.key(0), (5, 3)), jnp.array([1, 2])
    pull = jax.value_and_grad(lambda z: rules.ctc(z, jnp.array([0, 0, 0, 1, 1]), labels, jnp.zeros(2)))
    jax.tree.map(np.testing.assert_array_equal, pull(logits.at[3:].set(filling)), pull(logits))


@pytest.mark.parametrize("labels", [(1, 2, 1), (1, 1)])
def test_labels_that_no_path_spells_cost_infinity_with_no_gradient(labels):
    logits, labels = jnp.ones((2, 3)), jnp.array(labels)
    cost, gradient = jax.value_and_grad(rules.ctc)(logits, jnp.zeros(2), labels, jnp.zeros(labels.shape))
    assert jnp.isinf(cost)
    assert not gradient.any()


def test_no_frames_spell_no_labels():
    nothing = jnp.zeros((2, 0))
    cost = rules.ctc(jnp.zeros((2, 0, 3)), nothing, jnp.ones((2, 1), int), jnp.array([[0], [1]]))
    assert cost.tolist() == [jnp.inf, 0]


def test_each_frame_pulls_as_much_as_it_pushes():
    logits = jax.random.normal(jax.random.key(0), (4, 9, 6))
    labels, paddings = jnp.array([[1, 2, 2]] * 4), jnp.zeros((4, 9))
    gradient = jax.grad(lambda z: rules.ctc(z, paddings, labels, jnp.zeros((4, 3))).sum())(logits)
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-6)


def test_unknown_label_under_jit_is_nan():
    logits, zeros = jnp.ones((2, 4, 3)), jnp.zeros((2, 4))
    labels = jnp.array([[1], [7]])
    assert jnp.isnan(jax.jit(rules.ctc)(logits, zeros, labels, zeros[:, :1])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z, k: rules.ctc(z, z[:, :2, 0], k, k), ValueError, r"ctc: logit_paddings, wanted shape \(2, 4\)"),
        (lambda z, k: rules.ctc(z[0, 0], z[0], k, k), ValueError, "ctc: logits, wanted"),
        (lambda z, k: rules.ctc(z, z[..., 0], k[0], k[0]), ValueError, r"ctc: labels, wanted batch axes \(2,\)"),
        (lambda z, k: rules.ctc(z, z[..., 0], k, k[:, :1]), ValueError, r"ctc: label_paddings, wanted shape \(2, 3\)"),
        (
            lambda z, k: rules.ctc(z, z[..., 0], k, k, 5),
            ValueError,
            r"ctc: blank_id, wanted a class number in \[0, 5\)",
        ),
        (
            lambda z, k: rules.ctc(z, z[..., 0], k + 9, 0 * k),
            ValueError,
            r"ctc: labels, wanted class numbers in \[0, 5\)",
        ),
        (lambda z, k: rules.ctc(z, z[..., 0], k * 1.0, k), TypeError, "ctc: labels, wanted integers"),
        (
            lambda z, k: rules.ctc(z.astype(int), z[..., 0], k, k),
            TypeError,
            "ctc: logits, wanted a floating point array",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(jnp.zeros((2, 4, 5)), jnp.zeros((2, 3), int))


def test_a_class_that_cannot_be_costs_infinity_with_no_gradient():
    impossible = jnp.zeros((4, 3)).at[:, 1].set(-jnp.inf)
    for logits in (impossible, jnp.full((4, 3), -jnp.inf)):
        cost, gradient = jax.value_and_grad(rules.ctc)(logits, jnp.zeros(4), jnp.array([1]), jnp.zeros(1))
        assert jnp.isposinf(cost)
        assert not gradient.any()


def test_classes_that_cannot_be_leave_the_others_alone():
    logits = jax.random.normal(jax.random.key(0), (5, 4))
    labels, none = jnp.array([1, 2]), jnp.zeros(2)
    without, pushed = jax.value_and_grad(rules.ctc)(logits[:, :3], jnp.zeros(5), labels, none)
    cost, gradient = jax.value_and_grad(rules.ctc)(logits.at[:, 3].set(-jnp.inf), jnp.zeros(5), labels, none)
    np.testing.assert_allclose(cost, without, rtol=1e-6)
    np.testing.assert_allclose(gradient, jnp.pad(pushed, ((0, 0), (0, 1))), atol=1e-6)


def test_logits_as_large_as_any():
    logits = jnp.zeros((3, 3)).at[:, 2].set(1e30)
    cost, gradient = jax.value_and_grad(rules.ctc)(logits, jnp.zeros(3), jnp.array([1]), jnp.zeros(1))
    np.testing.assert_allclose(cost, 3e30, rtol=1e-6)
    # Six paths spell 1 with blanks around it, all equally likely; three, four and three of them have 1 in a frame.
    np.testing.assert_allclose(gradient[:, 2], 1, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, :2].sum(axis=-1), -1, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 1], [-3 / 6, -4 / 6, -3 / 6], rtol=1e-6)
