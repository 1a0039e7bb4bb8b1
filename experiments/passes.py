"""The copies of a training, which go through its epochs side by side, about a second's steps at a time.

Between two parts of an epoch a run tells how far it is, and hears whether it is asked to stop.  Where an epoch is cut
changes no bit of it: one program takes its steps, however many at a time.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop import training

from .places import Place
from .problem import Problem
from .settings import Settings

SECONDS = 1.0
"""How long the steps that are taken at a time should last."""


class Copy(NamedTuple):
    """One copy of a training.

    Attributes:
      state: where it stands.
      metrics: a row for each step of an epoch; where it is inside one, the rows of the steps to come are older.
    """

    state: training.State
    metrics: training.Metrics


class Part(NamedTuple):
    """Steps that were taken at a time.

    Attributes:
      cost: the mean over them, of the copy that comes last.
      speed: examples a second, of one copy.
      finite: whether every copy could take them all.
    """

    cost: float
    speed: float
    finite: bool


class Passes:
    """The epochs of some copies; an epoch's key, and so its examples, are the same for all.

    Attributes:
      copies: by their names.
      steps: how many an epoch has.
      taken: how many each copy has taken.
    """

    def __init__(
        self,
        settings: Settings,
        problem: Problem,
        place: Place,
        ways: Mapping[str, Any],
        optimizer: optax.GradientTransformation,
    ) -> None:
        init_key, self._key = jax.random.split(jax.random.key(settings.seed))
        self._problem, self._place = problem, place
        self._examples = functools.lru_cache(maxsize=1)(self._drawn)
        self._programs = {name: training.epoch(way, optimizer, settings.batch_size) for name, way in ways.items()}
        params, _ = problem.net.init(init_key, problem.shape)
        start = functools.partial(training.init, params, optimizer)
        self.copies = {name: self._started(name, way, settings.batch_size, start()) for name, way in ways.items()}
        self.taken, self.steps = 0, len(next(iter(self.copies.values())).metrics.cost)
        self._at_a_time = 1

    @property
    def epochs(self) -> int:
        """How many have ended."""
        return self.taken // self.steps

    @property
    def inside(self) -> int:
        """How many steps of the next were taken."""
        return self.taken % self.steps

    def go_on(self, taken: int, copies: Mapping[str, Copy]) -> None:
        """From copies that have taken so many steps."""
        self.taken, self.copies = taken, {name: copies[name] for name in self.copies}

    def take_some(self) -> Part:
        """Takes the next steps, none beyond the epoch's end."""
        first, last = self.inside, min(self.inside + self._at_a_time, self.steps)
        key, x, y = self._examples(self.epochs + 1)
        began = time.perf_counter()
        for name, one_pass in self._programs.items():
            state, metrics = self.copies[name]
            self.copies[name] = Copy(*one_pass(state, key, x, y, metrics, first, last))
        jax.block_until_ready(self.copies)
        seconds = time.perf_counter() - began
        self.taken += last - first
        self._keep_pace(seconds)
        metrics = [jax.device_get(copy.metrics) for copy in self.copies.values()]
        examples = len(metrics) * (last - first) * len(jax.tree.leaves(x)[0]) // self.steps
        return Part(float(metrics[-1].cost[first:last].mean()), examples / seconds, all(map(_finite, metrics)))

    def told(self, name: str) -> training.Metrics:
        """What a copy's last steps have told, those of the epoch that they are in."""
        rows = self.inside or self.steps
        return jax.tree.map(lambda metric: metric[:rows], jax.device_get(self.copies[name].metrics))

    def _keep_pace(self, seconds):
        """The first steps are compiled before they are taken, and seem long."""
        if seconds < SECONDS / 2:
            self._at_a_time *= 2
        elif seconds > 2 * SECONDS:
            self._at_a_time = max(self._at_a_time // 2, 1)

    def _drawn(self, epoch):
        """The epoch's key and examples; the first is epoch 1."""
        key = jax.random.fold_in(self._key, epoch)
        return key, *self._place.batch(self._problem.draw(key))

    def _started(self, name, way, batch_size, state):
        """A copy before its first step; running averages, where the network wants some, are there from the start."""
        key, x, y = self._examples(1)
        size = batch_size or len(jax.tree.leaves(x)[0])
        batch = jax.tree.map(lambda array: jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype), (x, y))
        state = self._place.state(training.with_statistics(way, state, *batch))
        told = jax.eval_shape(self._programs[name], state, key, x, y)[1]
        return Copy(state, self._place.whole(jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), told)))


def _finite(metrics):
    try:
        training.check_finite(metrics)
    except training.NonFiniteError:
        return False
    return True
