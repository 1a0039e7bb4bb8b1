"""Cases of the recurrences, against loops over time; lengths, directions, carries, and sequences of several chunks."""

from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, fixed, float32, normal


def _loop(cell, x, carry, seq_lengths=None, reverse=False):
    """cell(x_t, carry) -> carry at every step that counts; carries are tuples, h last."""

    def step(carry, inputs):
        t, x = inputs
        after = cell(x, carry)
        counts = True if seq_lengths is None else (t < seq_lengths)[..., None]
        carry = tuple(jnp.where(counts, new, old) for new, old in zip(after, carry, strict=True))
        return carry, jnp.where(counts, carry[-1], 0)

    steps = jnp.arange(x.shape[-2]), jnp.moveaxis(x, -2, 0)
    last, y = jax.lax.scan(step, carry, steps, reverse=reverse)
    return last, jnp.moveaxis(y, 0, -2)


def _gate(k, x, h, w, u, b):
    """The k-th of the gates' pre-activations."""
    hidden = u.shape[0]
    own = slice(k * hidden, (k + 1) * hidden)
    return x @ w[:, own] + h @ u[:, own] + (0 if b is None else b[own])


def _rnn(x, w, u, b=None, carry=None, seq_lengths=None, phi=jnp.tanh, reverse=False):
    (last,), y = _loop(lambda x, carry: (phi(_gate(0, x, carry[0], w, u, b)),), x, (carry,), seq_lengths, reverse)
    return last, y


def _gru(x, w, u, b, b_n, carry, seq_lengths=None, reverse=False):
    hidden = len(u)

    def cell(x, carry):
        (h,) = carry
        r, s = (1 / (1 + jnp.exp(-_gate(k, x, h, w, u, b))) for k in range(2))
        candidate = x @ w[:, -hidden:] + b[-hidden:] + r * (h @ u[:, -hidden:] + b_n)
        return (jnp.tanh(candidate) * (1 - s) + s * h,)

    (last,), y = _loop(cell, x, (carry,), seq_lengths, reverse)
    return last, y


def _lstm(x, w, u, b, c, h, seq_lengths=None, reverse=False):
    def cell(x, carry):
        c, h = carry
        i, f, g, o = (_gate(k, x, h, w, u, b) for k in range(4))
        c = jax.scipy.special.expit(f) * c + jax.scipy.special.expit(i) * jnp.tanh(g)
        return c, jax.scipy.special.expit(o) * jnp.tanh(c)

    return _loop(cell, x, (c, h), seq_lengths, reverse)


def _lstm_rule(x, w, u, b, c, h, seq_lengths=None, reverse=False):
    """The carry's parts as arguments of their own."""
    return rules.lstm(x, w, u, b, (c, h), seq_lengths, reverse)


def _weights(gates, n_in, hidden):
    return normal(n_in, gates * hidden), normal(hidden, gates * hidden), normal(gates * hidden)


def _scaled(gates, n_in, hidden):
    """Weights for sizes that people use, of a size that keeps the state in range."""
    draws = _weights(gates, n_in, hidden)
    return tuple(lambda key, dtype, draw=draw: (draw(key, dtype) / hidden**0.5).astype(dtype) for draw in draws)


def _case(name, rule, reference, draws, shapes, lengths=(), at_scale=(), **options):
    """A case of a rule and a reference that know the same options."""
    kept = *float32(*shapes), *(f"int32[{n}]" for n in lengths)
    return Case(name, partial(rule, **options), partial(reference, **options), draws, kept, at_scale)


def _both_ways(seq_lengths, x, w, u, carry, *back):
    return rules.bidirectional(rules.rnn, x, (w, u, None, carry), back, seq_lengths)


def _both_ways_reference(seq_lengths, x, w, u, carry, *back):
    last, y = _rnn(x, w, u, None, carry, seq_lengths)
    first, z = _rnn(x, *back, seq_lengths=seq_lengths, reverse=True)
    return (last, first), jnp.concatenate([y, z], axis=-1)


def _without_parameters(cell):
    """Neither biases nor carry."""
    return lambda x, w, u, **options: cell(x, w, u, None, jnp.zeros((*x.shape[:-2], len(u)), x.dtype), **options)


_SCALE = normal(16, 256, 512)

RECURRENT = (
    _case(
        "rnn",
        rules.rnn,
        _rnn,
        (normal(3, 5, 4), *_weights(1, 4, 2), normal(3, 2)),
        ((3, 5, 4), (4, 2), (2, 2), (2,), (3, 2), (1, 5, 3, 2)),
        at_scale=(_SCALE, *_scaled(1, 512, 512), normal(16, 512)),
    ),
    _case(
        "rnn, relu, weights alone, no batch axis, two chunks",
        partial(rules.rnn, activation="relu"),
        partial(_without_parameters(_rnn), phi=jax.nn.relu),
        (normal(33, 3), *_scaled(1, 3, 2)[:2]),
        ((33, 3), (3, 2), (2, 2), (2, 17, 1, 2)),
    ),
    _case(
        "gru",
        rules.gru,
        _gru,
        (normal(3, 5, 4), *_weights(3, 4, 2), normal(2), normal(3, 2)),
        ((3, 5, 4), (4, 6), (2, 6), (6,), (2,), (3, 2), (1, 5, 3, 2), (1, 5, 3, 8)),
        at_scale=(_SCALE, *_scaled(3, 512, 512), normal(512), normal(16, 512)),
    ),
    _case(
        "gru, lengths, reverse, two batch axes",
        rules.gru,
        _gru,
        (normal(2, 3, 5, 4), *_weights(3, 4, 1), normal(1), normal(2, 3, 1), fixed([[3, 2, 0], [1, 5, 5]])),
        ((2, 3, 5, 4), (4, 3), (1, 3), (3,), (1,), (2, 3, 1), (1, 5, 6, 1), (1, 5, 6, 4)),
        lengths=("2,3",),
        reverse=True,
    ),
    _case(
        "lstm",
        _lstm_rule,
        _lstm,
        (normal(3, 5, 4), *_weights(4, 4, 2), normal(3, 2), normal(3, 2)),
        ((3, 5, 4), (4, 8), (2, 8), (8,), (3, 2), (3, 2), (1, 5, 3, 2), (1, 5, 3, 2), (1, 5, 3, 8)),
        at_scale=(_SCALE, *_scaled(4, 512, 512), normal(16, 512), normal(16, 512)),
    ),
    _case(
        "lstm, lengths, no batch axis, reverse, two chunks",
        _lstm_rule,
        _lstm,
        (normal(33, 3), *_scaled(4, 3, 2), normal(2), normal(2), fixed(29)),
        ((33, 3), (3, 8), (2, 8), (8,), (2,), (2,), (2, 17, 1, 2), (2, 17, 1, 2), (2, 17, 1, 8)),
        lengths=("",),
        reverse=True,
    ),
    _case(
        "bidirectional, rnn, lengths",
        _both_ways,
        _both_ways_reference,
        (fixed([5, 0, 3]), normal(3, 5, 4), *_weights(1, 4, 2)[:2], normal(3, 2), *_weights(1, 4, 1), normal(3, 1)),
        ((3, 5, 4), (4, 2), (2, 2), (3, 2), (1, 5, 3, 2), (4, 1), (1, 1), (1,), (3, 1), (1, 5, 3, 1)),
        lengths=("3",),
        at_scale=(
            fixed([256, 192] * 8),
            _SCALE,
            *_scaled(1, 512, 512)[:2],
            normal(16, 512),
            *_scaled(1, 512, 512),
            normal(16, 512),
        ),
    ),
)
