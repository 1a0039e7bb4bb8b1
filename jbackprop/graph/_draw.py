"""The graph as SVG and PNG: values in blue, backpropagated gradients and messages in red.

"Along" is the direction of the edges, "across" the other one.  Scalar constants are not drawn: they stand in the
expressions.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import pairwise

from jbackprop import report

from ._boxes import SMALL, Box, box
from ._graph import CONSTANT, Edge, Sweep
from ._group import group
from ._layout import layout
from ._text import brief, forward_equation, gradient_equation, message_equation

LIMIT = 120
"""Nodes; beyond it nobody finds the way through a figure."""
_SPACE = 34.0
"""Pixels between layers, beside the room that a message takes."""
_BORDER = 14.0
_BOW = 14.0
"""How far two edges between the same nodes bow to their sides."""
STYLE = """
.graph text { font: 13px "DejaVu Sans", Verdana, sans-serif; fill: var(--ink) }
.outline { fill: var(--paper); stroke: var(--soft); stroke-width: 1.4 }
.constant .outline { fill: var(--raised); stroke: var(--even) }
.input .outline { fill: var(--first-paper) }
.cost .outline { stroke-width: 2.8 }
.plate { fill: var(--paper) }
.frame { fill: none; stroke: var(--even); stroke-width: .6 }
.graph .name { font-weight: bold }
.graph .constant .name { font-weight: normal; fill: var(--soft) }
.graph .operation { font-size: 12px; fill: var(--soft) }
.graph .value, .graph .value text { fill: var(--first) }
.graph .gradient, .graph .gradient text, .graph .message text { fill: var(--bad) }
.graph .value .cell, .graph .gradient .cell { font-size: 11px; fill: var(--ink) }
.graph .caption { font-size: 11px }
.line { fill: none; stroke: var(--even); stroke-width: 1.3 }
.arrow { fill: var(--even) }
.silent .line { stroke-dasharray: 4 3; opacity: .6 }
.silent .arrow { opacity: .6 }
.touch { fill: none; stroke: transparent; stroke-width: 16 }
.graph .message text { font-size: 12px }
.message rect { fill: var(--paper) }
"""

Point = tuple[float, float]


@dataclass(frozen=True)
class _Figure:
    """Everything placed, in pixels."""

    boxes: Mapping[int, Box]
    centres: Mapping[int, Point]
    routes: Mapping[Edge, Sequence[Point]]
    down: bool

    @cached_property
    def arriving(self) -> Mapping[int, Sequence[Edge]]:
        """The edges into each node."""
        into: dict[int, list[Edge]] = defaultdict(list)
        for edge in self.routes:
            into[edge.target].append(edge)
        return into


def svg(back: Sweep, direction: str = "right", limit: int = LIMIT) -> str:
    """Draws the graph with its values, messages and gradients; the drawing follows the reader's light or dark.

    Args:
      back: the result of `backpropagate`.
      direction: "right" for a wide figure, "down" for a narrow one.
      limit: the largest number of nodes to draw.

    Raises:
      ValueError: the graph has more nodes than `limit`, or the direction is neither.
      ImportError: igraph, which lays the graph out, is not installed.
    """
    return report.standalone(drawing(back, direction, limit), STYLE)


def png(back: Sweep, direction: str = "right", limit: int = LIMIT, zoom: float = 2.0) -> bytes:
    """The same drawing as PNG, `zoom` pixels to one of the SVG.

    Raises:
      ValueError, ImportError: as `svg`; resvg-py, which turns SVG into pixels, is also needed.
    """
    drawn = report.in_light(drawing(back, direction, limit).replace(">", f"><style>{STYLE}</style>", 1))
    try:
        import matplotlib
        import resvg_py
    except ImportError as error:
        raise ImportError("png: wanted resvg-py and matplotlib; pip install 'jbackprop[graph]'") from error
    fonts = f"{matplotlib.get_data_path()}/fonts/ttf"  # so that every machine has DejaVu Sans
    return bytes(resvg_py.svg_to_bytes(svg_string=drawn, background="#fff", zoom=zoom, font_dirs=[fonts]))


def drawing(back: Sweep, direction: str, limit: int) -> str:
    """An SVG element that wants `STYLE` around it; arguments and errors are those of `svg`."""
    if direction not in ("right", "down"):
        raise ValueError(f"draw: direction, wanted 'right' or 'down', got {direction!r}")
    _check_size(back, limit)
    figure = _placed(back, direction == "down")
    sent = {message.edge: message for message in back.messages}
    edges = "".join(
        _edge(back, figure, number, edge, sent.get(edge))
        for number, edge in enumerate(back.graph.edges)
        if edge in figure.routes
    )
    nodes = "".join(_node(back, figure, index) for index in figure.boxes)
    width, height = _size(figure)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph {direction}" role="img" '
        f'aria-label="Computation graph of {escape(back.cost.name)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{edges}{nodes}</svg>'
    )


def drawn(back: Sweep) -> int:
    """How many nodes a drawing has."""
    return len(_drawn(back))


def _drawn(back):
    return [node for node in back.graph.nodes if node.operation != CONSTANT or node.shape != ()]


def _check_size(back, limit):
    size = drawn(back)
    if size > limit:
        grouped = drawn(group(back))
        raise ValueError(
            f"draw: graph, wanted at most {limit} nodes, got {size}; "
            f"group(back) makes one node of each call ({grouped} nodes), "
            f"print(back) prints a table, limit={size} draws it all the same"
        )


def _placed(back, down):
    boxes = {node.index: box(back, node, down) for node in _drawn(back)}
    places = layout(back.graph, {index: _across(b, down) for index, b in boxes.items()})
    middles = _middles(boxes, places, _space(back, down), down)

    def point(layer: int, across: float) -> Point:
        x, y = middles[layer], across + _BORDER
        return (y, x) if down else (x, y)

    centres = {index: point(places.layers[index], places.across[index]) for index in boxes}
    routes = {
        edge: [
            _leaves(centres[edge.source], boxes[edge.source], down),
            *(point(*bend) for bend in bends),
            _enters(centres[edge.target], boxes[edge.target], down),
        ]
        for edge, bends in places.bends.items()
    }
    return _Figure(boxes, centres, routes, down)


def _across(b, down):
    """The room a box takes before and after its middle, across the edges."""
    if down:
        return b.width / 2 + b.left, b.width / 2 + b.right
    return b.height / 2 + b.above, b.height / 2 + b.below


def _space(back, down):
    """Messages stand on the arrows: across a downward one, along one to the right."""
    labels = (brief(m.value) for m in back.messages if m.value.ndim == 0)
    return _SPACE + (22 if down else SMALL * max(map(len, labels), default=0))


def _middles(boxes, places, space, down):
    """The middle of each layer along the edges: a layer is as thick as its thickest node."""
    thick: dict[int, float] = defaultdict(float)
    for index, b in boxes.items():
        size = b.height + b.above + b.below if down else b.width + b.left + b.right
        layer = places.layers[index]
        thick[layer] = max(thick[layer], size)
    middles, start = {}, _BORDER
    for layer in sorted(thick):
        middles[layer] = start + thick[layer] / 2
        start += thick[layer] + space
    return middles


def _leaves(centre, b, down):
    x, y = centre
    return (x, y + b.height / 2) if down else (x + b.width / 2, y)


def _enters(centre, b, down):
    x, y = centre
    return (x, y - b.height / 2 - 1) if down else (x - b.width / 2 - 1, y)


def _size(figure):
    rims = [(figure.centres[index], b) for index, b in figure.boxes.items()]
    bends = [point for route in figure.routes.values() for point in route]
    right = max([x + b.width / 2 + b.right for (x, _), b in rims] + [x for x, _ in bends])
    low = max([y + b.height / 2 + b.below for (_, y), b in rims] + [y for _, y in bends])
    return right + _BORDER, low + _BORDER


def _node(back, figure, index):
    node = back.graph.nodes[index]
    role = node.operation if node.operation in ("input", CONSTANT) else "computed"
    cost = " cost" if node is back.cost else ""
    x, y = figure.centres[index]
    about = f"{forward_equation(back.graph, node)}\n{gradient_equation(back, node)}"
    return (
        f'<g class="node {role}{cost}" data-node="{index}" transform="translate({x:.1f} {y:.1f})">'
        f"<title>{escape(about)}</title>{figure.boxes[index].body}</g>"
    )


def _edge(back, figure, number, edge, message):
    twins = sum(other.source == edge.source for other in figure.arriving[edge.target])
    bow = 0.0 if twins == 1 else _BOW if edge.position else -_BOW
    route = figure.routes[edge]
    path = _curve(route, bow, figure.down)
    title = escape(message_equation(back, message)) if message else ""
    return (
        f'<g class="edge{"" if message else " silent"}" data-edge="{number}">'
        f'<title>{title}</title><path class="line" d="{path}"/>{_arrow(route[-1], figure.down)}'
        f'{_label(route, message, bow, figure.down)}<path class="touch" d="{path}"/></g>'
    )


def _curve(route, bow, down):
    """Smooth through the bends; of two edges between the same nodes each bows to its side."""
    parts = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(route):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        first, second = ((x0 + bow, y), (x1 + bow, y)) if down else ((x, y0 + bow), (x, y1 + bow))
        numbers = (*first, *second, x1, y1)
        parts.append("C" + " ".join(f"{number:.1f}" for number in numbers))
    return "".join(parts)


def _arrow(tip, down):
    x, y = tip
    corners = [(x - 4, y - 8), (x + 4, y - 8)] if down else [(x - 8, y - 4), (x - 8, y + 4)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [tip, *corners])
    return f'<polygon class="arrow" points="{points}"/>'


def _label(route, message, bow, down):
    """A scalar message, on a white plate at the middle of its edge."""
    if message is None or message.value.ndim:
        return ""
    text, k = brief(message.value), (len(route) - 1) // 2
    (x0, y0), (x1, y1) = route[k], route[min(k + 1, len(route) - 1)]
    x, y = (x0 + x1) / 2 + 0.75 * bow * down, (y0 + y1) / 2 + 0.75 * bow * (not down)
    width = SMALL * len(text) + 2
    return (
        f'<g class="message"><rect x="{x - width / 2:.1f}" y="{y - 7:.1f}" width="{width:.1f}" '
        f'height="14"/><text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(text)}'
        "</text></g>"
    )
