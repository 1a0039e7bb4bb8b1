"""Trains a problem's network, its gradients by hand, automatically, or by both side by side."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

import jbackprop as jb
from jbackprop import training

from . import comparison, plots, report, runs
from .checkpoints import Checkpoints, States
from .problem import Problem
from .settings import Settings
from .stopping import Asked, Stopped


def train(experiment: str, settings: Settings, problem: Problem, explain: bool = False) -> None:
    """Trains, and writes the run's folder; prints a table, what the network makes, and the paths of the plots.

    Args:
      experiment: its name.
      settings: of the training.
      problem: what there is to learn.
      explain: whether to write the backprop table of a batch.

    Raises:
      InputError: a setting is out of its range, or the run to go on with cannot be read.
      NonFiniteError: the training diverged; the lines up to there are written.
      Stopped: somebody asked; everything is written.
    """
    settings.check(problem.examples)
    with runs.opened(settings, experiment) as run:
        said = f"{problem.examples} examples, {len(jax.tree.leaves(problem.held_out)[0])} held out"
        print(f"{experiment}: {said}; writing {run.folder}", flush=True)
        ways = settings.ways(problem.net, problem.loss)
        optimizer = settings.make_optimizer(settings.epochs * (problem.examples // _batch_size(settings, problem)))
        checkpoints = Checkpoints(run.folder, settings.keep)
        with Asked() as asked:
            states = _fit(settings, problem, ways, optimizer, run, checkpoints, asked)
        measured = {} if asked.signal else _measured(settings, problem, ways, optimizer, states)  # that can take long
        print(report.table(run.metrics(), measured))
        apart = comparison.difference(*(state.params for state in states.values())) if len(states) > 1 else None
        if apart is not None:
            print(report.agreement(apart))
        run.conclude(problem.best, measured, apart)
        _tell_samples(settings, problem, checkpoints, states, run)
        print(report.paths(plots.draw(run)))
        if explain:
            _explain(problem, states, run)
        if asked.signal is not None:
            raise Stopped(asked.signal, f"stopped after an epoch; --resume {run.folder} goes on")


def _fit(settings, problem, ways, optimizer, run, checkpoints, asked):
    """The state of each copy after the last epoch; an epoch's key, and so its examples, are the same for all."""
    init_key, order_key = jax.random.split(jax.random.key(settings.seed))
    evaluate = problem.evaluation()
    with _devices(settings) as place:
        params, _ = problem.net.init(init_key, problem.shape)
        passes = {name: training.epoch(way, optimizer, settings.batch_size) for name, way in ways.items()}
        first = {name: _started(settings, way, params, optimizer, problem, order_key) for name, way in ways.items()}
        done, states = checkpoints.restored({name: place.state(state) for name, state in first.items()})
        run.forget_after(done)
        best = _Best(settings, problem, run)
        with tqdm(range(done + 1, settings.epochs + 1), desc="training", unit="epoch") as bar:
            for epoch in bar:
                key = jax.random.fold_in(order_key, epoch)
                x, y = place.batch(problem.draw(key))
                for name, one_pass in passes.items():
                    (states[name], metrics), seconds = _timed(one_pass, states[name], key, x, y)
                    line = _line(states[name], metrics, evaluate)
                    run.log(backward=name, epoch=epoch, **line)
                    bar.set_postfix_str(f"cost {line['cost']:.4g}, {problem.examples / seconds:,.0f} examples/s")
                    training.check_finite(metrics)
                checkpoints.save(epoch, states)
                if best.is_now(line):
                    checkpoints.save_best(epoch, states)
                if asked.signal is not None:
                    break
    return states


def _timed(f, *arguments):
    """What f returns, and the seconds until it was there."""
    started = time.perf_counter()
    found = jax.block_until_ready(f(*arguments))
    return found, time.perf_counter() - started


def _line(state, metrics, evaluate):
    """What an epoch tells: the held-out scores, the cost and each ‖δˡ‖, the last two the means over its steps.

    Steps that only made a loss scale fall do not count, as long as there are others.
    """
    held_out = evaluate(*jax.device_get((state.params, state.statistics)))
    skipped = np.asarray(training.overflowed(metrics))
    metrics = jax.device_get(metrics)
    if not skipped.all():
        metrics = jax.tree.map(lambda array: array[~skipped], metrics)
    return {"step": int(state.step), **held_out, "cost": float(metrics.cost.mean()), "delta_norms": _norms(metrics)}


