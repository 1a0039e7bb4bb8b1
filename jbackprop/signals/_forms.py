"""Closed form or explicit: what each costs, counted from the shapes.

Of m examples with t positions, and a parameter of n_in × n_out numbers,

    closed      2 m t² (n_in + n_out) operations, 2 m t² numbers written and read
    explicit    2 m t n_in n_out operations, m n_in n_out numbers written and read

so that short sequences and wide layers want the closed form, long ones and small kernels the gradients themselves.
"""

import enum
import math
from typing import Any, NamedTuple

import jax

from jbackprop.layers import Stacked, Uses, is_factored
from jbackprop.rules import Factored, OneHot, Product, Summed

from ._products import positions

OPERATIONS_A_BYTE = 16
"""How many operations a machine does while it moves a byte: between a CPU's core and a GPU in float32."""


class Form(enum.Enum):
    """How an inner product of gradients is computed."""

    CLOSED = "closed"
    EXPLICIT = "explicit"


class Cost(NamedTuple):
    """What a form costs.

    Attributes:
      operations: additions and multiplications.
      bytes: written and read in between.
    """

    operations: int = 0
    bytes: int = 0

    @property
    def time(self) -> int:
        """In operations, those that pass while bytes are moved among them."""
        return self.operations + OPERATIONS_A_BYTE * self.bytes


class Plan(NamedTuple):
    """What is known of a factored gradient before anything is computed.

    Attributes:
      form: that of its squared norm.
      closed: the cost of the closed form, None where there is none.
      explicit: that of writing the gradient of each example out.
    """

    form: Form
    closed: Cost | None
    explicit: Cost


def plan(factors: Any) -> Any:
    """How the squared norm of each factored gradient is computed, and what either way costs, from the shapes alone.

    Args:
      factors: a tree of factored gradients, or of their shapes.

    Returns:
      A tree of `Plan`; one of every block for a stack.
    """
    return jax.tree.map(_plan, factors, is_leaf=is_factored)


def is_closed(one: Factored, other: Factored, every_two: bool = False) -> bool:
    """Whether inner products of the two are cheaper without their gradients."""
    products = _products(one), _products(other)
    if products[0] is None or products[1] is None:
        return False
    closed = _closed(*products, every_two)
    explicit = [_explicit(factor) for factor in ({id(one): one, id(other): other}.values())]
    return closed.time <= sum(cost.time for cost in explicit)


def reduced(factored: Factored) -> Factored:
    """The same in as few numbers: the gradients of the examples themselves, where they are smaller than the factors.

    They are wanted for the norms then, and make the weighted sum at no more than their own size.
    """
    if isinstance(factored, Stacked):
        return Stacked.of(jax.vmap(reduced)(factored.blocks()))
    products = _products(factored)
    if isinstance(factored, Uses) and products is None:
        return Uses(tuple(map(reduced, factored.factors)))
    if products is not None and not _pays(factored, products):
        return factored
    if isinstance(factored, Summed) and factored.delta.ndim == 2:
        return factored  # one δ an example, of one axis
    each = factored.per_example()
    return Summed(each, each.shape[1:])


def _pays(factored, products):
    passes = _explicit(factored).bytes
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(factored))
    return passes // 2 <= held and OPERATIONS_A_BYTE * passes <= _closed(products, products).time


def _plan(factored):
    if isinstance(factored, Stacked):
        return _plan(jax.eval_shape(lambda stacked: jax.tree.map(lambda leaf: leaf[0], stacked.blocks()), factored))
    products, explicit = _products(factored), _explicit(factored)
    if products is None:
        return Plan(Form.EXPLICIT, None, explicit)
    closed = _closed(products, products)
    return Plan(Form.CLOSED if closed.time <= explicit.time else Form.EXPLICIT, closed, explicit)


def _products(factored) -> tuple[Product, ...] | None:
    """The shapes of a factored gradient's products."""
    return jax.eval_shape(lambda factored: factored.products(), factored)


def _closed(products, others, every_two=False) -> Cost:
    pairs = [(one, other) for one in products for other in others]
    return _summed(_of_pair(*pair, every_two) for pair in pairs)


def _of_pair(one, other, every_two):
    examples = one.left.shape[0] * (other.left.shape[0] if every_two else 1)
    entries = examples * positions(one.left) * positions(other.left)
    sides = zip(one, other, strict=True)
    lengths = (1 if isinstance(a, OneHot) or isinstance(b, OneHot) else a.shape[-1] for a, b in sides)
    return Cost(2 * entries * sum(lengths), 2 * entries * 4)


def _explicit(factored) -> Cost:
    """Of what names no products, as many operations as if each number came from one row."""
    each = jax.eval_shape(lambda factored: factored.per_example(), factored)
    products = _products(factored) or ()
    rows = sum(_rows(*product) for product in products) if products else 1
    return Cost(2 * rows * math.prod(each.shape), 2 * each.size * each.dtype.itemsize)


def _rows(left, right):
    """The positions that reach one entry of the gradient."""
    one_hot = [side.size for side in (left, right) if isinstance(side, OneHot)]
    return -(-positions(left) // max(one_hot, default=1))


def _summed(costs):
    operations, written = zip(*costs, strict=True)
    return Cost(sum(operations), sum(written))
