"""Recurrences over whole sequences, h of every step going in and out.  The derivations stand with the rules.

Here δ of all steps is a value, so the parameters get theirs in one product each; the rules by themselves, which nobody
asks for δ, take the steps in chunks.
"""

import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jbackprop import rules
from jbackprop.rules import factored, static

from ._branches import Parallel, parallel
from ._layer import About, Layer, Params, Shape, check_positive
from ._of import Of, layer_from
from ._parameters import FEATURES, Parameter, lecun_normal, orthogonal, zeros

_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


Output = Literal["steps", "last"]


@factored
class Recurred:
    """What a recurrence keeps.

    Attributes:
      kept: the rule's residuals.
      steps: how many there are.
    """

    kept: Any
    steps: int = static()


@dataclasses.dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A recurrence that starts from zeros; `rnn`, `gru` and `lstm` make it.

    Attributes:
      cell: which.
      hidden: the size of h.
      options: static ones of the rule, by name.
      output: whether h of every step comes out, or of the last.
      lengths: whether the input is a pair (x, lengths).
    """

    cell: Literal["rnn", "gru", "lstm"]
    hidden: int
    options: tuple[tuple[str, Any], ...] = ()
    output: Output = "steps"
    lengths: bool = False

    def __repr__(self) -> str:
        words = [str(self.hidden), *(f"{name}={value!r}" for name, value in self.options)]
        words += [f"output={self.output!r}"] if self.output != "steps" else []
        return f"{self.cell}({', '.join([*words, 'lengths=True'] if self.lengths else words)})"

    @property
    def inner(self) -> Of:
        """The layer of the rule, whose output is the last carry besides."""
        columns = _GATES[self.cell] * self.hidden
        w, u = Parameter(lecun_normal(), (FEATURES, columns)), Parameter(orthogonal(), (self.hidden, columns))
        biases = {"b": Parameter(zeros, (columns,))}
        if self.cell == "gru":
            biases["b_n"] = Parameter(zeros, (self.hidden,))
        rule = functools.partial(getattr(rules, self.cell), **dict(self.options))
        inputs = ("x", "seq_lengths") if self.lengths else ("x",)
        return layer_from(rule, {"w": w, "u": u, **biases}, inputs=inputs, integers=inputs[1:])

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """W by LeCun's variance, U orthogonal, biases 0; ValueError where the input has no such shape."""
        if self.lengths and (not isinstance(shape, tuple | list) or len(shape) != 2 or shape[1] != ()):
            wanted = "wanted ((time, features), ()), that of a sequence and its length"
            raise ValueError(f"{self.cell}: shape, {wanted}, got {shape}")
        steps = dataclasses.replace(self, lengths=False).inner
        params, (_, out_shape) = dataclasses.replace(steps, axes=2).init(key, shape[0] if self.lengths else shape)
        return params, out_shape if self.output == "steps" else out_shape[1:]

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[jax.Array, Recurred]:
        """h of every step, (batch, time, hidden), or of the last, (batch, hidden)."""
        (carry, y), kept = self.inner.forward(params, x)
        last = carry[1] if self.cell == "lstm" else carry
        return y if self.output == "steps" else last, Recurred(kept, y.shape[-2])

    def backward(self, params: Params, cache: Recurred, dy: jax.Array) -> tuple[Any, jax.Array]:
        """∂C/∂x and δ of every step, from the last to the first."""
        if self.output == "steps":
            dlast, dsteps = jnp.zeros_like(dy[..., 0, :]), dy
        else:
            dlast, dsteps = dy, jnp.repeat(jnp.zeros_like(dy)[..., None, :], cache.steps, axis=-2)
        dcarry = (jnp.zeros_like(dlast), dlast) if self.cell == "lstm" else dlast
        return self.inner.backward(params, cache.kept, (dcarry, dsteps))

    def factors(self, params: Params, cache: Recurred, delta: jax.Array) -> Any:
        """xᵀ δ, hᵀ δ and Σ δ over all steps."""
        return self.inner.factors(params, cache.kept, delta)

    def about(self) -> About:
        """A cell, step by step."""
        return About(self.cell, f"{self.cell}({{x}})", "through time({dy})", "{delta} W{l}ᵀ")


def rnn(
    hidden: int,
    *,
    activation: Literal["tanh", "relu"] = "tanh",
    reverse: bool = False,
    output: Output = "steps",
    lengths: bool = False,
) -> Recurrent:
    """h_t = φ(x_t W + h_{t−1} U + b) from h₀ = 0; the output is h of every step, or of the last.

    Args:
      hidden: the size of h.
      activation: φ.
      reverse: whether time runs from the last step to the first; each output still stands beside its input.
      output: "steps", (time, hidden), or "last", (hidden,): h after the last step that time runs to.
      lengths: whether the input is a pair (x, lengths) of sequences and the numbers of their steps that count; those
        behind have output 0, change no h and get no gradient.

    Raises:
      ValueError: hidden is not positive, or there is no such output; `init` raises it where the shape does not fit.
    """
    return _made("rnn", hidden, output, lengths, activation=(activation, "tanh"), reverse=(reverse, False))


def gru(hidden: int, *, reverse: bool = False, output: Output = "steps", lengths: bool = False) -> Recurrent:
    """The gated recurrent unit; arguments as in `rnn`."""
    return _made("gru", hidden, output, lengths, reverse=(reverse, False))


def lstm(hidden: int, *, reverse: bool = False, output: Output = "steps", lengths: bool = False) -> Recurrent:
    """Long short-term memory; arguments as in `rnn`."""
    return _made("lstm", hidden, output, lengths, reverse=(reverse, False))


def bidirectional(layer: Recurrent) -> Parallel:
    """A recurrence in both directions over the same sequence, their outputs side by side.

    Raises:
      TypeError: layer is not a recurrence.
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(f"bidirectional: layer, wanted rnn, gru or lstm, got {layer!r}")
    back = dataclasses.replace(layer, options=tuple({**dict(layer.options), "reverse": True}.items()))
    return parallel(layer, back, join="concatenate")


def _made(cell, hidden, output, lengths, **options):
    check_positive(cell, hidden=hidden)
    if output not in get_args(Output):
        raise ValueError(f"{cell}: output, wanted one of {', '.join(get_args(Output))}, got {output!r}")
    given = tuple((name, value) for name, (value, default) in options.items() if value != default)
    return Recurrent(cell, hidden, given, output, lengths)
