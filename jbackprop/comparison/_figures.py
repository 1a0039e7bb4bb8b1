"""What the plots show."""

from collections.abc import Sequence
from itertools import groupby

from jbackprop.report import Dot, Dots, Figure, Line, Panel

from ._data import Measurement

_RATIO = "automatic time / manual time: right of 1, the manual gradient is faster; grey: too close to tell"


def sweeps(measurements: Sequence[Measurement]) -> list[Figure]:
    """For each function that was swept over sizes: its time and memory against the size."""
    swept = [c for c in measurements if c.size is not None]
    groups = ((name, list(group)) for name, group in groupby(swept, key=_function))
    return [
        Figure(f"{name} against its size n", tuple(_panels(sorted(group, key=_size))))
        for name, group in groups
        if len(group) > 1
    ]


def ratios(measurements: Sequence[Measurement]) -> Figure:
    """Automatic time / manual time: of the three programs of one measurement, of the whole gradient of several."""
    if len(measurements) == 1:
        (c,) = measurements
        dots = [_dot(stage, getattr(c.ratios, stage)) for stage in ("forward", "backward", "whole")]
        return Figure("Ratio of times", (Dots(_RATIO, tuple(dots)),))
    dots = [_dot(c.title, c.ratios.whole) for c in measurements]
    return Figure("Ratio of times of the whole gradient", (Dots(_RATIO, tuple(dots)),))


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
    return Panel(title, "n", unit, (_line([(n, m) for n, m, _ in pairs], of), _line([(n, a) for n, _, a in pairs], of)))


def _line(points, of):
    """A zero has no place on a logarithmic axis, nor has an unknown figure; a line without points says which it was."""
    figures = [(size, of(side)) for size, side in points]
    known = [(size, *three) for size, three in figures if three is not None and min(three) > 0]
    x, low, y, high = zip(*known, strict=True) if known else ((), (), (), ())
    absent = "unknown" if all(three is None for _, three in figures) else "0"
    label = points[0][1].label
    return Line(label if known else f"{label}: {absent}", x, y, low, high)
