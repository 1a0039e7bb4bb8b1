"""Rounds are fair, and their spread is told; speed itself is asserted nowhere."""

import dataclasses
from functools import partial

from jbackprop.functions import calls_per_sample, interleaved, quartiles, time_sample


def test_rounds_are_interleaved_and_fair():
    taken = []

    def take(name):
        taken.append(name)
        return float(len(taken))

    figures = interleaved({name: partial(take, name) for name in ("manual", "automatic")}, rounds=6)
    assert [len(rounds) for rounds in figures.values()] == [6, 6]
    rounds = [taken[i : i + 2] for i in range(0, 12, 2)]
    assert all(sorted(names) == ["automatic", "manual"] for names in rounds)
    assert len({tuple(names) for names in rounds}) == 2  # neither is always the first


def test_a_figure_belongs_to_its_name():
    figures = interleaved({"one": lambda: 1.0, "two": lambda: 2.0}, rounds=3)
    assert figures == {"one": [1.0] * 3, "two": [2.0] * 3}


def test_a_sample_refills_the_caches_unless_it_is_one_call():
    calls = []
    assert time_sample(lambda: calls.append(0), calls=1) > 0
    assert len(calls) == 1
    time_sample(lambda: calls.append(0), calls=5)
    assert len(calls) == 1 + 1 + 5


def test_a_short_program_is_called_often_in_a_sample_and_not_without_end():
    assert calls_per_sample(lambda: None, seconds=0.0) == 1
    assert 1 < calls_per_sample(lambda: None, seconds=3600.0) <= 1000


def test_quartiles():
    assert dataclasses.astuple(quartiles([5.0, 1.0, 2.0, 4.0, 3.0])) == (2, 3, 4)
