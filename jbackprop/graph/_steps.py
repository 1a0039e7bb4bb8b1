"""The steps in which a graph is gone through: every value on the way forward, every message on the way back."""

from collections.abc import Iterator
from typing import Any

from ._graph import CONSTANT, INPUT, Sweep
from ._text import figure_sum, forward_equation, gradient_equation, message_equation


def steps(back: Sweep) -> list[dict[str, Any]]:
    """What appears in each step, and what is to be said about it.

    A step forward has "value", the node that is computed; a step back "node", which receives, with "sum", what it has
    by then, "done", whether that is all, and "edge", the number of the edge that the message comes by.
    """
    return [*_forward(back), *_backward(back)]


def _forward(back) -> Iterator[dict[str, Any]]:
    """One step for each computed node; inputs and constants are there from the start."""
    for node in back.graph.nodes:
        if node.operation not in (INPUT, CONSTANT):
            yield {"value": node.index, "text": forward_equation(back.graph, node)}


def _backward(back) -> Iterator[dict[str, Any]]:
    """The cost's own gradient, then one step for each message, with the sum so far."""
    cost, number = back.cost, {edge: k for k, edge in enumerate(back.graph.edges)}
    yield {
        "node": cost.index,
        "sum": "1",
        "done": True,
        "text": f"∂{cost.name}/∂{cost.name} = 1",
    }
    for node in reversed(back.graph.nodes):
        received = back.received[node.index]
        for k, message in enumerate(received, start=1):
            done = k == len(received)
            successor = back.graph.nodes[message.edge.target].name
            text = f"{successor} sends {node.name}  {message_equation(back, message)}"
            if done:
                text += f"\n{gradient_equation(back, node)}"
            yield {
                "node": node.index,
                "edge": number[message.edge],
                "sum": figure_sum(back, node, k),
                "done": done,
                "text": text,
            }
