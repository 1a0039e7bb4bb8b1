"""Where the nodes stand: layers by depth, order by igraph, places by a linear programme.

An edge that crosses layers gets a bend in each, so that it runs between the nodes and not through them.  igraph's
Sugiyama layout orders each layer with few crossings.  The places across are then those that minimise Σ weight |xᵤ − xᵥ|
over the edges, while neighbours keep their distance: edges become straight, the heavier the straighter.

E. R. Gansner, E. Koutsofios, S. C. North, K.-P. Vo, "A technique for drawing directed graphs", IEEE Transactions on
Software Engineering 19(3), 1993, section 4.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ._graph import CONSTANT, INPUT, Edge, Graph

_BEND = 9.0
"""Half the room of an edge that passes a layer, in pixels."""
_BETWEEN = 18.0
"""The least distance of neighbours."""
_LEAF, _INNER, _PASSING = 1.0, 4.0, 8.0  # weights of edges from inputs, from results, and of bends


@dataclass(frozen=True)
class Layout:
    """For each node its layer and its place across; for each edge those of its bends."""

    layers: Mapping[int, int]
    across: Mapping[int, float]
    bends: Mapping[Edge, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class _Vertex:
    """A node or a bend, with the room that it takes before and after its middle."""

    layer: int
    before: float = _BEND
    after: float = _BEND


Segment = tuple[int, int, float]  # two vertices and the weight


def layout(graph: Graph, extents: Mapping[int, tuple[float, float]]) -> Layout:
    """Places the nodes for which the room before and after the middle is given, and their edges."""
    layers = _layers(graph)
    vertices = [_Vertex(layers[index], *extents[index]) for index in extents]
    vertex_of = {index: k for k, index in enumerate(extents)}
    edges = [edge for edge in graph.edges if edge.source in extents and edge.target in extents]
    chains, segments = {}, []
    for edge in edges:
        between = range(layers[edge.source] + 1, layers[edge.target])
        chains[edge] = range(len(vertices), len(vertices) + len(between))
        vertices += [_Vertex(layer) for layer in between]
        chain = [vertex_of[edge.source], *chains[edge], vertex_of[edge.target]]
        segments += [(u, v, _weight(graph, edge, chain)) for u, v in pairwise(chain)]
    places = _places(vertices, segments, _rows(vertices, segments))
    return Layout(
        layers,
        {index: places[k] for index, k in vertex_of.items()},
        {e: tuple((vertices[k].layer, places[k]) for k in chain) for e, chain in chains.items()},
    )


def _layers(graph):
    """A node stands one layer before its first use, however early it could be computed."""
    last = len(graph.nodes)
    layers: dict[int, int] = {}
    for node in reversed(graph.nodes):
        uses = (layers[edge.target] for edge in graph.successors[node.index])
        layers[node.index] = min(uses, default=last) - 1
    return layers


def _weight(graph, edge, chain):
    if len(chain) > 2:
        return _PASSING
    return _LEAF if graph.nodes[edge.source].operation in (INPUT, CONSTANT) else _INNER


def _rows(vertices, segments):
    """The vertices of each layer in the order that igraph gives them."""
    try:
        import igraph
    except ImportError as error:
        raise ImportError("draw: wanted igraph for the layout; pip install 'jbackprop[graph]'") from error
    ends = [(u, v) for u, v, _ in segments]
    drawn = igraph.Graph(n=len(vertices), edges=ends, directed=True)
    coords = drawn.layout_sugiyama(layers=[v.layer for v in vertices], maxiter=500).coords
    rows: dict[int, list[int]] = defaultdict(list)
    for k in sorted(range(len(vertices)), key=lambda k: coords[k][0]):
        rows[vertices[k].layer].append(k)
    return list(rows.values())


def _places(vertices, segments, rows):
    """Minimise Σ w d under d ≥ ±(xᵤ − xᵥ), neighbours apart; the unknowns are (x, d)."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    n, m = len(vertices), len(segments)
    limits = []  # each (entries by unknown, bound): Σ entry · unknown ≤ bound
    for k, (u, v, _) in enumerate(segments):
        limits += [({u: 1.0, v: -1.0, n + k: -1.0}, 0.0), ({u: -1.0, v: 1.0, n + k: -1.0}, 0.0)]
    for row in rows:
        for u, v in pairwise(row):
            apart = vertices[u].after + vertices[v].before + _BETWEEN
            limits.append(({u: 1.0, v: -1.0}, -apart))
    cost = [1e-3] * n + [weight for _, _, weight in segments]
    bounds = [(vertex.before, None) for vertex in vertices] + [(0, None)] * m
    if not limits:
        return np.array([vertex.before for vertex in vertices])
    i, j, entries = zip(*((i, j, x) for i, (row, _) in enumerate(limits) for j, x in row.items()), strict=True)
    matrix = coo_array((entries, (i, j)), shape=(len(limits), n + m))
    return linprog(cost, matrix.tocsr(), [bound for _, bound in limits], bounds=bounds).x[:n]
