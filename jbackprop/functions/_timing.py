"""Run times of programs that share one noisy machine."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

_SAMPLE_SECONDS = 2e-3
_MOST_CALLS = 1000

Run = Callable[[], Any]
Name = TypeVar("Name")


@dataclass(frozen=True)
class Quartiles:
    """The spread of one figure over the rounds.

    Attributes:
      low: a quarter of the rounds lie below.
      middle: the median.
      high: a quarter of the rounds lie above.
    """

    low: float
    middle: float
    high: float


def interleaved(samples: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, list[float]]:
    """The figures of each of several, one for each round.

    In each round every one of them is taken in turn, in a random order, so that a slow spell of the machine meets all
    alike.

    Args:
      samples: for each name, what takes one figure.
      rounds: how many.
    """
    order, shuffle = list(samples), random.Random(0).shuffle
    figures: dict[Name, list[float]] = {name: [] for name in samples}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            figures[name].append(samples[name]())
    return figures


def quartiles(figures: Sequence[float]) -> Quartiles:
    """The three quartiles, interpolated."""
    low, middle, high = np.percentile(figures, [25, 50, 75])
    return Quartiles(float(low), float(middle), float(high))


def calls_per_sample(run: Run, seconds: float = _SAMPLE_SECONDS) -> int:
    """How many calls in a row last so long, by the fastest of a few."""
    return min(_MOST_CALLS, 1 + int(seconds / min(_seconds_a_call(run) for _ in range(4))))


def time_sample(run: Run, calls: int) -> float:
    """Seconds a call, the mean of so many in a row, after one that refills the caches.

    The program before has left its own data in them; only a short program notices.
    """
    if calls > 1:
        jax.block_until_ready(run())
    return _seconds_a_call(run, calls)


def _seconds_a_call(run: Run, calls: int = 1) -> float:
    """The mean over calls in a row; a device works through its queue in order, so the last result is awaited."""
    start = time.perf_counter()
    for _ in range(calls - 1):
        run()
    jax.block_until_ready(run())
    return (time.perf_counter() - start) / calls
