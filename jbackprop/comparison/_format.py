"""Numbers for people: three digits and a unit."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jbackprop.functions import Quartiles

    from ._data import Error

UNKNOWN = "–"
_SMALL = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


def number(value: float) -> str:
    """Three digits; powers of ten where it is very large or very small."""
    return f"{value:.3g}" if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def seconds(value: float) -> str:
    unit, scale = _time_unit(value)
    return f"{_digits(value / scale)} {unit}"


def spread(value: "Quartiles") -> str:
    """Median (lower quartile–upper quartile), in the median's unit."""
    unit, scale = _time_unit(value.middle)
    low, middle, high = (_digits(x / scale) for x in (value.low, value.middle, value.high))
    return f"{middle} ({low}–{high}) {unit}"


def ratio(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def ratios(value: "Quartiles") -> str:
    """Median (lower quartile–upper quartile)."""
    return f"{ratio(value.middle)} ({ratio(value.low)}–{ratio(value.high)})"


def error(value: "Error") -> str:
    return f"{number(value.roundings)} ({value.relative:.0e})"


def size(count: float | None) -> str:
    """Bytes, in powers of 1000."""
    return UNKNOWN if count is None else f"{_scaled(count)}B"


def count(value: float | None) -> str:
    """A plain number, in powers of 1000."""
    return UNKNOWN if value is None else _scaled(value).rstrip()


def _scaled(value):
    power = 0 if value < 999.5 else min(5, int(math.log10(1.0005 * value) / 3))
    return f"{_digits(value / 1000**power)} {'_kMGTP'[power] if power else ''}"


def _digits(value):
    """Three digits, no exponent."""
    whole = value >= 100 or math.isclose(value, round(value))
    return f"{value:.0f}" if whole else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _time_unit(value):
    return next(((unit, scale) for unit, scale in _SMALL if value >= 0.9995 * scale), _SMALL[-1])
