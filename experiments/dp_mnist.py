"""Private training on MNIST: how accurate a network is for how little it gives away of any one image.

    W ← W − η/m (Σ_i c_i g_i + σ max_norm N(0, 1))        c_i clips the gradient of image i to max_norm
                                                           each image in each batch with probability m / examples

ε is not computed here but by the library dp-accounting, for batches that are drawn just so.  The random numbers are
those of numpy and JAX, which are not made for secrets, and no ε is paid for the choice of the settings: an experiment,
no product.

M. Abadi et al., "Deep learning with differential privacy", CCS, 2016.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from jbackprop import layers, signals, training

from . import data, plots, report, runs, small_training
from .errors import InputError
from .small_training import COST, accuracy

SUMMARY = "Private training of a multilayer perceptron on MNIST: accuracy against ε. A minute."


@dataclasses.dataclass(frozen=True)
class Settings(small_training.Settings):
    """The settings of dp-mnist."""

    hidden: tuple[int, ...] = (32,)
    """The widths of the hidden layers, each followed by tanh: the noise grows with the number of parameters."""
    batch_size: int = 1000
    """m, how many images are in a batch in the mean."""
    learning_rate: float = 1.0
    """η in the step above."""
    noise: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
    """σ, of which each trains a network of its own; beside them one is trained without noise."""
    max_norm: float = 1.0
    """The longest that an image's gradient may be."""
    delta: float = 1e-4
    """δ of (ε, δ), to be well below one over the examples."""


def run(settings: Settings) -> None:
    """Trains a network for each noise, writes the run's folder, and prints the table and the picture's path.

    Raises:
      InputError: a setting is out of its range, or dp-accounting is not there.
      NonFiniteError: a training diverged.
    """
    digits, net = settings.digits(), settings.net()
    _check(settings)
    budgets = {noise: epsilon(noise, *_draws(settings, digits), settings.delta) for noise in settings.noise}
    folder = runs.start(settings.out, "dp-mnist", settings)
    for noise, budget in {0.0: math.inf, **budgets}.items():
        params = trained(net, settings, digits, noise)
        folder.log(noise=noise, epsilon=budget, delta=settings.delta, accuracy=accuracy(net, params, digits))
    lines = folder.metrics()
    print("\n".join(_table(lines)))
    print(report.paths([_picture(lines, folder.folder)]))


def _check(settings):
    if not settings.noise or not min(settings.noise) > 0:
        raise InputError(f"--noise, wanted positive numbers, got {settings.noise}")
    if not 0 < settings.max_norm < math.inf:
        raise InputError(f"--max-norm, wanted a positive number, got {settings.max_norm}")
    if not 0 < settings.delta < 1:
        raise InputError(f"--delta, wanted a number between 0 and 1, got {settings.delta}")


def _draws(settings, digits):
    """The probability that an image is in a batch, and how many batches the training has."""
    count = len(digits.x)
    return settings.batch_size / count, settings.epochs * count // settings.batch_size


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
        raise InputError("dp-mnist, wanted dp-accounting (the extra `private` of jbackprop), got none") from None
    step = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))
    return float(pld.PLDAccountant().compose(step, steps).get_epsilon(delta))


def batches(seed: int, examples: int, share: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Batches that hold each example with the same probability, filled up to the size of the largest.

    Returns:
      Row numbers (steps, largest), and weights of that shape: 1, or 0 for what only fills a batch.
    """
    chosen = np.random.default_rng(seed).random((steps, examples)) < share
    largest = max(chosen.sum(axis=1).max(), 1)
    rows = np.argsort(~chosen, axis=1, kind="stable")[:, :largest]
    return rows, np.take_along_axis(chosen, rows, axis=1).astype(np.float32)


def trained(net: layers.Layer, settings: Settings, digits: data.Data, noise: float) -> layers.Params:
    """The parameters after a private training; noise 0 only clips."""
    params, _ = net.init(jax.random.key(settings.seed), digits.x.shape[1:])
    added = optax.add_noise(eta=(noise * settings.max_norm) ** 2, gamma=0.0, key=settings.seed + 1)
    optimizer = optax.chain(added, optax.scale(1 / settings.batch_size), optax.sgd(settings.learning_rate))
    step, state = training.step(_clipped(net, settings.max_norm), optimizer), training.init(params, optimizer)
    for rows, weights in zip(*batches(settings.seed, len(digits.x), *_draws(settings, digits)), strict=True):
        state, metrics = step(state, digits.x[rows], (digits.y[rows], weights))
        training.check_finite(metrics)
    return state.params


def _clipped(net, max_norm):
    """(params, x, (labels, weights)) -> cost and the sum of the clipped gradients, for `training.step`."""
    clipped = signals.clipped_gradient(net, COST, max_norm, mean=False)

    def of_batch(params, x, y):
        labels, weights = y
        found = clipped(params, x, labels, weights=weights)
        return found.cost, found.gradients, ()

    return of_batch


def _table(lines) -> Iterator[str]:
    yield "noise         ε  accuracy"
    for line in lines:
        budget = "∞" if line["epsilon"] is None else f"{line['epsilon']:.2f}"
        yield f"{line['noise']:5.2f}  {budget:>8}  {line['accuracy']:8.3f}"


def _picture(lines, folder: Path) -> Path:
    """Accuracy against ε, a point for each noise, over the line of the network trained without any."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    without, *private = lines
    private = sorted(private, key=lambda line: line["epsilon"])
    axes.axhline(without["accuracy"], color="grey", linewidth=0.8, linestyle="dashed", label="clipped, without noise")
    axes.plot(
        [line["epsilon"] for line in private], [line["accuracy"] for line in private], marker="o", label="private"
    )
    for line in private:
        axes.annotate(
            f"σ = {line['noise']:g}", (line["epsilon"], line["accuracy"]), (4, -12), textcoords="offset points"
        )
    plots.label(axes, "accuracy on the held-out images", over=f"ε, for δ = {without['delta']:g}")
    axes.set_xscale("log")
    return plots.save(figure, folder / "accuracy.png")
