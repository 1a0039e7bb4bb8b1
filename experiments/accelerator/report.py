"""What was found, as a document."""

from collections.abc import Mapping, Sequence

import jax

from jbackprop.report import Cell, Document, Table, ratio, seconds, size

from .checks import Checked
from .rows import Measured


def document(
    checked: Sequence[Checked], figures: Mapping[str, Sequence[Measured]], left_out: Sequence[str] = ()
) -> Document:
    """The faults, and each program's ways under one another."""
    tried = [each for each in checked if not each.missing]
    wrong = [each for each in tried if each.fault]
    verdict = f"{len(tried)} cases checked, {len(wrong)} wrong." if tried else "Nothing was checked."
    remarks = [f"Left out, for want of time: {', '.join(left_out)}."] if left_out else []
    remarks += [f"Not tried: {each.name} ({each.missing})." for each in checked if each.missing]
    tables = [_figures(figures)] if figures else []
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
