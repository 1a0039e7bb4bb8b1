"""What private trainings share: how much a network learns for how little it gives away of any one example.

    W ← W − step of 1/m (Σ_i c_i g_i + σ max_norm N(0, 1))     c_i clips the gradient of example i to max_norm
                                                                each example in each batch with probability m / examples

ε is not computed here but by the library dp-accounting, for batches that are drawn just so.  The random numbers are
those of numpy and JAX, which are not made for secrets, and no ε is paid for the choice of the settings: an experiment,
no product.

M. Abadi et al., "Deep learning with differential privacy", CCS, 2016.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jbackprop import layers, signals, training

from . import plots, report, runs
from .errors import InputError
from .problem import Problem
from .small_training import check_steps

TITLES = {"accuracy": "accuracy on the held-out images", "bits": "bits a character of the held-out text"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every private training can be told."""

    noise: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
    """σ, of which each trains a network of its own; beside them one is trained without noise."""
    max_norm: float = 1.0
    """The longest that an example's gradient may be."""
    delta: float = 1e-4
    """δ of (ε, δ), to be well below one over the examples."""
    batch_size: int = 1000
    """m, how many examples are in a batch in the mean."""
    micro_batches: int = 1
    """In how many parts, one after the other, a batch is taken; for less memory."""
    learning_rate: float = 1.0
    """η in W ← W − η g; g is the mean of the clipped gradients and the noise."""
    seed: int = 0
    """Draws whatever is random."""
    out: Path = Path("runs")
    """The folder in which the run makes its own."""


def run(
    experiment: str, settings: Settings, problem: Problem, optimizer: optax.GradientTransformation, steps: int
) -> None:
    """Trains a network for each noise, writes the run's folder, and prints the table and the picture's path.

    Args:
      experiment: its name.
      settings: how private, and of what seed.
      problem: what there is to learn; it draws the same examples for every key.
      optimizer: what makes a step of the mean of the clipped and noised gradients.
      steps: how many.

    Raises:
      InputError: a setting is out of its range, or dp-accounting is not there.
      NonFiniteError: a training diverged.
    """
    _check(settings, problem.examples)
    share = settings.batch_size / problem.examples
    budgets = {noise: epsilon(noise, share, steps, settings.delta) for noise in settings.noise}
    folder = runs.start(settings.out, experiment, settings)
    trained, scores = trainer(settings, problem, optimizer, steps), problem.evaluation()
    for noise, budget in {0.0: math.inf, **budgets}.items():
        start = time.perf_counter()
        params = jax.block_until_ready(trained(noise))
        seconds = (time.perf_counter() - start) / steps
        score = {problem.best: scores(params, ())[f"held_out_{problem.best}"]}
        folder.log(noise=noise, epsilon=budget, delta=settings.delta, **score, step_seconds=seconds)
    lines = folder.metrics()
    print("\n".join(_table(lines, problem.best)))
    print(report.paths([_picture(lines, problem.best, folder.folder)]))


def _check(settings, examples):
    if not settings.noise or not min(settings.noise) > 0:
        raise InputError(f"--noise, wanted positive numbers, got {settings.noise}")
    if not 0 < settings.max_norm < math.inf:
        raise InputError(f"--max-norm, wanted a positive number, got {settings.max_norm}")
    if not 0 < settings.delta < 1:
        raise InputError(f"--delta, wanted a number between 0 and 1, got {settings.delta}")
    if settings.micro_batches < 1:
        raise InputError(f"--micro-batches, wanted at least 1, got {settings.micro_batches}")
    check_steps(settings.batch_size, examples, settings.learning_rate)


def epsilon(noise: float, share: float, steps: int, delta: float) -> float:
    """ε of so many steps, each on a batch that holds any example with the same probability, independently.

    Args:
      noise: the standard deviation of the noise over the longest gradient of an example.
      share: that probability.
      steps: how many.
      delta: δ.

    Raises:
      InputError: dp-accounting is not there.
    """
    try:
        import dp_accounting
        from dp_accounting import pld
    except ImportError:
        raise InputError("ε, wanted dp-accounting (the extra `private` of jbackprop), got none") from None
    step = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))
    return float(pld.PLDAccountant().compose(step, steps).get_epsilon(delta))


