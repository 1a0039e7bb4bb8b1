"""The drawing as one SVG file that goes through its steps by itself, over and over.

It is CSS alone, so that it moves where a page shows it as a picture.  Who wants no motion, and a program that knows
none, sees everything at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from jbackprop import report

from ._draw import LIMIT, STYLE, drawing
from ._graph import Sweep
from ._steps import steps

_REST = 4
"""Steps for which the last one stays."""
_LINE, _LETTER, _RIM = 21.0, 7.9, 14.0
"""Pixels: of a line below the drawing, of a letter in it, and beside it."""
_STYLE = """
.said { visibility: hidden }
.graph .said text { font-size: 14px; white-space: pre }
@media (prefers-reduced-motion: reduce) { .graph * { animation: none !important } }
"""
_NOW = {"node": "stroke: var(--second); stroke-width: 2.6", "edge": "stroke: var(--bad); stroke-width: 2.6"}
_ELSE = {"node": "stroke: var(--soft); stroke-width: 1.4", "edge": "stroke: var(--even); stroke-width: 1.3"}

Interval = tuple[int, int]


def animation(back: Sweep, direction: str = "right", limit: int = LIMIT, seconds: float = 1.5) -> str:
    """Draws the graph as `svg` does, in an SVG file that steps forward and then back by itself, with each equation.

    Args:
      back: the result of `backpropagate`.
      direction: "right" for a wide figure, "down" for a narrow one.
      limit: the largest number of nodes to draw.
      seconds: how long a step stays.

    Raises:
      ValueError, ImportError: as `svg`.
      ValueError: seconds is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"animation: seconds, wanted a positive number, got {seconds}")
    found = steps(back)
    drawn = _with_equations(drawing(back, direction, limit), [step["text"] for step in found])
    clock = _Clock(len(found) + 1 + _REST, seconds)
    rules = [*_appearing(back, found, clock), *_lit(found, clock), *_said(len(found), clock)]
    return report.standalone(drawn, f"{STYLE}{_STYLE}{''.join(rules)}")


@dataclass(frozen=True)
class _Clock:
    """Turns steps into keyframes.  Step 0 shows the inputs alone."""

    ticks: int
    seconds: float

    def rule(self, selector: str, name: str, on: str, off: str, intervals: Iterable[Interval]) -> str:
        """A rule by which what is selected looks `on` during some steps, and `off` else."""
        frames = {0: off}
        for start, end in intervals:
            frames |= {start: on, end: off}
        moments = "".join(f"{100 * at / self.ticks:.2f}%{{{look}}}" for at, look in sorted(frames.items()))
        timing = f"{name} {self.ticks * self.seconds:g}s step-end infinite"
        return f"@keyframes {name}{{{moments}}}{selector}{{animation:{timing}}}\n"

    def since(self, selector: str, name: str, step: int) -> str:
        """What is selected appears with a step, and stays."""
        return self.rule(selector, name, "visibility:visible", "visibility:hidden", [(step, self.ticks)])


def _appearing(back, found, clock):
    """Values on the way forward, messages and complete gradients on the way back; what gets no message at its start."""
    start = next(k for k, step in enumerate(found, start=1) if "node" in step)
    for node in back.graph.nodes:
        if node is not back.cost and not back.received[node.index]:
            yield clock.since(f'[data-node="{node.index}"] .gradient', f"g-{node.index}", start)
    for k, step in enumerate(found, start=1):
        if "value" in step:
            yield clock.since(f'[data-node="{step["value"]}"] .value', f"v{k}", k)
        if "edge" in step:
            yield clock.since(f'[data-edge="{step["edge"]}"] .message', f"m{k}", k)
        if step.get("done"):
            yield clock.since(f'[data-node="{step["node"]}"] .gradient', f"g{k}", k)


def _lit(found, clock):
    """The node of each step, and the edge of its message."""
    for kind, part in (("node", "outline"), ("edge", "line")):
        for index, moments in _moments(found, kind).items():
            selector = f'[data-{kind}="{index}"] .{part}'
            yield clock.rule(selector, f"{kind}{index}", _NOW[kind], _ELSE[kind], ((k, k + 1) for k in moments))


def _moments(found, kind) -> Mapping[int, list[int]]:
    """For each node or edge the steps that are about it."""
    moments = defaultdict(list)
    for k, step in enumerate(found, start=1):
        index = step.get("value", step.get("node")) if kind == "node" else step.get("edge")
        if index is not None:
            moments[index].append(k)
    return moments


def _said(count, clock):
    """Each equation during its step, the last one to the end."""
    for k, (start, end) in enumerate(pairwise([*range(1, count + 1), clock.ticks]), start=1):
        yield clock.rule(f".said.s{k}", f"s{k}", "visibility:visible", "visibility:hidden", [(start, end)])


def _with_equations(drawn, texts):
    """The drawing, and below it room for what is said in each step."""
    width, height = (float(drawn.partition(f'{side}="')[2].partition('"')[0]) for side in ("width", "height"))
    lines = [text.splitlines() for text in texts]
    room = height + _LINE * max(map(len, lines)) + _RIM
    wide = max(width, 2 * _RIM + _LETTER * max(len(line) for text in lines for line in text))
    start = drawn.index(">") + 1
    head = '<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" '
    head += drawn[drawn.index("aria-label") : drawn.index(' width="')]
    head += f' width="{wide:.0f}" height="{room:.0f}" viewBox="0 0 {wide:.0f} {room:.0f}">'
    said = "".join(_equation(k, text, height) for k, text in enumerate(lines, start=1))
    return f"{head}{drawn[start:].removesuffix('</svg>')}{said}</svg>"


def _equation(k, lines, top):
    rows = (
        f'<text x="{_RIM:.0f}" y="{top + _LINE * (i + 1) - 4:.0f}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    return f'<g class="said s{k}">{"".join(rows)}</g>'
