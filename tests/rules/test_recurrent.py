"""Recurrences: pieces of a sequence, no sequence at all, what is beyond a length, PyTorch's layouts, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import functions, rules


def _arguments(rule, gates, *batch, time=5, n_in=4, hidden=3):
    shapes = (*batch, time, n_in), (n_in, gates * hidden), (hidden, gates * hidden)
    x, w, u = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes))
    return rule, x, w, u


@pytest.fixture(params=[(rules.rnn, 1), (rules.gru, 3), (rules.lstm, 4)], ids=["rnn", "gru", "lstm"])
def cell(request):
    return request.param


def test_pieces_with_a_carry_are_the_whole(cell):
    rule, x, w, u = _arguments(*cell, 2, time=70)
    last, y = rule(x, w, u)
    carry, first = rule(x[:, :41], w, u)
    carry, second = rule(x[:, 41:], w, u, carry=carry)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), y, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), carry, last)


def test_reverse_is_the_sequence_turned_round(cell):
    rule, x, w, u = _arguments(*cell, 2)
    last, y = rule(x, w, u, reverse=True)
    turned_last, turned = rule(x[:, ::-1], w, u)
    np.testing.assert_allclose(y, turned[:, ::-1], atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), last, turned_last)


def test_empty_sequence_hands_the_carry_on(cell):
    rule, x, w, u = _arguments(*cell, 2, time=0)
    carry = jax.tree.map(lambda state: state + 0.5, rule(x, w, u)[0])
    (last, y), pull = jax.vjp(lambda x, w, u, carry: rule(x, w, u, carry=carry), x, w, u, carry)
    dx, dw, du, dcarry = pull((carry, y))
    assert y.shape == (2, 0, 3)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not du.any()
    jax.tree.map(np.testing.assert_array_equal, (last, dcarry), (carry, carry))


def test_nothing_beyond_a_length_counts(cell):
    rule, x, w, u = _arguments(*cell, 2)
    lengths = jnp.array([3, 0])
    (_, y), pull = jax.vjp(lambda x: rule(x, w, u, seq_lengths=lengths), x)
    (dx,) = pull(jax.tree.map(jnp.ones_like, rule(x, w, u)))
    assert not y[0, 3:].any()
    assert not y[1].any()
    assert dx[0, :3].all()
    assert not dx[0, 3:].any()
    assert not dx[1].any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf])
def test_whatever_fills_the_steps_beyond_a_length_counts_for_nothing(cell, filling, reverse):
    rule, x, w, u = _arguments(*cell, 2, time=33)
    lengths = jnp.array([3, 0])
    beyond = jnp.arange(33)[:, None] >= lengths[:, None, None]

    def pulled(filling):
        (last, y), pull = jax.vjp(
            lambda x, w, u: rule(x, w, u, seq_lengths=lengths, reverse=reverse), jnp.where(beyond, filling, x), w, u
        )
        return pull((last, jnp.where(beyond, filling, y)))

    jax.tree.map(np.testing.assert_array_equal, pulled(filling), pulled(0))


def test_whatever_fills_the_steps_beyond_a_length_stays_out_of_the_factors(cell):
    rule, x, w, u = _arguments(*cell, 2)
    whole, two = functions.halves(rule, "rule"), rules.pieces(rule)
    assert two is not None

    def totals(x):
        cotangents, residuals = whole.forward(x, w, u, seq_lengths=jnp.array([3, 0]))
        _, delta = two.travel(*whole.static, residuals, cotangents)
        return {name: factor.total() for name, factor in two.factors(*whole.static, residuals, delta).items()}

    jax.tree.map(np.testing.assert_array_equal, totals(x.at[0, 3:].set(jnp.nan).at[1].set(jnp.nan)), totals(x))


def test_length_beyond_the_time_under_jit_is_the_time(cell):
    rule, x, w, u = _arguments(*cell)
    cut = jax.jit(lambda n: rule(x, w, u, seq_lengths=n)[1])
    np.testing.assert_allclose(cut(9), rule(x, w, u)[1], atol=1e-6)
    assert not cut(-1).any()


def test_half_precision_keeps_the_dtypes(cell):
    rule, x, w, u = _arguments(*cell, 2)
    carry, y = rule(*(a.astype(jnp.bfloat16) for a in (x, w, u)))
    assert {str(a.dtype) for a in jax.tree.leaves((carry, y))} == {"bfloat16"}
    carry = jax.tree.map(lambda state: state.astype(jnp.float32), carry)
    assert {str(a.dtype) for a in jax.tree.leaves(rule(x, w, u, carry=carry)[0])} == {"float32"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x, w: rules.rnn(x, w, w[:3], activation="sine"),
            ValueError,
            "rnn: activation, wanted one of tanh, relu",
        ),
        (lambda x, w: rules.rnn(x[0, 0], w, w[:3]), ValueError, r"rnn: x, wanted shape \(\*batch, time, n_in\)"),
        (lambda x, w: rules.rnn(x, w, w), ValueError, r"rnn: u, wanted shape \(hidden, 1 · hidden\), got \(4, 3\)"),
        (lambda x, w: rules.gru(x, w, w[:1], None, w[0]), ValueError, r"gru: b_n, wanted shape \(1,\)"),
        (lambda x, w: rules.rnn(x, w.T, w[:3]), ValueError, r"rnn: w, wanted shape \(4, 3\)"),
        (lambda x, w: rules.rnn(x, w, w[:3], w[0, :2]), ValueError, r"rnn: b, wanted shape \(3,\)"),
        (lambda x, w: rules.rnn(x, w, w[:3], None, w), ValueError, r"rnn: carry, wanted shape \(2, 3\)"),
        (lambda x, w: rules.lstm(x, w, w, None, (w, w)), ValueError, r"lstm: u, wanted shape \(hidden, 4 · hidden\)"),
        (
            lambda x, w: rules.rnn(x, w, w[:3], seq_lengths=jnp.array([5])),
            ValueError,
            r"seq_lengths, wanted shape \(2,\)",
        ),
        (
            lambda x, w: rules.rnn(x, w, w[:3], seq_lengths=jnp.array([6, 0])),
            ValueError,
            r"numbers in \[0, 5\], got 0 to 6",
        ),
        (lambda x, w: rules.rnn(x, w, w[:3], seq_lengths=jnp.ones(2)), TypeError, "seq_lengths, wanted integers"),
        (lambda x, w: rules.rnn(x.astype(int), w, w[:3]), TypeError, "rnn: x, wanted a floating point array"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(jnp.ones((2, 5, 4)), jnp.ones((4, 3)))
