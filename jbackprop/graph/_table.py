"""The messages as a table."""

from itertools import zip_longest

from jbackprop.report import Table

from ._graph import CONSTANT, Sweep
from ._text import brief, gradient_equation, message_equation, operation

_HEAD = ("node", "operation", "value", "from", "message × local gradient", "sum")


def table(back: Sweep) -> Table:
    """Every node, from the result back to the inputs: what it is, each message that arrives at it, and their sum.

    Example:
      >>> from jbackprop import graph
      >>> print(graph.backpropagate(graph.trace(lambda w, x: w * x, 5.0, 2.0)))
      node  operation  value  from  message × local gradient  sum
      -----------------------------------------------------------------
      f     w · x         10                                  ∂f/∂f = 1
      x     input          2  f     ∂f/∂f · w = 1 · 5 = 5     ∂f/∂x = 5
      w     input          5  f     ∂f/∂f · x = 1 · 2 = 2     ∂f/∂w = 2
    """
    nodes = [node for node in reversed(back.graph.nodes) if node.operation != CONSTANT]
    return Table("", _HEAD, tuple(row for node in nodes for row in _rows(back, node)), "llrlll")


def _rows(back, node):
    """One row for each message, the node itself in the first, the sum in the last."""
    names = [back.graph.nodes[message.edge.target].name for message in back.received[node.index]]
    products = [message_equation(back, message) for message in back.received[node.index]]
    lines = max(1, len(products))
    columns = (
        [node.name],
        [operation(back.graph, node)],
        [brief(node.value)],
        names,
        products,
        [""] * (lines - 1) + [gradient_equation(back, node)],
    )
    return list(zip_longest(*columns, fillvalue=""))
