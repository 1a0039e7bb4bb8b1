"""Copies that a formula does not have, taken out of a graph: a row is repeated by itself, and a sum may keep its axis.

    z + b      b of shape (n,) is one operand of the sum, not its copy of shape (1, n)
    Σ x        over an axis that stays, is one node, not a sum and its copy with that axis

A copy that the user has named stays, and so does one that something else is made of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp

from ._graph import Node

_COPY = "broadcast_in_dim"
_BY_ELEMENT = frozenset(["add", "add_any", "sub", "mul", "div", "max", "min", "pow", "atan2", "rem"])
_REDUCTIONS = frozenset(["reduce_sum", "reduce_max", "reduce_min", "reduce_prod"])


def folded(nodes: Sequence[Node], outputs: Sequence[int]) -> list[Node]:
    """The nodes, with such copies left without a use; `outputs` stay."""
    nodes = list(nodes)
    uses = Counter(operand for node in nodes for operand in node.operands)
    uses.update(outputs)
    for copy in list(nodes):
        if copy.operation == _COPY:
            _keep_the_axis(nodes, copy, uses)
    for node in list(nodes):
        if node.operation in _BY_ELEMENT:
            _repeat_by_itself(nodes, node)
    return nodes


def _keep_the_axis(nodes, copy, uses):
    """Makes a copy that restores the axes of a sum, and is its only use, that sum."""
    (source,) = copy.operands
    reduction = nodes[source]
    if reduction.operation not in _REDUCTIONS or uses[source] > 1 or (reduction.name and copy.name):
        return
    (x,) = reduction.operands
    if copy.shape == jnp.sum(nodes[x].value, reduction.params["axes"], keepdims=True).shape:
        nodes[copy.index] = replace(reduction, index=copy.index, value=copy.value, name=copy.name or reduction.name)


def _repeat_by_itself(nodes, node):
    """Takes what was copied for a copy among the operands, where the operation repeats it as the copy does."""
    operands = list(node.operands)
    for position, operand in enumerate(operands):
        copy = nodes[operand]
        if copy.operation == _COPY and not copy.name and _is_repeated(copy, nodes):
            others = [nodes[other].shape for i, other in enumerate(operands) if i != position]
            source = copy.operands[0]
            if jnp.broadcast_shapes(nodes[source].shape, *others) == node.shape:
                operands[position] = source
    nodes[node.index] = replace(node, operands=tuple(operands))


def _is_repeated(copy, nodes):
    """Whether a copy has its operand's axes last, as an operation by elements would have it."""
    rank = nodes[copy.operands[0]].value.ndim
    return tuple(copy.params["broadcast_dimensions"]) == tuple(range(copy.value.ndim - rank, copy.value.ndim))
