"""A page that steps through the graph, in one file: nothing is loaded from anywhere."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from jbackprop import report

from ._draw import STYLE, drawing, drawn
from ._graph import Sweep
from ._group import group
from ._steps import steps
from ._table import table
from ._text import forward_equation, gradient_equation, message_equation

_WRITTEN_OUT = 64
"""Arrays of up to so many elements are written out in the panel."""


def page(back: Sweep, title: str, about: str, limit: int, links: Mapping[str, str]) -> str:
    """The drawing with buttons that go forward and backward; `Backpropagation.html` says what the arguments are."""
    parts = _parts(back, limit)
    values = {
        "around": _around(links),
        "about": escape(about),
        "figures": "".join(_figure(part, limit) for part in parts),
        "table": report.html_table(table(back)),
        # Inside a script only "<" could end the element.
        "data": json.dumps([_data(part) for part in parts], ensure_ascii=False).replace("<", "\\u003c"),
        "more": ""
        if len(parts) == 1
        else '<button id="calls" title="each call one node, or all that it does"></button>',
    }
    name = title or f"Computation graph of {back.cost.name}"
    body = report.filled(_file("_page.html"), values)
    return report.page(name, body, style=f"{STYLE}{_file('_page.css')}", script=_file("_page.js"))


def _parts(back, limit):
    """The graph with each call as one node, if that makes it smaller, and the graph itself, if it can be drawn."""
    closed = group(back)
    if drawn(closed) >= drawn(back):
        return [back]
    return [closed, back] if drawn(back) <= limit else [closed]


def _figure(back, limit):
    return f'<div class="figure">{drawing(back, "right", limit)}{drawing(back, "down", limit)}</div>'


def _around(links):
    if not links:
        return ""
    drawn = " ".join(f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in links.items())
    return f'<nav class="around" aria-label="Other pages">{drawn}</nav>'


def _data(back):
    """What the page's script needs: the steps, and what to say about each node and edge."""
    sent = {message.edge: message for message in back.messages}
    return {
        "steps": steps(back),
        "nodes": [_about(back, node) for node in back.graph.nodes],
        "edges": [_about_edge(back, edge, sent.get(edge)) for edge in back.graph.edges],
    }


def _about(back, node):
    gradient = back.gradients[node.index]
    lines = [forward_equation(back.graph, node), *_numbers(node.value)]
    lines += [message_equation(back, message) for message in back.received[node.index]]
    lines.append(gradient_equation(back, node))
    return [*lines, *(_numbers(gradient) if gradient is not None else [])]


def _about_edge(back, edge, message):
    source, target = (back.graph.nodes[index].name for index in (edge.source, edge.target))
    if message is None:
        return [f"{target} sends {source} nothing"]
    factors = [("received", message.received), ("local gradient", message.local)]
    lines = [f"{target} sends {source}  {message_equation(back, message)}"]
    for name, factor in [*factors, ("message", message.value)]:
        numbers = [] if factor is None else _numbers(factor)
        lines += [f"{name}\n{text}" for text in numbers]
    return lines


def _numbers(value):
    numbers = report.written_out(value, _WRITTEN_OUT)
    return [numbers] if numbers else []


def _file(name):
    return files("jbackprop.graph").joinpath(name).read_text(encoding="utf-8")
