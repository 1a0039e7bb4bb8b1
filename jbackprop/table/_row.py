"""One line of the table: a value by hand, the same value automatically, and how far apart they are."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jbackprop.functions import UNITS, Allowance, described, is_inexact, largest
from jbackprop.report import number

Role = Literal["value", "received", "delta", "gradient"]

_NOISE = 4.0
"""How many times the carried rounding a right result may be off."""


class Verdict(NamedTuple):
    """How two arrays compare.

    Attributes:
      kind: "exact", bit by bit; "rounding", no further apart than rounding explains; "differs"; or "alone", where there
        is nothing to compare with.
      text: the same for people, with the largest difference and where it is.
      difference: the largest difference of two entries; infinite where the arrays have different shapes.
      entry: its index.
    """

    kind: Literal["exact", "rounding", "differs", "alone"]
    text: str
    difference: float = 0.0
    entry: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A value of the table.

    Attributes:
      symbol: what it is, such as "∂C/∂W²".
      role: "value" for what a layer computes, "received" for ∂C/∂ of that, "delta" for δ, "gradient" for a parameter's.
      equation: its right-hand side.
      source: whose function computed it, such as "layer 2, linear: backward".
      value: by hand.
      automatic: by automatic differentiation; None where that does not tell it.
      verdict: how they compare.
      name: of the parameter, or of the part of an output or δ that has several.
    """

    symbol: str
    role: Role
    equation: str
    source: str
    value: Any
    automatic: Any
    verdict: Verdict
    name: str = ""

    @property
    def shape(self) -> str:
        """The dtype and shape of the value, such as "float32[3,4]"."""
        return "missing" if self.value is None else _shape(self.value)


def judge(value: Any, automatic: Any, length: int, noise: Any = None) -> Verdict:
    """Whether a value is the automatic one, to rounding.

    Args:
      value: by hand; None if it is missing.
      automatic: what it should be, or None if nobody knows.
      length: the longest sum in it.
      noise: what rounding before the last step does to it, entry by entry.
    """
    if automatic is None:
        return Verdict("alone", "no automatic value")
    if value is None or _shape(value) != _shape(automatic):
        got = "nothing" if value is None else _shape(value)
        return Verdict("differs", f"DIFFERS: got {got}, wanted {_shape(automatic)}", np.inf)
    got, wanted = _plain(value), _plain(automatic)
    if np.array_equal(got, wanted, equal_nan=True):
        return Verdict("exact", "exact")
    return _judge_numbers(got, wanted, _allowance(automatic, length, noise))


def agree(value: Any, automatic: Any, length: int, noise: Any = None) -> bool:
    """Whether two arrays differ by no more than rounding."""
    return judge(value, automatic, length, noise).kind in ("exact", "rounding")


def _judge_numbers(got, wanted, allowance):
    units = allowance.units(got, wanted)
    entry = tuple(int(i) for i in np.unravel_index(units.argmax(), units.shape))
    where = f" at [{', '.join(map(str, entry))}]" if entry else ""
    difference = float(abs(got[entry] - wanted[entry]))
    if units[entry] <= UNITS:
        apart = largest(np.where(np.isfinite(wanted), got - wanted, 0))
        return Verdict("rounding", f"agrees to rounding ({number(apart, 1)})", apart, entry)
    numbers = f"got {number(got[entry], 6)}, wanted {number(wanted[entry], 6)}"
    return Verdict("differs", f"DIFFERS by {number(difference, 3)}{where}: {numbers}", difference, entry)


def _allowance(automatic, length, noise):
    rounds = is_inexact(automatic)
    carried = 0.0 if noise is None else _NOISE * largest(_plain(noise))
    return Allowance(str(automatic.dtype) if rounds else "float32", length, noise=carried)


def _plain(array):
    array = np.asarray(array)
    return array.astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _shape(array):
    return described(jnp.asarray(array))


class Block(NamedTuple):
    """The rows of one layer, of the input or of the cost.

    Attributes:
      title: such as "layer 2, linear".
      rows: in the order output, ∂C/∂output, δ, parameter gradients.
      number: l, for a layer.
      params: its parameters.
    """

    title: str
    rows: tuple[Row, ...]
    number: int = 0
    params: Any = ()