def batches(seed: int, examples: int, share: float, steps: int, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Batches that hold each example with the same probability, filled up to the size of the largest.

    How many a batch holds is binomial, and which ones is a matter of a shuffle.

    Args:
      seed: draws them.
      examples: how many there are.
      share: that probability.
      steps: how many batches.
      parts: a number that divides the size.

    Returns:
      Row numbers (steps, size), and weights of that shape: 1, or 0 for what only fills a batch.
    """
    draw = np.random.default_rng(seed)
    counts = draw.binomial(examples, share, steps)
    size = max(-(-counts.max() // parts), 1) * parts
    rows = np.stack([np.resize(draw.permutation(examples), size) for _ in range(steps)])
    return rows, (np.arange(size) < counts[:, None]).astype(np.float32)


def trainer(
    settings: Settings, problem: Problem, optimizer: optax.GradientTransformation, steps: int
) -> Callable[[float], layers.Params]:
    """σ -> the parameters after a private training, by one program for all; σ = 0 only clips."""
    added = optax.inject_hyperparams(optax.add_noise, static_args="key")(eta=0.0, gamma=0.0, key=settings.seed + 1)
    whole = optax.chain(added, optax.scale(1 / settings.batch_size), optimizer)
    step, (x, y) = training.step(_clipped(settings, problem), whole), problem.draw(jax.random.key(settings.seed))
    sizes = problem.examples, settings.batch_size / problem.examples, steps, settings.micro_batches

    def trained(noise):
        state = training.init(problem.net.init(jax.random.key(settings.seed), problem.shape)[0], whole)
        variance = jnp.asarray((noise * settings.max_norm) ** 2, jnp.float32)
        state = state._replace(optimizer=optax.tree_utils.tree_set(state.optimizer, eta=variance))
        for rows, weights in zip(*batches(settings.seed, *sizes), strict=True):
            some_x, some_y = jax.tree.map(lambda array, rows=rows: array[rows], (x, y))
            state, metrics = step(state, some_x, (some_y, weights))
            training.check_finite(metrics)
        return state.params

    return trained


def _clipped(settings, problem):
    """(params, x, (y, weights)) -> cost and the sum of the clipped gradients, for `training.step`."""
    limits = {"micro_batches": settings.micro_batches, "mean": False}
    clipped = signals.clipped_gradient(problem.net, problem.loss, settings.max_norm, **limits)

    def of_batch(params, x, y):
        y, weights = y
        found = clipped(params, x, y, weights=weights)
        return found.cost, found.gradients, ()

    return of_batch


def _table(lines, score) -> Iterator[str]:
    yield f"noise         ε  {score:>8}  step, s"
    for line in lines:
        budget = "∞" if line["epsilon"] is None else f"{line['epsilon']:.2f}"
        yield f"{line['noise']:5.2f}  {budget:>8}  {line[score]:8.3f}  {line['step_seconds']:7.3f}"


def _picture(lines, score, folder: Path) -> Path:
    """The score against ε, a point for each noise, over the line of the network trained without any."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    without, *private = lines
    private = sorted(private, key=lambda line: line["epsilon"])
    axes.axhline(without[score], color="grey", linewidth=0.8, linestyle="dashed", label="clipped, without noise")
    axes.plot([line["epsilon"] for line in private], [line[score] for line in private], marker="o", label="private")
    for line in private:
        axes.annotate(f"σ = {line['noise']:g}", (line["epsilon"], line[score]), (4, -12), textcoords="offset points")
    plots.label(axes, TITLES[score], over=f"ε, for δ = {without['delta']:g}")
    axes.set_xscale("log")
    return plots.save(figure, folder / f"{score}.png")
