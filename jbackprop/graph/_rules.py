"""The form of a local derivative, and the registry of them.

A primitive y = f(x₀, x₁, …) has one rule for each operand, of one of two kinds:

    Factor   ∂y/∂x acts element by element:   message × ∂y/∂x is a product of arrays
    Linear   it does not:                     the message goes through the transpose of ∂y/∂x

None says that the operand gets nothing.  If there are more operands than rules, the last rule serves for the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True, eq=False)
class Call:
    """One application of a primitive, as a rule sees it; `position` is the operand in question."""

    primitive: Any
    params: Mapping[str, Any]
    operands: tuple[jax.Array, ...]
    y: jax.Array
    position: int
    output: int

    @property
    def x(self) -> jax.Array:
        """The operand in question."""
        return self.operands[self.position]

    @property
    def a(self) -> jax.Array:
        return self.operands[0]

    @property
    def b(self) -> jax.Array:
        return self.operands[1]


Text = str | Callable[[Call], str]


@dataclass(frozen=True)
class Factor:
    """∂y/∂x element by element: in symbols and as a function of the call."""

    text: Text
    local: Callable[[Call], jax.Array]


@dataclass(frozen=True)
class Linear:
    """Message ↦ message · ∂y/∂x: in symbols and as a function of message and call."""

    text: Text
    pull: Callable[[jax.Array, Call], jax.Array]


Rule = Factor | Linear
TABLE: dict[str, tuple[Rule | None, ...]] = {}


def derivative(primitive: str, *rules: Rule | None) -> None:
    """Says how to differentiate a primitive.

    Args:
      primitive: its name, as the jaxpr prints it.
      *rules: one for each operand.  In their texts {x} stands for the operand, {y} for the result,
        {a} and {b} for the first two operands, {m} for the message.

    Raises:
      TypeError: something is no rule.

    Example:
      >>> from jbackprop import graph
      >>> from jax.scipy.special import i0e, i1e
      >>> slope = graph.Factor("i0e({x}) − (1 + 1/{x}) {y}", lambda call: i0e(call.x) - (1 + 1 / call.x) * call.y)
      >>> graph.derivative("bessel_i1e", slope)  # for x > 0
      >>> back = graph.backpropagate(graph.trace(lambda x: i1e(x), 2.0))
      >>> round(float(back.arguments[0]), 4)
      -0.0144
    """
    for rule in rules:
        if not isinstance(rule, Rule | None):
            raise TypeError(f"derivative: rules, wanted Factor, Linear or None, got {rule!r}")
    TABLE[primitive] = rules


def rule_for(primitive: str, position: int) -> Rule | None:
    """The rule of one operand.

    Raises:
      NotImplementedError: the table has no entry for the primitive.
    """
    if primitive not in TABLE:
        unrolled = " (trace with unroll=True to write it out)" * (primitive in CONTROL)
        raise NotImplementedError(
            f"backpropagate: no local derivative for the primitive {primitive!r}{unrolled}; "
            f"add one with graph.derivative({primitive!r}, graph.Factor(text, local))"
        )
    rules = TABLE[primitive]
    return rules[min(position, len(rules) - 1)]


CONTROL = ("scan", "while", "cond")
