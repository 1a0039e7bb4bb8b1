"""Logarithmic axes: their ends, their ticks, and the ticks' names."""

import math
from collections.abc import Sequence

from . import _format as say

_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))


def padded(values: Sequence[float]) -> tuple[float, float]:
    """The range of positive values with a little to spare at both ends."""
    low, high = math.log10(min(values)), math.log10(max(values))
    spare = max(0.06, (high - low) * 0.08)
    return 10 ** (low - spare), 10 ** (high + spare)


def ticks(low: float, high: float) -> list[float]:
    """At least three round numbers, if there are so many; powers of ten where these suffice."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = []
    for steps in _STEPS:
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) >= 3:
            break
    return found


def named(tick: float, unit: str) -> str:
    """The tick in words: unit is "s", "B" or "" for a plain number."""
    return {"s": say.seconds, "B": say.size, "": "{:g}".format}[unit](tick)