def _started(settings, way, params, optimizer, problem, key):
    """The first state; running averages, where the network wants some, are there from the start."""
    size = _batch_size(settings, problem)
    examples = jax.eval_shape(problem.draw, key)
    batch = jax.tree.map(lambda array: jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype), examples)
    return training.with_statistics(way, training.init(params, optimizer), *batch)


def _batch_size(settings, problem):
    return settings.batch_size or problem.examples


class _Best:
    """The best held-out score so far, of the copy that comes last."""

    def __init__(self, settings: Settings, problem: Problem, run: runs.Run) -> None:
        self._key, self._sign = f"held_out_{problem.best}", 1 if problem.largest else -1
        own = (line[self._key] for line in run.metrics() if line["backward"] == settings.backwards[-1])
        self._score = max((self._sign * score for score in own if score is not None), default=-np.inf)

    def is_now(self, scores: Mapping[str, Any]) -> bool:
        """Whether these are better than all before."""
        score = self._sign * scores[self._key]
        better = score > self._score
        self._score = max(score, self._score)
        return better


class _Place:
    """Where arrays lie: on one device, or over several."""

    def __init__(self, mesh: Mesh | None, sharded: bool) -> None:
        self._mesh, self._sharded = mesh, sharded

    def state(self, state: training.State) -> training.State:
        """The state on every device, or spread over them."""
        if self._mesh is None:
            return state
        if self._sharded:
            return training.fully_sharded(state, self._mesh)
        return jax.device_put(state, NamedSharding(self._mesh, PartitionSpec()))

    def batch(self, examples: Any) -> Any:
        """The examples spread over the devices, as many as these divide."""
        if self._mesh is None:
            return examples
        count = len(jax.tree.leaves(examples)[0]) // self._mesh.size * self._mesh.size
        spread = NamedSharding(self._mesh, PartitionSpec("data"))
        return jax.tree.map(lambda array: jax.device_put(array[:count], spread), examples)


@contextlib.contextmanager
def _devices(settings) -> Iterator[_Place]:
    if settings.devices == 1:
        yield _Place(None, False)
        return
    mesh = jax.make_mesh((settings.devices,), ("data",), devices=jax.devices()[: settings.devices])
    with jax.set_mesh(mesh):
        yield _Place(mesh, settings.sharded)


def _norms(metrics):
    """The mean over the steps of each ‖δˡ‖; of a stack one for each block."""
    found = {}
    for path, norms in jax.tree_util.tree_leaves_with_path(metrics.delta_norms):
        name, mean = jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(norms.mean(0))
        found |= {name: float(mean)} if mean.ndim == 0 else {f"{name}[{i}]": float(n) for i, n in enumerate(mean.flat)}
    return found


def _measured(settings, problem, ways, optimizer, states: States):
    x, y = problem.draw(jax.random.key(settings.seed))
    batch = slice(0, _batch_size(settings, problem))
    alone = {name: jax.device_put(_plain(state)) for name, state in states.items()}
    return comparison.measure(ways, optimizer, alone, *jax.tree.map(lambda array: array[batch], (x, y)))


def _plain(state):
    """The state on the host; a key stays where it is."""
    return state._replace(**{name: jax.device_get(getattr(state, name)) for name in ("params", "optimizer", "step")})


def _tell_samples(settings, problem, checkpoints, states, run):
    if problem.sample is None:
        return
    best = checkpoints.best(states) or states
    params = jax.device_get(best[settings.backwards[0]].params)
    text = problem.sample(params, jax.random.key(settings.seed))
    runs.write(run.folder / "samples.txt", text)
    print(f"\n{text}\n\nsamples: {run.folder / 'samples.txt'}")


def _explain(problem, states, run):
    x, y = jax.tree.map(lambda array: array[:50], problem.draw(jax.random.key(0)))
    table = jb.explain(problem.net, problem.loss)(next(iter(states.values())).params, x, y)
    for name in ("explain.txt", "explain.html"):
        table.save(run.folder / name, f"{run.folder.name}: one mini-batch after the training")
        print(f"table: {run.folder / name}")
