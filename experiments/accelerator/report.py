"""What was found, as a document."""

from collections.abc import Mapping, Sequence

import jax

from jbackprop.report import Cell, Document, Table, ratio, seconds, size

from .checks import Checked
from .rows import Measured


def document(
    checked: Sequence[Checked],
    figures: Mapping[str, Sequence[Measured]],
    cases: Mapping[str, Sequence[Measured]] | None = None,
    left_out: Sequence[str] = (),
) -> Document:
    """The faults, each program's ways under one another, and each case's beside one another."""
    tried = [each for each in checked if not each.missing]
    wrong = [each for each in tried if each.fault]
    verdict = f"{len(tried)} cases checked, {len(wrong)} wrong." if tried else "Nothing was checked."
    remarks = [f"Left out, for want of time: {', '.join(left_out)}."] if left_out else []
    remarks += [f"Not tried: {each.name} ({each.missing})." for each in checked if each.missing]
    tables = [_figures(figures)] if figures else []
    if cases:
        tables.append(_beside(cases))
        remarks.append(_slower(cases))
    if wrong:
        tables.insert(0, Table("What is wrong", ("case", "fault"), tuple((w.name, w.fault) for w in wrong), "ll"))
    return Document(
        title=f"jbackprop on {jax.devices()[0].device_kind}",
        subtitle=f"jax {jax.__version__}; value and gradients, medians of interleaved calls",
        conclusion=Cell(verdict, mark="bad" if wrong else "good" if tried else ""),
        tables=tuple(tables),
        remarks=tuple(remarks),
    )


def _figures(figures):
    rows = tuple(_row(name, way, ways[0]) for name, ways in figures.items() for way in ways)
    return Table("Time and temporary memory; × is how many times as long as by hand", _HEAD, rows, "llrrr")


_HEAD = ("program", "way", "time", "×", "memory")


def _row(name, way, first):
    if way.seconds is None:
        return name, way.name, way.failure, "", ""
    share = ratio(way.seconds.middle / first.seconds.middle) if first.seconds else ""
    return name, way.name, seconds(way.seconds.middle), share, "" if way.bytes is None else size(way.bytes)


def _beside(cases):
    """A line for each case, how it is by hand and how many times as much in other ways."""
    others = list(dict.fromkeys(way.name for ways in cases.values() for way in ways[1:]))
    rows = tuple(
        (name, *_cells(ways[0]), *_shares({way.name: way for way in ways}, ways[0], others))
        for name, ways in cases.items()
    )
    head = ("case", "by hand", "memory", *(cell for other in others for cell in (f"{other} ×", "memory")))
    return Table("Every case at a size for an accelerator", head, rows, "l" + "r" * (len(head) - 1))


def _cells(way):
    return (way.failure, "") if way.seconds is None else (seconds(way.seconds.middle), size(way.bytes))


def _shares(ways, first, others):
    for other in others:
        way = ways.get(other)
        if way is None:
            yield from ("", "")
        elif way.seconds is None:
            yield from (way.failure, "")
        else:
            share = ratio(way.seconds.middle / first.seconds.middle) if first.seconds else ""
            yield from (share, size(way.bytes))


_LEVEL = 1.02


def _slower(cases):
    """Who takes longer by hand than the fastest other way, beyond what the middle halves of the samples share."""
    slower = [name for name, (first, *others) in cases.items() if first.seconds and _behind(first, others)]
    said = f"Slower by hand than {_LEVEL} × the fastest other way: {len(slower)} of {len(cases)} cases"
    return f"{said}: {', '.join(slower)}." if slower else f"{said}."


def _behind(first, others):
    known = [way.seconds for way in others if way.seconds]
    fastest = min(known, key=lambda seconds: seconds.middle, default=None)
    return fastest is not None and first.seconds.low > _LEVEL * fastest.high
