"""Measurements as a document: what to show of them, and in which order."""

from collections.abc import Sequence
from dataclasses import replace

from jbackprop.report import Cell, Document

from ._baseline import changes
from ._data import Measurement
from ._figures import ratios, sweeps
from ._tables import details, notes, origin, summary, targets


def document(found: Sequence[Measurement], baseline: Sequence[Measurement] | None = None) -> Document:
    """One measurement in full, or several in one row each and then in full; and what changed since the baseline."""
    changed = () if baseline is None else (changes(baseline, found),)
    figures = (*sweeps(found), ratios(found))
    remarks = (*origin(found), *(f"note: {note}" for note in notes(found)))
    common = {"conclusion": _disagreement(found), "figures": figures, "remarks": remarks}
    if len(found) == 1:
        alone = _full(found[0])
        return replace(alone, tables=(*alone.tables, *changed), **common)
    tables = (summary(found), *targets(found), *changed)
    return Document("Manual and automatic gradients", tables=tables, details=tuple(map(_full, found)), **common)


def _full(measurement):
    return Document(measurement.title, ", ".join(measurement.arguments), tables=tuple(details(measurement)))


def _disagreement(found):
    """What is wrong, if anything."""
    wrong = [c for c in found if not c.agrees]
    if not wrong:
        return Cell("")
    names, sides = (
        "; ".join(dict.fromkeys(words)) for words in zip(*((c.title, c.automatic.label) for c in wrong), strict=True)
    )
    return Cell(f"{names}: the manual gradient DISAGREES with the {sides} one beyond rounding", mark="bad")
