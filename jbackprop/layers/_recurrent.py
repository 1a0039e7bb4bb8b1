"""Recurrences over whole sequences, h of every step going in and out.  The derivations stand with the rules.

Here δ of all steps is a value, so the parameters get theirs in one product each; the rules by themselves, which nobody
asks for δ, take the steps in chunks.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._branches import Parallel, parallel
from ._layer import About, Layer, Params, Shape
from ._of import Of, layer_from
from ._parameters import FEATURES, Parameter, lecun_normal, orthogonal, zeros

_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclasses.dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A recurrence that starts from zeros; `rnn`, `gru` and `lstm` make it.

    Attributes:
      cell: which.
      hidden: the size of h.
      options: static ones of the rule, by name.
    """

    cell: Literal["rnn", "gru", "lstm"]
    hidden: int
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        words = [str(self.hidden), *(f"{name}={value!r}" for name, value in self.options)]
        return f"{self.cell}({', '.join(words)})"

    @property
    def inner(self) -> Of:
        """The layer of the rule, whose output is the last carry besides."""
        columns = _GATES[self.cell] * self.hidden
        w, u = Parameter(lecun_normal(), (FEATURES, columns)), Parameter(orthogonal(), (self.hidden, columns))
        biases = {"b": Parameter(zeros, (columns,))}
        if self.cell == "gru":
            biases["b_n"] = Parameter(zeros, (self.hidden,))
        rule = functools.partial(getattr(rules, self.cell), **dict(self.options))
        return layer_from(rule, {"w": w, "u": u, **biases}, inputs=("x",), axes=2)

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """W by LeCun's variance, U orthogonal, biases 0."""
        params, (_, out_shape) = self.inner.init(key, shape)
        return params, out_shape

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """h of every step, (batch, time, hidden)."""
        (_, y), kept = self.inner.forward(params, x)
        return y, kept

    def backward(self, params: Params, cache: Any, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        """∂C/∂x and δ of every step, from the last to the first."""
        none = jax.tree.map(jnp.zeros_like, self._carry(dy))
        (dx, *_), delta = self.inner.backward(params, cache, (none, dy))
        return dx, delta

    def factors(self, params: Params, cache: Any, delta: jax.Array) -> Any:
        """xᵀ δ, hᵀ δ and Σ δ over all steps."""
        return self.inner.factors(params, cache, delta)

    def about(self) -> About:
        """A cell, step by step."""
        return About(self.cell, f"{self.cell}({{x}})", "through time({dy})", "{delta} W{l}ᵀ")

    def _carry(self, dy):
        state = dy[..., 0, :]
        return (state, state) if self.cell == "lstm" else state


def rnn(hidden: int, *, activation: Literal["tanh", "relu"] = "tanh", reverse: bool = False) -> Recurrent:
    """h_t = φ(x_t W + h_{t−1} U + b) from h₀ = 0; the output is h of every step.

    Args:
      hidden: the size of h.
      activation: φ.
      reverse: whether time runs from the last step to the first; each output still stands beside its input.

    Raises:
      ValueError: hidden is not positive.
    """
    return _made("rnn", hidden, activation=(activation, "tanh"), reverse=(reverse, False))


def gru(hidden: int, *, reverse: bool = False) -> Recurrent:
    """The gated recurrent unit; arguments as in `rnn`."""
    return _made("gru", hidden, reverse=(reverse, False))


def lstm(hidden: int, *, reverse: bool = False) -> Recurrent:
    """Long short-term memory; arguments as in `rnn`."""
    return _made("lstm", hidden, reverse=(reverse, False))


def bidirectional(layer: Recurrent) -> Parallel:
    """A recurrence in both directions over the same sequence, their outputs side by side.

    Raises:
      TypeError: layer is not a recurrence.
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(f"bidirectional: layer, wanted rnn, gru or lstm, got {layer!r}")
    back = dataclasses.replace(layer, options=tuple({**dict(layer.options), "reverse": True}.items()))
    return parallel(layer, back, join="concatenate")


def _made(cell, hidden, **options):
    if hidden < 1:
        raise ValueError(f"{cell}: hidden, wanted a positive number, got {hidden}")
    return Recurrent(
        cell, hidden, tuple((name, value) for name, (value, default) in options.items() if value != default)
    )
