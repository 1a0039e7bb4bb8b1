"""The graph as SVG and PNG: values in blue, backpropagated gradients and messages in red."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from ._boxes import Box, box
from ._graph import CONSTANT, Backpropagation, Edge, Message
from ._group import group
from ._layout import layout
from ._text import brief, forward_equation, gradient_equation, message_equation

LIMIT = 120  # nodes; beyond it nobody finds the way through a figure
SPACE = 46.0  # pixels between layers, room for an arrow with its message
BESIDE = 16.0  # pixels between neighbours in a layer
EDGE_OF_FIGURE = 14.0
STYLE = """
text { font: 13px "DejaVu Sans", Verdana, sans-serif; fill: #222 }
.outline { fill: #fff; stroke: #444; stroke-width: 1.4 }
.constant .outline { fill: #f1f1f1; stroke: #aaa }
.input .outline { fill: #eef4fb }
.cost .outline { stroke-width: 2.8 }
.frame { fill: none; stroke: #999; stroke-width: .6 }
.name { font-weight: bold }
.constant .name { font-weight: normal; fill: #555 }
.operation { font-size: 12px; fill: #666 }
.value, .value text { fill: #1f5fa8 }
.gradient, .gradient text, .message { fill: #b3261e }
.caption { font-size: 11px }
.edge path { fill: none; stroke: #777; stroke-width: 1.3 }
.edge polygon { fill: #777 }
.edge.silent path { stroke: #bbb; stroke-dasharray: 4 3 }
.edge.silent polygon { fill: #bbb }
.edge .touch { stroke: transparent; stroke-width: 16; stroke-dasharray: none }
.message { font-size: 12px; paint-order: stroke; stroke: #fff; stroke-width: 4px;
  stroke-linejoin: round }
"""

Point = tuple[float, float]


def svg(back: Backpropagation, direction: str = "right", limit: int = LIMIT) -> str:
    """Draw the graph with its values, messages and gradients.

    Args:
      back: the result of `backpropagate`.
      direction: "right" for a wide figure, "down" for a narrow one.
      limit: the largest number of nodes to draw.

    Raises:
      ValueError: the graph has more nodes than `limit`, or the direction is neither.
      ImportError: igraph, which lays the graph out, is not installed.
    """
    if direction not in ("right", "down"):
        raise ValueError(f"draw: direction, wanted 'right' or 'down', got {direction!r}")
    _check_size(back, limit)
    down = direction == "down"
    boxes = [box(back, node, down) for node in back.graph.nodes]
    centres, routes, (width, height) = _placed(back, boxes, down)
    sent = {message.edge: message for message in back.messages}
    edges = "".join(
        _edge(back, number, edge, routes[edge], sent.get(edge), down)
        for number, edge in enumerate(back.graph.edges)
    )
    nodes = "".join(
        _node(back, number, drawn, centre)
        for number, (drawn, centre) in enumerate(zip(boxes, centres, strict=True))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph {direction}" role="img" '
        f'aria-label="Computation graph of {escape(back.cost.name)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<style>{STYLE}</style>{edges}{nodes}</svg>"
    )


def png(
    back: Backpropagation, direction: str = "right", limit: int = LIMIT, zoom: float = 2.0
) -> bytes:
    """The same drawing as PNG, `zoom` pixels to one of the SVG.

    Raises:
      ValueError, ImportError: as `svg`; resvg-py, which turns SVG into pixels, is also needed.
    """
    drawn = svg(back, direction, limit)
    try:
        import matplotlib
        import resvg_py
    except ImportError as error:
        raise ImportError(
            "png: wanted resvg-py and matplotlib; pip install 'jbackprop[graph]'"
        ) from error
    fonts = f"{matplotlib.get_data_path()}/fonts/ttf"  # so that every machine has DejaVu Sans
    return bytes(
        resvg_py.svg_to_bytes(svg_string=drawn, background="#fff", zoom=zoom, font_dirs=[fonts])
    )


def _check_size(back: Backpropagation, limit: int) -> None:
    size = len(back.graph.nodes)
    if size > limit:
        grouped = len(group(back).graph.nodes)
        raise ValueError(
            f"draw: graph, wanted at most {limit} nodes, got {size}; "
            f"group(back) makes one node of each call ({grouped} nodes), "
            f"table(back) prints the graph, limit={size} draws it all the same"
        )


def _placed(
    back: Backpropagation, boxes: Sequence[Box], down: bool
) -> tuple[list[Point], dict[Edge, list[Point]], Point]:
    """Centres of the nodes and points of the edges in pixels, and the size of the figure.

    "Along" is the direction of the edges, "across" the other one.
    """
    places = layout(back.graph)
    spans = [_span(drawn, down) for drawn in boxes]
    alongs = _along(places.nodes, [along for along, _ in spans])
    unit = max(across for _, across in spans) + BESIDE
    first = min(place for route in _all_routes(places) for _, place in route)

    def point(place: Point) -> Point:
        along, across = alongs[place[0]], EDGE_OF_FIGURE + unit * (place[1] - first + 0.5)
        return (across, along) if down else (along, across)

    centres = [point(place) for place in places.nodes]
    routes = {
        edge: _ends(
            [point(place) for place in route], boxes[edge.source], boxes[edge.target], down
        )
        for edge, route in places.routes.items()
    }
    return centres, routes, _size(centres, routes, boxes)


def _all_routes(places):
    return [*places.routes.values(), places.nodes]


def _span(drawn: Box, down: bool) -> tuple[float, float]:
    """The room that a box takes along and across the edges."""
    wide, high = drawn.width + 2 * drawn.margin[0], drawn.height + 2 * drawn.margin[1]
    return (high, wide) if down else (wide, high)


def _along(nodes: Sequence[Point], spans: Sequence[float]) -> dict[float, float]:
    """The middle of each layer: a layer is as thick as its thickest node."""
    thick: dict[float, float] = defaultdict(float)
    for (layer, _), span in zip(nodes, spans, strict=True):
        thick[layer] = max(thick[layer], span)
    middles, edge = {}, EDGE_OF_FIGURE
    for layer in sorted(thick):
        middles[layer] = edge + thick[layer] / 2
        edge += thick[layer] + SPACE
    return middles


def _ends(route: list[Point], source: Box, target: Box, down: bool) -> list[Point]:
    """Begin at the source's outline and end at the target's."""
    (x0, y0), (x1, y1) = route[0], route[-1]
    if down:
        ends = (x0, y0 + source.height / 2), (x1, y1 - target.height / 2 - 1)
    else:
        ends = (x0 + source.width / 2, y0), (x1 - target.width / 2 - 1, y1)
    return [ends[0], *route[1:-1], ends[1]]


def _size(centres, routes, boxes: Sequence[Box]) -> Point:
    right = max(x + b.width / 2 + b.margin[0] for (x, _), b in zip(centres, boxes, strict=True))
    low = max(y + b.height / 2 + b.margin[1] for (_, y), b in zip(centres, boxes, strict=True))
    bends = [point for route in routes.values() for point in route]
    return (
        max([right, *(x for x, _ in bends)]) + EDGE_OF_FIGURE,
        max([low, *(y for _, y in bends)]) + EDGE_OF_FIGURE,
    )


def _node(back: Backpropagation, number: int, drawn: Box, centre: Point) -> str:
    node = back.graph.nodes[number]
    role = node.operation if node.operation in ("input", CONSTANT) else "computed"
    cost = " cost" if node is back.cost else ""
    about = f"{forward_equation(back.graph, node)}\n{gradient_equation(back, node)}"
    return (
        f'<g class="node {role}{cost}" data-node="{number}" '
        f'transform="translate({centre[0]:.1f} {centre[1]:.1f})">'
        f"<title>{escape(about)}</title>{drawn.body}</g>"
    )


def _edge(
    back: Backpropagation,
    number: int,
    edge: Edge,
    route: Sequence[Point],
    message: Message | None,
    down: bool,
) -> str:
    twins = Counter((e.source, e.target) for e in back.graph.edges)[edge.source, edge.target]
    bow = 0 if twins == 1 else 14 * (1 if edge.position else -1)
    path = _curve(route, bow, down)
    title = escape(message_equation(back, message)) if message else ""
    return (
        f'<g class="edge{"" if message else " silent"}" data-edge="{number}">'
        f'<title>{title}</title><path d="{path}"/>{_arrow(route[-1], down)}'
        f'{_label(route, message, bow, down)}<path class="touch" d="{path}"/></g>'
    )


def _curve(route: Sequence[Point], bow: float, down: bool) -> str:
    """Smooth through the bends; of two edges between the same nodes each bows to its side."""
    parts = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(route):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        first, second = ((x0 + bow, y), (x1 + bow, y)) if down else ((x, y0 + bow), (x, y1 + bow))
        numbers = (*first, *second, x1, y1)
        parts.append("C" + " ".join(f"{number:.1f}" for number in numbers))
    return "".join(parts)


def _arrow(tip: Point, down: bool) -> str:
    x, y = tip
    corners = [(x - 4, y - 8), (x + 4, y - 8)] if down else [(x - 8, y - 4), (x - 8, y + 4)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [tip, *corners])
    return f'<polygon points="{points}"/>'


def _label(route: Sequence[Point], message: Message | None, bow: float, down: bool) -> str:
    """A scalar message, at the middle of its edge."""
    if message is None or message.value.ndim:
        return ""
    (x0, y0), (x1, y1) = route[(len(route) - 1) // 2 : (len(route) - 1) // 2 + 2]
    x, y = (x0 + x1) / 2 + bow * down, (y0 + y1) / 2 + bow * (not down)
    return (
        f'<text class="message" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">'
        f"{escape(brief(message.value))}</text>"
    )
