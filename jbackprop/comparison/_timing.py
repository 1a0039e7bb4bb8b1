"""Run times of pairs of programs that share one noisy machine."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ._data import Quartiles

_SAMPLE_SECONDS = 2e-3
_MOST_CALLS = 1000

Run = Callable[[], Any]


def interleaved(pairs: Mapping[str, Sequence[Run]], repeats: int) -> dict[str, list[list[float]]]:
    """Seconds a call: for each name, and each program of its pair, one figure for each round.

    In each round every program runs in turn, in a random order, so that a slow spell of the machine meets all alike.  A
    figure is the mean of as many calls in a row as last about two milliseconds, as many for the one program of a pair
    as for the other, after one that refills the caches.
    """
    calls = {name: max(map(_calls, pair)) for name, pair in pairs.items()}
    order, shuffle = [(name, i) for name, pair in pairs.items() for i in range(len(pair))], random.Random(0).shuffle
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in pair] for name, pair in pairs.items()}
    for _ in range(repeats):
        shuffle(order)
        for name, i in order:
            seconds[name][i].append(_sample(pairs[name][i], calls[name]))
    return seconds


def quartiles(figures: Sequence[float]) -> Quartiles:
    """The three quartiles, interpolated."""
    low, middle, high = np.percentile(figures, [25, 50, 75])
    return Quartiles(float(low), float(middle), float(high))


def _calls(run):
    """How many calls fill a sample, by the fastest of a few."""
    return min(_MOST_CALLS, 1 + int(_SAMPLE_SECONDS / min(_seconds(run, 1) for _ in range(4))))


def _sample(run, calls):
    """One figure.  The program before has left its own data in the caches; only a short program notices."""
    if calls > 1:
        jax.block_until_ready(run())
    return _seconds(run, calls)


def _seconds(run, calls):
    """The mean over calls in a row; a device works through its queue in order, so the last result is awaited."""
    start = time.perf_counter()
    for _ in range(calls - 1):
        run()
    jax.block_until_ready(run())
    return (time.perf_counter() - start) / calls
