"""Numbers for people: a few digits and a unit.  A shape is written by `functions.described`: float32[3,4]."""

import math
from typing import SupportsFloat

import numpy as np

UNKNOWN = "–"
"""A figure that nobody knows."""

_TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


def number(value: SupportsFloat | complex | np.complexfloating, digits: int = 4) -> str:
    """So many significant digits, powers of ten where it is very large or very small, and a real minus sign."""
    if isinstance(value, complex | np.complexfloating):
        sign = "−" if np.signbit(value.imag) else "+"
        return f"{number(value.real, digits)} {sign} {number(abs(value.imag), digits)}i"
    return f"{float(value):.{digits}g}".replace("-", "−")


def superscript(n: int) -> str:
    """The integer as an exponent, or as the number of a layer: ⁻¹²."""
    return str(n).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


def seconds(value: float) -> str:
    """Three digits of seconds, milliseconds or microseconds."""
    unit, scale = _time_unit(value)
    return f"{_digits(value / scale)} {unit}"


def seconds_spread(low: float, middle: float, high: float) -> str:
    """Median (lower quartile–upper quartile), in the median's unit."""
    unit, scale = _time_unit(middle)
    return f"{_spread(*(_digits(x / scale) for x in (low, middle, high)))} {unit}"


def share(value: float) -> str:
    """Two digits of a percentage, and from ten times on as that: 0.1 %, 12 times."""
    return f"{number(100 * value, 2)} %" if value < 10 else f"{number(value, 2)} times"


def ratio(value: float) -> str:
    """Two digits behind the point, none where there are three before it."""
    return f"{value:.2f}" if value < 99.995 else f"{value:.0f}"


def ratio_spread(low: float, middle: float, high: float) -> str:
    """Median (lower quartile–upper quartile)."""
    return _spread(ratio(low), ratio(middle), ratio(high))


def size(count: float | None) -> str:
    """Bytes, in powers of 1000."""
    return UNKNOWN if count is None else f"{_scaled(count)}B"


def count(value: float | None) -> str:
    """A plain number, in powers of 1000."""
    return UNKNOWN if value is None else _scaled(value).rstrip()


def _spread(low, middle, high):
    return f"{middle} ({low}–{high})"


def _scaled(value):
    power = 0 if value < 999.5 else min(5, int(math.log10(1.0005 * value) / 3))
    return f"{_digits(value / 1000**power)} {'_kMGTP'[power] if power else ''}"


def _digits(value):
    """Three digits, no exponent."""
    whole = value >= 99.95 or math.isclose(value, round(value))
    return f"{value:.0f}" if whole else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _time_unit(value):
    return next(((unit, scale) for unit, scale in _TIMES if value >= 0.9995 * scale), _TIMES[-1])
