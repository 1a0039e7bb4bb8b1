"""The messages as a table to print."""

from itertools import zip_longest

from ._graph import CONSTANT, Backpropagation, Node
from ._text import brief, gradient_equation, message_equation, operation

HEADER = ("node", "operation", "value", "from", "message × local gradient", "sum")


def table(back: Backpropagation) -> str:
    """Every node, from the result back to the inputs: what it is and what arrives at it.

    Args:
      back: the result of `backpropagate`.

    Returns:
      Lines with the columns node, operation, value, each successor with its message × local
      gradient, and their sum, the node's backpropagated gradient.

    Example:
      >>> from jbackprop import graph
      >>> print(graph.table(graph.backpropagate(graph.trace(lambda w, x: w * x, 5.0, 2.0))))
      node  operation  value  from  message × local gradient  sum
      f     w · x         10                                  ∂f/∂f = 1
      x     input          2  f     ∂f/∂f · w = 1 · 5 = 5     ∂f/∂x = 5
      w     input          5  f     ∂f/∂f · x = 1 · 2 = 2     ∂f/∂w = 2
    """
    nodes = [node for node in reversed(back.graph.nodes) if node.operation != CONSTANT]
    return _aligned([HEADER, *(row for node in nodes for row in _rows(back, node))])


def _rows(back: Backpropagation, node: Node) -> list[tuple[str, ...]]:
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


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their longest entry; values to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if k == 2 else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
