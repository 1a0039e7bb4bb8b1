"""Two reports side by side: what changed on the manual side since the earlier one."""

from collections.abc import Sequence

from jbackprop import report as say
from jbackprop.report import Table

from ._data import Measurement


def changes(before: Sequence[Measurement], after: Sequence[Measurement]) -> Table:
    """One row for each measurement of either comparison, matched by function, arguments, transformation and size."""
    earlier, later = ({_identity(c): c for c in measurements} for measurements in (before, after))
    rows = [_row(earlier.get(identity), later.get(identity)) for identity in earlier | later]
    head = ("function", "error", "whole ×", "time", "temporary", "new residuals")
    return Table(_caption(before, after), head, tuple(rows))


def _caption(before, after):
    caption = "Change of the manual gradient since the baseline, before → after (× is automatic time / manual time)"
    origins = ({(c.device, c.versions) for c in measurements} for measurements in (before, after))
    return f"{caption}; {_difference(*origins)}"


def _difference(before, after):
    if before == after:
        return "both were measured on the same kind of machine, with the same versions"
    found = ", ".join(f"{device}, {versions}" for device, versions in sorted(before))
    return f"the baseline was measured on {found}: times do not compare"


def _identity(c):
    return c.title, c.arguments


def _row(before, after):
    sides = [c and (c, c.manual) for c in (before, after)]
    return (
        (after or before).title,
        _change(sides, lambda c, side: say.number(side.roundings, 3)),
        _change(sides, lambda c, side: say.ratio(c.ratios.whole.middle)),
        _change(sides, lambda c, side: say.seconds(side.whole.seconds.middle)),
        _change(sides, lambda c, side: say.size(side.whole.program.temporary_bytes)),
        _change(sides, lambda c, side: say.size(side.residual_bytes)),
    )


def _change(sides, figure):
    """ "before → after", or the figure alone where it stayed; a dash where one report has no such comparison."""
    before, after = (say.UNKNOWN if side is None else figure(*side) for side in sides)
    return after if before == after else f"{before} → {after}"
