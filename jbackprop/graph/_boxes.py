"""How one node looks: a scalar as in a lecture's figure, an array as heat maps with its shape."""

from dataclasses import dataclass
from html import escape

from jbackprop.report import described, plain

from ._graph import CONSTANT, INPUT, Node, Sweep
from ._heatmap import heat_map
from ._text import brief, figure_sum, operation, symbol

_LETTER, SMALL = 8.4, 7.4  # pixels that a letter of a name, of a number takes
_GAP = 10.0
_LONGEST = 12
"""A longer expression is shown by its symbol."""


@dataclass(frozen=True)
class Box:
    """SVG around (0, 0); texts reach beyond the outline by left, right, above and below."""

    body: str
    width: float
    height: float
    left: float = 0.0
    right: float = 0.0
    above: float = 0.0
    below: float = 0.0


def box(back: Sweep, node: Node, down: bool) -> Box:
    """The picture of a node; `down` says that edges leave it at the bottom, not at the right."""
    if plain(node.value) is None or (node.operation == CONSTANT and node.shape == ()):
        return _pill(node.name, "" if node.shape == () else described(node.value))
    if node.shape == () or node.value.size == 0:
        return _scalar(back, node, down)
    return _array(back, node, back.gradients[node.index])


def _scalar(back, node, down):
    """A round outline, the value and the gradient above and below it, or at its side."""
    pill = _pill(node.name, "" if node.operation == INPUT else _expression(back, node))
    texts = brief(node.value), figure_sum(back, node)
    wide = SMALL * max(map(len, texts))
    beside, above = pill.width / 2 + 5, pill.height / 2 + 6
    if down:
        numbers = _text(beside, -5, "value", texts[0], "start")
        numbers += _text(beside, 13, "gradient", texts[1], "start")
        return Box(pill.body + numbers, pill.width, pill.height, right=wide + 5)
    numbers = _text(0, -above, "value", texts[0]) + _text(0, above + 10, "gradient", texts[1])
    over = max(0.0, (wide - pill.width) / 2)
    return Box(pill.body + numbers, pill.width, pill.height, over, over, 20, 20)


def _expression(back, node):
    text = operation(back.graph, node)
    return text if len(text) <= _LONGEST else symbol(node)


def _pill(name, below):
    height = 40.0 if below else 36.0
    width = max(height, _LETTER * len(name) + 20, SMALL * len(below) + 20)
    body = _outline(width, height, height / 2)
    if below:
        body += _text(0, -2, "name", name) + _text(0, 13, "operation", below)
    else:
        body += _text(0, 5, "name", name)
    return Box(body, width, height)


def _array(back, node, gradient):
    """Name and operation, the two maps side by side, a caption under each."""
    title = node.name if node.operation in (INPUT, CONSTANT) else f"{node.name} = {_expression(back, node)}"
    maps = [("value", described(node.value), heat_map(node.value))]
    if gradient is not None:
        maps.append(("gradient", f"∂{back.cost.name}/∂{node.name}", heat_map(gradient)))
    slots = [max(width, 6.8 * len(label)) for _, label, (_, width, _) in maps]
    inner = sum(slots) + _GAP * (len(maps) - 1)
    width = max(inner + 2 * _GAP, _LETTER * len(title) + 2 * _GAP)
    height = maps[0][2][2] + 48
    body = _outline(width, height, 6) + _text(0, 17 - height / 2, "name", title)
    left = -inner / 2
    for (name, label, (drawn, map_width, _)), slot in zip(maps, slots, strict=True):
        corner = f"{left + (slot - map_width) / 2:.1f} {25 - height / 2:.1f}"
        caption = _text(left + slot / 2, height / 2 - 8, "caption", label)
        body += f'<g class="{name}"><g transform="translate({corner})">{drawn}</g>{caption}</g>'
        left += slot + _GAP
    return Box(body, width, height)


def _outline(width, height, radius):
    return (
        f'<rect class="outline" x="{-width / 2:.1f}" y="{-height / 2:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"/>'
    )


def _text(x, y, name, text, anchor="middle"):
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
