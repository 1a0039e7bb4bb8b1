"""A page that steps through the graph, in one file: nothing is loaded from anywhere."""

import json
import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ._draw import LIMIT, png, svg
from ._graph import CONSTANT, INPUT, Backpropagation, Edge, Message, Node
from ._table import table
from ._text import (
    figure_sum,
    forward_equation,
    gradient_equation,
    message_equation,
    plain,
)

WRITTEN_OUT = 64  # arrays of up to so many elements are written out in the panel


def html(back: Backpropagation, title: str = "", about: str = "", limit: int = LIMIT) -> str:
    """The drawing with buttons that go forward and backward, one message at a time.

    Args:
      back: the result of `backpropagate`.
      title, about: a heading and a sentence.
      limit: the largest number of nodes to draw.

    Raises:
      ValueError, ImportError: as `svg`.
    """
    name = title or f"Computation graph of {back.cost.name}"
    return fill(
        "_page.html",
        title=escape(name),
        about=escape(about),
        wide=svg(back, "right", limit),
        narrow=svg(back, "down", limit),
        table=escape(table(back)),
        # Inside a script only "<" could end the element.
        data=json.dumps(_data(back), ensure_ascii=False).replace("<", "\\u003c"),
    )


def save(back: Backpropagation, path: str | Path, title: str = "", limit: int = LIMIT) -> None:
    """Write the graph to a file; its suffix says how: html, svg, png or txt.

    Raises:
      ValueError: another suffix, or a graph too large to draw.
      OSError: the file cannot be written.
    """
    path = Path(path)
    writers = {
        ".html": lambda: html(back, title, limit=limit).encode(),
        ".svg": lambda: svg(back, limit=limit).encode(),
        ".png": lambda: png(back, limit=limit),
        ".txt": lambda: f"{table(back)}\n".encode(),
    }
    if path.suffix not in writers:
        wanted = ", ".join(writers)
        raise ValueError(f"save: path, wanted a name ending in {wanted}, got {str(path)!r}")
    content = writers[path.suffix]()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise type(error)(f"save: path, cannot write {str(path)!r}: {error.strerror}") from error


def fill(template: str, **values: str) -> str:
    """A template of this package with each {{name}} replaced, all in one pass."""
    text = files("jbackprop.graph").joinpath(template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], text)


def _data(back: Backpropagation) -> dict[str, Any]:
    """What the page's script needs: the steps, and what to say about each node and edge."""
    steps = [*_forward(back), *_backward(back)]
    sent = {message.edge: message for message in back.messages}
    return {
        "steps": steps,
        "nodes": [_about(back, node) for node in back.graph.nodes],
        "edges": [_about_edge(back, edge, sent.get(edge)) for edge in back.graph.edges],
    }


def _forward(back: Backpropagation) -> Iterator[dict[str, Any]]:
    """One step for each computed node; inputs and constants are there from the start."""
    for node in back.graph.nodes:
        if node.operation not in (INPUT, CONSTANT):
            yield {"value": node.index, "text": forward_equation(back.graph, node)}


def _backward(back: Backpropagation) -> Iterator[dict[str, Any]]:
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


def _about(back: Backpropagation, node: Node) -> list[str]:
    gradient = back.gradients[node.index]
    lines = [forward_equation(back.graph, node), *_numbers(node.value)]
    lines += [message_equation(back, message) for message in back.received[node.index]]
    lines.append(gradient_equation(back, node))
    return [*lines, *(_numbers(gradient) if gradient is not None else [])]


def _about_edge(back: Backpropagation, edge: Edge, message: Message | None) -> list[str]:
    source, target = (back.graph.nodes[index].name for index in (edge.source, edge.target))
    if message is None:
        return [f"{target} sends {source} nothing"]
    factors = [("received", message.received), ("local gradient", message.local)]
    lines = [f"{target} sends {source}  {message_equation(back, message)}"]
    for name, factor in [*factors, ("message", message.value)]:
        numbers = [] if factor is None else _numbers(factor)
        lines += [f"{name}\n{text}" for text in numbers]
    return lines


def _numbers(value: jax.Array) -> list[str]:
    array = plain(value)
    if array is None or array.ndim == 0 or array.size > WRITTEN_OUT:
        return []
    return [np.array2string(array, precision=4, suppress_small=True)]
