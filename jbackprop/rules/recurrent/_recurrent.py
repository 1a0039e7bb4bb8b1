"""h_t = cell(x_t, h_{t−1}) over a whole sequence: plain, gated (GRU), and long short-term memory (LSTM).

Examples are rows, x = x_t the input of a step, h' = h_{t−1} the state before it, W and U their weights.  Backward, dh
is all of ∂C/∂h_t: what the later steps send, and what the output y_t = h_t gets itself.

    rnn     h = φ(z)                             z = x W + h' U + b
            δ = dh ⊙ φ'(z)                       φ' = 1 − h² (tanh) or 1[h > 0] (relu, so 0 at 0)
            dh' = δ Uᵀ

    gru     r = σ(z_r + m_r)                     z = x W + b
            s = σ(z_s + m_s)                     m = h' U
            n = tanh(z_n + r ⊙ q)                q = m_n + b_n
            h = (1 − s) ⊙ n + s ⊙ h'
            δ_n = dh ⊙ (1 − s) ⊙ (1 − n²)        δ_s = dh ⊙ (h' − n) ⊙ s (1 − s)         δ_r = δ_n ⊙ q ⊙ r (1 − r)
            δ = (δ_r, δ_s, δ_n) = ∂C/∂z          δ' = (δ_r, δ_s, r ⊙ δ_n) = ∂C/∂m
            dh' = dh ⊙ s + δ' Uᵀ                 db_n = Σ r ⊙ δ_n

    lstm    i, f, o = σ(z_i), σ(z_f), σ(z_o)     z = x W + h' U + b
            g = tanh(z_g)
            c = f ⊙ c' + i ⊙ g                   h = o ⊙ tanh c
            δ_o = dh ⊙ tanh c ⊙ o (1 − o)        dc = what c sends on + dh ⊙ o ⊙ (1 − tanh² c)
            δ_i = dc ⊙ g ⊙ i (1 − i)             δ_f = dc ⊙ c' ⊙ f (1 − f)               δ_g = dc ⊙ i ⊙ (1 − g²)
            dc' = dc ⊙ f                         dh' = δ Uᵀ

    dx_t = δ_t Wᵀ        dW = Σ_t x_tᵀ δ_t        dU = Σ_t h_{t−1}ᵀ δ_t (gru: δ'_t)        db = Σ_t Σ_rows δ_t

Kept: the arguments, the carry before the first and after every step, and the gates of every step: none for rnn, r, s, n
and q for gru, i, f, g and o for lstm.

P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78, 1990.
S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.  F. A. Gers, J. Schmidhuber,
F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 12, 2000 (the gate f).  K. Cho et
al., "Learning phrase representations using RNN encoder–decoder for statistical machine translation", EMNLP, 2014; here
r acts on the product, not on the state in it, as in cuDNN, PyTorch, Flax and Equinox.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def bidirectional(
    rule: Callable, x: Float[Array, "*batch time n_in"], onward: tuple, back: tuple, seq_lengths: Array | None = None
) -> tuple[tuple[Any, Any], Float[Array, "*batch time both"]]:
    """One of the rules above in both directions over the same sequences.

    Args:
      rule: `rnn`, `gru` or `lstm`, options bound by `functools.partial`.
      x: sequences.
      onward: the rule's arguments from w to carry for the direction from the first step to the last.
      back: those for the other direction.
      seq_lengths: how many steps of each sequence count; all unless given.

    Returns:
      The last carry of each direction, and the outputs of both side by side, those onward first.
    """
    last, y = rule(x, *onward, seq_lengths=seq_lengths)
    first, z = rule(x, *back, seq_lengths=seq_lengths, reverse=True)
    return (last, first), jnp.concatenate([y, z], axis=-1)
