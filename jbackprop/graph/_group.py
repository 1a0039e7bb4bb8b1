"""A large graph made small: each call of a function becomes one node."""

from collections import Counter
from dataclasses import replace
from typing import TypeVar

from ._graph import CONSTANT, Edge, Message, Sweep

S = TypeVar("S", bound=Sweep)


def group(back: S, depth: int = 1) -> S:
    """Makes one node of each inlined call (or step of an unrolled loop).

    The gradients stay what they are; the messages inside a group disappear, those from it are what
    its nodes sent to the outside, to one node together, and constants that it alone uses go with it.

    Args:
      back: the result of `backpropagate`.
      depth: how many levels of calls to keep open; 1 draws every outermost call as one node.

    Raises:
      ValueError: depth is less than 1.
    """
    if depth < 1:
        raise ValueError(f"group: depth, wanted at least 1, got {depth}")
    heads = _heads(back.graph, depth)
    kept = sorted(set(heads))
    new = {head: index for index, head in enumerate(kept)}
    place = [new[head] for head in heads]
    groups = {index for index, size in Counter(place).items() if size > 1}
    edges = _edges_between(back.graph, place, groups)
    operands = _operands(edges, len(kept))
    nodes = tuple(_grouped(back.graph.nodes[head], new[head], depth, operands[new[head]]) for head in kept)
    graph = replace(
        back.graph,
        nodes=nodes,
        inputs=tuple(place[index] for index in back.graph.inputs),
        outputs=tuple(place[index] for index in back.graph.outputs),
    )
    messages = (_moved(back, message, edges, heads, nodes, groups) for message in back.messages)
    return replace(
        back,
        graph=graph,
        messages=_together(message for message in messages if message is not None),
        gradients=tuple(back.gradients[head] for head in kept),
    )


def _heads(graph, depth):
    """For each node the last node of its group, which stands for it."""
    last: dict[tuple[str, ...], int] = {}
    for node in graph.nodes:
        if len(node.scope) >= depth:
            last[node.scope[:depth]] = node.index
    heads = [last.get(node.scope[:depth], node.index) for node in graph.nodes]
    groups = set(last.values())
    for node in graph.nodes:
        users = {heads[edge.target] for edge in graph.successors[node.index]}
        if node.operation == CONSTANT and len(users) == 1 and users <= groups:
            heads[node.index] = users.pop()
    return heads


def _edges_between(graph, place, groups):
    """The edges that cross a group's border, each with its new self: one for all that lead from a node into a group."""
    edges, operands, into = {}, Counter(), {}
    for edge in graph.edges:
        source, target = place[edge.source], place[edge.target]
        if source == target:
            continue
        key = (edge.source, target) if target in groups else edge
        if key not in into:
            into[key] = Edge(source, target, operands[target])
            operands[target] += 1
        edges[edge] = into[key]
    return edges


def _together(messages):
    """What a group sends to one node is one message, their sum."""
    sums: dict[Edge, Message] = {}
    for message in messages:
        earlier = sums.pop(message.edge, None)
        value = message.value if earlier is None else earlier.value + message.value
        sums[message.edge] = replace(message, value=value)
    return tuple(sums.values())


def _operands(edges, count):
    """What each node is computed from."""
    found = [[] for _ in range(count)]
    for edge in dict.fromkeys(edges.values()):
        found[edge.target].append(edge.source)
    return list(map(tuple, found))


def _grouped(node, index, depth, operands):
    inside = len(node.scope) >= depth
    operation = node.scope[depth - 1].split(" #")[0].lstrip("_") if inside else node.operation
    return replace(node, index=index, operands=operands, operation=operation)


def _moved(back, message, edges, heads, nodes, groups):
    """The message along its edge's new self; one from a group speaks of the group as a whole."""
    edge = edges.get(message.edge)
    if edge is None or edge.target not in groups:
        return edge and replace(message, edge=edge)
    target = nodes[edge.target]
    formula = f"∂{back.cost.name}/∂{target.name} through {target.operation}"
    received = back.gradients[heads[message.edge.target]]
    return replace(message, edge=edge, received=received, local=None, formula=formula)
