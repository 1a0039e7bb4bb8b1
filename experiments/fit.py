"""Trains a problem's network, its gradients by hand, automatically, or by both side by side."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

import jbackprop as jb
from jbackprop import training

from . import comparison, plots, report, runs
from .checkpoints import Checkpoints
from .passes import Passes
from .places import devices
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
            passes = _fit(settings, problem, ways, optimizer, run, checkpoints, asked)
        states = {name: copy.state for name, copy in passes.copies.items()}
        if run.metrics():
            measured = {} if asked.signal else _measured(settings, problem, ways, optimizer, states)  # it can take long
            _tell(run, problem, states, measured)
        _tell_samples(settings, problem, checkpoints, passes.copies, run)
        if explain:
            _explain(problem, states, run)
        if asked.signal is not None:
            goes_on = f"--resume {run.folder} goes on" if settings.keep else "no checkpoint was to be kept"
            raise Stopped(asked.signal, f"stopped after {passes.taken} steps; {goes_on}")


def _fit(settings, problem, ways, optimizer, run, checkpoints, asked):
    """The copies after the last step."""
    evaluate = problem.evaluation()
    with devices(settings) as place:
        passes = Passes(settings, problem, place, ways, optimizer)
        passes.go_on(*checkpoints.restored(passes.copies))
        run.forget_after(passes.epochs)
        best = _Best(settings, problem, run)
        with tqdm(desc="training", initial=passes.taken, total=settings.epochs * passes.steps, unit="step") as bar:
            while passes.epochs < settings.epochs and asked.signal is None:
                part = passes.take_some()
                bar.update(passes.taken - bar.n)
                bar.set_postfix_str(f"cost {part.cost:.4g}, {part.speed:,.0f} examples/s")
                if passes.inside and part.finite:
                    continue
                line = _log(run, passes, evaluate)
                checkpoints.save(passes.taken, passes.copies)
                if best.is_now(line):
                    checkpoints.save_best(passes.taken, passes.copies)
        if passes.inside:
            checkpoints.save(passes.taken, passes.copies)
    return passes


def _log(run, passes, evaluate):
    """A line of what each copy's epoch tells, up to a copy that has diverged; the last line."""
    for name, copy in passes.copies.items():
        line = _line(copy.state, passes.told(name), evaluate)
        run.log(backward=name, epoch=passes.epochs + bool(passes.inside), **line)
        training.check_finite(copy.metrics)
    return line


def _line(state, metrics, evaluate):
    """What an epoch tells: the held-out scores, the cost and each ‖δˡ‖, the last two the means over its steps.

    Steps that only made a loss scale fall do not count, as long as there are others.
    """
    held_out = evaluate(*jax.device_get((state.params, state.statistics)))
    skipped = np.asarray(training.overflowed(metrics))
    if not skipped.all():
        metrics = jax.tree.map(lambda array: array[~skipped], metrics)
    return {"step": int(state.step), **held_out, "cost": float(metrics.cost.mean()), "delta_norms": _norms(metrics)}


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


def _norms(metrics):
    """The mean over the steps of each ‖δˡ‖; of a stack one for each block."""
    found = {}
    for path, norms in jax.tree_util.tree_leaves_with_path(metrics.delta_norms):
        name, mean = jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(norms.mean(0))
        found |= {name: float(mean)} if mean.ndim == 0 else {f"{name}[{i}]": float(n) for i, n in enumerate(mean.flat)}
    return found


def _measured(settings, problem, ways, optimizer, states):
    x, y = problem.draw(jax.random.key(settings.seed))
    batch = slice(0, _batch_size(settings, problem))
    alone = {name: jax.device_put(_plain(state)) for name, state in states.items()}
    return comparison.measure(ways, optimizer, alone, *jax.tree.map(lambda array: array[batch], (x, y)))


def _plain(state):
    """The state on the host; a key stays where it is."""
    return state._replace(**{name: jax.device_get(getattr(state, name)) for name in ("params", "optimizer", "step")})


def _tell(run, problem, states, measured):
    """A table, how far apart the copies are, and the plots, of a run that has ended an epoch."""
    print(report.table(run.metrics(), measured))
    apart = comparison.difference(*(state.params for state in states.values())) if len(states) > 1 else None
    if apart is not None:
        print(report.agreement(apart))
    run.conclude(problem.best, measured, apart)
    print(report.paths(plots.draw(run)))


def _tell_samples(settings, problem, checkpoints, copies, run):
    if problem.sample is None:
        return
    best = checkpoints.best(copies) or copies
    params = jax.device_get(best[settings.backwards[0]].state.params)
    text = problem.sample(params, jax.random.key(settings.seed))
    runs.write(run.folder / "samples.txt", text)
    print(f"\n{text}\n\nsamples: {run.folder / 'samples.txt'}")


def _explain(problem, states, run):
    x, y = jax.tree.map(lambda array: array[:50], problem.draw(jax.random.key(0)))
    table = jb.explain(problem.net, problem.loss)(next(iter(states.values())).params, x, y)
    for name in ("explain.txt", "explain.html"):
        table.save(run.folder / name, f"{run.folder.name}: one mini-batch after the training")
        print(f"table: {run.folder / name}")
