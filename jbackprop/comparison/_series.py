"""What the plots show, for both kinds of picture."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ._data import Comparison


class Line(NamedTuple):
    """One side of one function over the sizes; low and high are quartiles, or the same as y."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Panel(NamedTuple):
    """One pair of logarithmic axes."""

    title: str
    unit: str
    lines: tuple[Line, ...]


class Dot(NamedTuple):
    """One function's ratio of times, with its quartiles."""

    label: str
    low: float
    middle: float
    high: float

    @property
    def faster(self) -> str:
        """The side that at least three rounds of four found faster, or "neither"."""
        return "manual" if self.low > 1 else "automatic" if self.high < 1 else "neither"


def panels(comparisons: Sequence["Comparison"]) -> list[tuple[str, list[Panel]]]:
    """For each function that was swept over sizes: its time and memory against the size."""
    swept = [c for c in comparisons if c.size is not None]
    groups = ((name, list(group)) for name, group in groupby(swept, key=_function))
    return [(name, _panels(sorted(group, key=_size))) for name, group in groups if len(group) > 1]


def dots(comparisons: Sequence["Comparison"]) -> list[Dot]:
    """Automatic time / manual time: of the three programs of one comparison, of the whole gradient of several."""
    if len(comparisons) == 1:
        (c,) = comparisons
        return [_dot(stage, getattr(c.ratios, stage)) for stage in ("forward", "backward", "whole")]
    return [_dot(c.title, c.ratios.whole) for c in comparisons]


def _dot(label, ratio):
    return Dot(label, ratio.low, ratio.middle, ratio.high)


def _function(c):
    return f"{c.transform} of {c.name}" if c.transform else c.name


def _size(c):
    return c.size


def _panels(group):
    times = [_panel(group, f"{stage}: time", "s", _time(stage)) for stage in ("forward", "backward", "whole")]
    memory = [
        _panel(group, "whole: temporary memory", "B", lambda side: _exact(side.whole.program.temporary_bytes)),
        _panel(group, "whole: peak memory", "B", lambda side: _exact(side.whole.program.peak_bytes)),
        _panel(group, "residuals: new memory", "B", lambda side: _exact(side.residual_bytes)),
    ]
    return [*times, *memory]


def _time(stage):
    def of(side):
        seconds = getattr(side, stage).seconds
        return seconds.low, seconds.middle, seconds.high

    return of


def _exact(figure):
    return None if figure is None else (figure, figure, figure)


def _panel(group, title, unit, of):
    pairs = [(c.size, c.manual, c.automatic) for c in group]
    return Panel(title, unit, (_line([(n, m) for n, m, _ in pairs], of), _line([(n, a) for n, _, a in pairs], of)))


def _line(points, of):
    """A zero has no place on a logarithmic axis, nor has an unknown figure; a line without points says which it was."""
    figures = [(size, of(side)) for size, side in points]
    known = [(size, *three) for size, three in figures if three is not None and min(three) > 0]
    x, low, y, high = zip(*known, strict=True) if known else ((), (), (), ())
    absent = "unknown" if all(three is None for _, three in figures) else "0"
    label = points[0][1].label
    return Line(label if known else f"{label}: {absent}", x, y, low, high)
