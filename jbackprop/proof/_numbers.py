"""The numbers to try a rule on, made of those given."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jbackprop.functions import is_real, largest

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _all(*values):
    return lambda leaf, rng: np.resize(np.array(values), np.shape(leaf))


def _some_zero(leaf, rng):
    return np.where(_third(leaf, rng), 0.0, leaf)


def _some_tied(leaf, rng):
    leaf = np.asarray(leaf)
    return np.where(_third(leaf, rng), np.roll(leaf.reshape(-1), 1).reshape(leaf.shape), leaf)


def _third(leaf, rng):
    """Which entries: a third of them, one at least if there is any, by chance: every third might be a whole column."""
    return (rng.permutation(np.size(leaf)) < max(1, np.size(leaf) // 3)).reshape(np.shape(leaf))


SPECIAL: dict[str, Change] = {
    "of zeros": _all(0.0),
    "of negative zeros": _all(-0.0),
    "with some zeros": _some_zero,
    "of ones": _all(1.0),
    "of minus ones": _all(-1.0),
    "all equal": _all(0.625),
    "tied in pairs": _all(0.5, 0.5, -0.25, -0.25),
    "with some ties": _some_tied,
    "of whole numbers": _all(0.0, 1.0, -1.0, 2.0, -2.0, 3.0),
    "subnormal": _all(1e-41, -1e-42),
    "tiny": _all(1e-20, -1e-20),
}
"""Where hand-written rules break: name -> what to make of an argument."""

LARGE: dict[str, Change] = {
    "of ±10": _all(10.0, -10.0),
    "of ±100": _all(100.0, -100.0),
    "of ±10⁴": _all(1e4, -1e4),
    "of ±10¹⁰": _all(1e10, -1e10),
    "of ±10³⁰": _all(1e30, -1e30),
}
"""Where they overflow, or lose their digits."""


def spoilt(leaf: np.ndarray, value: float) -> np.ndarray:
    """The leaf with another first entry."""
    leaf = np.array(leaf)
    leaf.reshape(-1)[:1] = value
    return leaf


def spread(rng: np.random.Generator, leaf: np.ndarray, draws: int, octaves: tuple[int, int]) -> np.ndarray:
    """(draws, *leaf.shape): a leaf scaled by random powers of two, from 2 to the one octave to 2 to the other.

    In every other draw of either sign, and what is less than 1 taken for 1: a bias may well be 0, or small, as given.
    """
    factor = 2.0 ** rng.uniform(*octaves, size=(draws, *np.shape(leaf)))
    drawn = leaf * factor
    drawn[::2] = rng.choice([-1.0, 1.0], size=factor[::2].shape) * np.maximum(np.abs(leaf), 1) * factor[::2]
    return drawn


HALVES = np.arange(-128, 129) / 2
"""Numbers that every dtype holds."""


def magnitude(arrays: Sequence[Any]) -> float:
    """The largest number of all floating point arrays, 1 at least."""
    return max([1.0, *(largest(array) for array in arrays if is_real(array))])
