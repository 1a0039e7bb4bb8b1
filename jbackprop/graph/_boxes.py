"""How one node looks: a scalar as in a lecture's figure, an array as heat maps with its shape."""

from dataclasses import dataclass
from html import escape

import jax

from ._graph import CONSTANT, INPUT, Backpropagation, Node
from ._heatmap import heat_map
from ._text import brief, kind, plain, symbol

LETTER = 8.2  # pixels a letter of a name takes
GAP = 10.0


@dataclass(frozen=True)
class Box:
    """SVG around (0, 0): of the outline `width` × `height`, with texts beyond it by `margin`."""

    body: str
    width: float
    height: float
    margin: tuple[float, float] = (0.0, 0.0)


def box(back: Backpropagation, node: Node, down: bool) -> Box:
    """The picture of a node; `down` says that edges leave it at the bottom, not at the right."""
    gradient = back.gradients[node.index]
    if node.operation == CONSTANT or plain(node.value) is None:
        return _pill(node.name, "" if node.shape == () else kind(node.value), 24)
    if node.shape == () or node.value.size == 0:
        return _scalar(node, gradient, down)
    return _array(back, node, gradient)


def _scalar(node: Node, gradient: jax.Array | None, down: bool) -> Box:
    pill = _pill(node.name, "" if node.operation == INPUT else symbol(node), 40)
    beside, above = pill.width / 2 + 5, pill.height / 2 + 6
    places = [(beside, -5), (beside, 14)] if down else [(0, -above), (0, above + 9)]
    texts = [brief(node.value), "" if gradient is None else brief(gradient)]
    numbers = "".join(
        _text(x, y, name, text, "start" if down else "middle")
        for (x, y), name, text in zip(places, ("value", "gradient"), texts, strict=True)
    )
    wide = max(map(len, texts)) * 7.5
    return Box(
        pill.body + numbers,
        max(pill.width, 0 if down else wide),
        pill.height,
        (wide + 10, 0) if down else (0, 20),
    )


def _pill(name: str, operation: str, height: float) -> Box:
    width = max(height, LETTER * len(name) + 20, 7 * len(operation) + 20)
    outline = (
        f'<rect class="outline" x="{-width / 2:.1f}" y="{-height / 2:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="{height / 2:.1f}"/>'
    )
    lower = _text(0, 14, "operation", operation) if operation else ""
    name_height = -1 if operation else 5
    if operation and height < 40:
        return _pill(name, operation, 40)
    return Box(outline + _text(0, name_height, "name", name) + lower, width, height)


def _array(back: Backpropagation, node: Node, gradient: jax.Array | None) -> Box:
    """Name and operation, the two maps side by side, a caption under each."""
    title = node.name if node.operation == INPUT else f"{node.name} = {symbol(node)}"
    caption = f"∂{back.cost.name}/∂{node.name}"
    maps = [("value", kind(node.value), heat_map(node.value))]
    if gradient is not None:
        maps.append(("gradient", caption, heat_map(gradient)))
    widths = [max(width, 6.4 * len(label)) for _, label, (_, width, _) in maps]
    map_height = maps[0][2][2]
    width = max(sum(widths) + GAP * (len(maps) + 1), LETTER * len(title) + 2 * GAP)
    height = map_height + 48
    body = (
        f'<rect class="outline" x="{-width / 2:.1f}" y="{-height / 2:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="6"/>'
        + _text(0, -height / 2 + 17, "name", title)
    )
    left = -(sum(widths) + GAP * (len(maps) - 1)) / 2
    for (name, label, (drawn, map_width, _)), slot in zip(maps, widths, strict=True):
        x, y = left + (slot - map_width) / 2, -height / 2 + 25
        body += (
            f'<g class="{name}"><g transform="translate({x:.1f} {y:.1f})">{drawn}</g>'
            + _text(left + slot / 2, height / 2 - 8, "caption", label)
            + "</g>"
        )
        left += slot + GAP
    return Box(body, width, height)


def _text(x: float, y: float, name: str, text: str, anchor: str = "middle") -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
