"""Where the nodes stand: layers by depth, the order in each by igraph's Sugiyama layout.

An edge that crosses layers gets a bend in each, so that it runs between the nodes and not through
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ._graph import CONSTANT, INPUT, Edge, Graph

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Positions as (layer, place in the layer), in units of one node."""

    nodes: tuple[Point, ...]
    routes: dict[Edge, tuple[Point, ...]]


def layout(graph: Graph) -> Layout:
    """Place the nodes and the bends of the edges."""
    layers = _layers(graph)
    bends = {edge: range(layers[edge.source] + 1, layers[edge.target]) for edge in graph.edges}
    chains = {}
    for edge, between in bends.items():
        chain = range(len(layers), len(layers) + len(between))
        layers = [*layers, *between]
        chains[edge] = [edge.source, *chain, edge.target]
    points = _sugiyama(layers, [pair for chain in chains.values() for pair in pairwise(chain)])
    return Layout(
        tuple(points[: len(graph.nodes)]),
        {edge: tuple(points[vertex] for vertex in chain) for edge, chain in chains.items()},
    )


def _layers(graph: Graph) -> list[int]:
    """A node stands one layer after its last operand; an input just before its first use."""
    layers = [0] * len(graph.nodes)
    for node in graph.nodes:
        layers[node.index] = max((layers[index] + 1 for index in node.operands), default=0)
    for node in graph.nodes:
        if node.operation in (INPUT, CONSTANT) and graph.successors[node.index]:
            uses = (layers[edge.target] for edge in graph.successors[node.index])
            layers[node.index] = min(uses) - 1
    return layers


def _sugiyama(layers: Sequence[int], edges: Sequence[tuple[int, int]]) -> list[Point]:
    try:
        import igraph
    except ImportError as error:
        raise ImportError(
            "draw: wanted igraph for the layout; pip install 'jbackprop[graph]'"
        ) from error
    drawn = igraph.Graph(n=len(layers), edges=edges, directed=True)
    placed = drawn.layout_sugiyama(layers=list(layers), maxiter=500)
    return [(float(layer), place) for layer, (place, _) in zip(layers, placed.coords, strict=True)]
