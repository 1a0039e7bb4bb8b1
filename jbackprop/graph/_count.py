"""Why backprop goes backward: how many products each way of differentiating computes.

Count one product for each message × local gradient.  With n(v) the number of paths from a node v to the cost and l(v)
the sum of their lengths,

    path by path     Σ over the inputs of l(input)            n and l grow exponentially with depth
    forward mode     Σ over the inputs of the edges behind it  one sweep for each input
    reverse mode     the edges, each once                      one sweep for all

    n(v) = Σ over the edges v → s of n(s)        l(v) = Σ over the edges v → s of l(s) + n(s)
"""

from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from pathlib import Path

import jax.numpy as jnp

from jbackprop import report

from ._backpropagate import backpropagate
from ._graph import Sweep
from ._trace import trace


@dataclass(frozen=True)
class Products:
    """The number of paths from an input to the cost, and of products in each way."""

    paths: int
    path_by_path: int
    forward: int
    reverse: int


def count(back: Sweep) -> Products:
    """Counts on the graph itself, a node as one quantity whatever its shape.

    Example:
      >>> from jbackprop import graph
      >>> graph.count(graph.backpropagate(graph.trace(lambda x: x * x + x, 3.0)))
      Products(paths=3, path_by_path=5, forward=4, reverse=4)
    """
    edges = [message.edge for message in back.messages]
    paths, lengths = _paths(back, edges)
    live = [edge for edge in edges if paths[edge.target]]
    inputs = [index for index in back.graph.inputs if back.gradients[index] is not None]
    return Products(
        paths=sum(paths[index] for index in inputs),
        path_by_path=sum(lengths[index] for index in inputs),
        forward=sum(_edges_behind(index, live) for index in inputs),
        reverse=len(live),
    )


def _paths(back, edges):
    """n and l of every node.  The messages stand in an order in which targets are complete."""
    paths, lengths = [0] * len(back.graph.nodes), [0] * len(back.graph.nodes)
    paths[back.cost.index] = 1
    for edge in edges:
        paths[edge.source] += paths[edge.target]
        lengths[edge.source] += lengths[edge.target] + paths[edge.target]
    return paths, lengths


def _edges_behind(start, edges):
    """How many edges can be reached from a node."""
    reached, total = {start}, 0
    for edge in sorted(edges, key=lambda edge: edge.target):
        if edge.source in reached:
            reached.add(edge.target)
            total += 1
    return total


def layered(width: int, depth: int) -> Products:
    """The counts for a network of single numbers: `depth` layers of `width` units each."""
    weights = jnp.linspace(-1.0, 1.0, depth * width * width).reshape(depth, width, width)
    scalars = [[[float(w) for w in row] for row in layer] for layer in weights]
    return count(backpropagate(trace(_network, scalars, [1.0] * width)))


def _network(weights, units):
    """A layer is tanh(Σᵢ wⱼᵢ uᵢ) for each unit j, written out; the cost is the sum of the last."""
    for layer in weights:
        units = [jnp.tanh(reduce(add, map(mul, row, units))) for row in layer]
    return reduce(add, units)


def plot_products(path: str | Path, depths: int = 8, widths: int = 5) -> None:
    """Draws the three counts against depth (two units wide) and width (three layers deep).

    Args:
      path: the file to write, .svg, which follows the reader's light or dark, or .png.
      depths, widths: how far to count.

    Raises:
      ValueError: another suffix; nothing is written.
      OSError: the file cannot be written.
      ImportError: matplotlib is missing.
    """
    panels = (
        _panel("two units wide", "depth", {depth: layered(2, depth) for depth in range(1, depths + 1)}),
        _panel("three layers deep", "width", {width: layered(width, 3) for width in range(1, widths + 1)}),
    )
    drawn = report.Document("Products", figures=(report.Figure("Products", panels),))
    report.save(path, {".svg": lambda: report.svg(drawn), ".png": lambda: report.png(drawn)})


def _panel(title, x, counts):
    lines = (_line(way, counts) for way in ("path_by_path", "forward", "reverse"))
    return report.Panel(title, x, "", tuple(lines), even=True)


def _line(way, counts):
    x, y = zip(*((float(n), float(getattr(counted, way))) for n, counted in counts.items()), strict=True)
    return report.Line(way.replace("_", " "), x, y, low=y, high=y)
