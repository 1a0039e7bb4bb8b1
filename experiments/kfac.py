"""K-FAC beside Adam: a classifier of MNIST, and the deep autoencoder that it became known for.

    Adam      p ← p − η m / (√v + …)                      each number of a gradient by itself
    K-FAC     W ← W − η A⁻¹ (∂C/∂W) B⁻¹, and momentum     A of a layer's inputs, B of its δ for sampled targets

"K-FAC, n" computes the inverses of its moving averages after every n steps.

G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science, 2006, for the
autoencoder.  J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML,
2015.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jbackprop as jb
from jbackprop import layers, rules, signals

from . import classifier, data, plots, report, runs, small_training
from .errors import InputError
from .problem import Problem

SUMMARY = "K-FAC beside Adam: a classifier of MNIST or (--network autoencoder) a deep autoencoder, 2 to 30 minutes."


@dataclasses.dataclass(frozen=True)
class Settings(small_training.Settings):
    """The settings of kfac."""

    network: Literal["classifier", "autoencoder"] = "classifier"
    """What is trained."""
    hidden: tuple[int, ...] = ()
    """The widths of the hidden layers, each followed by tanh; an autoencoder has them again in reverse behind the last,
    its code.  None for 128 64, or 256 128 64 30; the autoencoder of the literature has 1000 500 250 30."""
    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 500
    """Images a step."""
    learning_rate: float = 3e-3
    """η of Adam."""
    kfac_rate: float = 0.0
    """η of K-FAC; 0 for the network's."""
    momentum: float = 0.9
    """The share of K-FAC's last step that goes into the next."""
    damping: float = 0.0
    """λ of K-FAC, of a cost that is a sum over pixels the larger; 0 for the network's."""
    inverse_every: tuple[int, ...] = (1, 10)
    """After how many steps K-FAC computes its inverses anew; for each it trains a network of its own."""


class Task(NamedTuple):
    """What is learnt.

    Attributes:
      problem: the network, its loss and the images.
      sample: targets drawn from what the network says itself, for a key and its output.
      kfac_rate: η of K-FAC.
      damping: λ of K-FAC.
    """

    problem: Problem
    sample: Callable[[jax.Array, jax.Array], jax.Array]
    kfac_rate: float
    damping: float


def run(settings: Settings) -> None:
    """Trains by each, writes the run's folder, and prints the table and the picture's path.

    Raises:
      InputError: a setting is out of its range.
    """
    digits = settings.digits()
    _check(settings)
    task = TASKS[settings.network](settings, digits)
    folder, scores = runs.start(settings.out, "kfac", settings), task.problem.evaluation()
    for name in optimizers(settings):
        for epoch, (params, cost, seconds) in enumerate(trained(name, settings, task), 1):
            folder.log(optimizer=name, epoch=epoch, cost=cost, seconds=seconds, **scores(params, ()))
    lines = folder.metrics()
    print("\n".join(_table(lines, f"held_out_{task.problem.best}")))
    print(report.paths([_picture(lines, folder.folder)]))


def _check(settings):
    for name in ("kfac_rate", "damping"):
        if not getattr(settings, name) >= 0:
            raise InputError(f"--{name.replace('_', '-')}, wanted at least 0, got {getattr(settings, name)}")
    if not 0 <= settings.momentum < 1:
        raise InputError(f"--momentum, wanted a number in [0, 1), got {settings.momentum}")
    if not settings.inverse_every or min(settings.inverse_every) < 1:
        raise InputError(f"--inverse-every, wanted positive numbers of steps, got {settings.inverse_every}")


def _classifier(settings, digits):
    net = classifier.mlp(settings.hidden or (128, 64), "tanh", classes=10)
    problem = classifier.problem(net, digits)
    return Task(problem, jax.random.categorical, settings.kfac_rate or 0.05, settings.damping or 0.1)


def _autoencoder(settings, digits):
    widths = settings.hidden or (256, 128, 64, 30)
    pixels = digits.x.shape[1]
    net = classifier.mlp((*widths, *widths[-2::-1]), "tanh", classes=pixels)
    images, held_out = (digits.x, digits.x), (digits.x_held_out, digits.x_held_out)
    score = {"held_out": held_out, "scores": _reconstruction, "best": "error"}
    problem = Problem(net, rules.sigmoid_cross_entropy, (pixels,), lambda key: images, len(digits.x), **score)
    return Task(problem, _drawn_pixels, settings.kfac_rate or 0.3, settings.damping or 1.0)


TASKS: dict[str, Callable[[Settings, data.Data], Task]] = {"classifier": _classifier, "autoencoder": _autoencoder}


def _drawn_pixels(key, z):
    """Black or white, as likely as the network says."""
    return jax.random.bernoulli(key, jax.nn.sigmoid(z)).astype(z.dtype)


def _reconstruction(z, x):
    """The cost and ‖x̂ − x‖² of each image."""
    error = jnp.square(jax.nn.sigmoid(z) - x).sum(-1)
    return {"cost": rules.sigmoid_cross_entropy(z, x), "error": error}, jnp.ones(len(x))


def _adam(settings, task):
    return optax.with_extra_args_support(optax.adam(settings.learning_rate)), lambda params, x, key: ()


def _kfac(inverse_every, settings, task):
    fisher = signals.fisher_gradient(task.problem.net, task.problem.loss, task.sample)

    def curvature(params, x, key):
        return signals.kronecker_factors(fisher(params, x, key).factors)

    key = jax.random.key(0)
    params, _ = task.problem.net.init(key, task.problem.shape)
    like = jax.eval_shape(curvature, params, task.problem.draw(key)[0][: settings.batch_size], key)
    step = optax.sgd(task.kfac_rate, settings.momentum)
    return optax.chain(signals.kfac(like, task.damping, inverse_every=inverse_every), step), curvature


def optimizers(settings: Settings) -> dict[str, Callable[[Settings, Task], tuple[Any, Callable[..., Any]]]]:
    """For each name, what makes the transformation and what tells it the curvature of a batch."""
    return {"Adam": _adam, **{f"K-FAC, {every}": partial(_kfac, every) for every in settings.inverse_every}}


def trained(name: str, settings: Settings, task: Task) -> Iterator[tuple[layers.Params, float, float]]:
    """The parameters after each epoch, the mean cost of its steps, and the seconds that it took.

    Raises:
      FloatingPointError: the cost is not finite.
    """
    problem = task.problem
    init_key, order_key = jax.random.split(jax.random.key(settings.seed))
    optimizer, curvature = optimizers(settings)[name](settings, task)
    params, _ = problem.net.init(init_key, problem.shape)
    state, one_pass = (params, optimizer.init(params)), jax.jit(_epoch(problem, optimizer, curvature))
    for epoch in range(settings.epochs):
        key = jax.random.fold_in(order_key, epoch)
        rows = jax.random.permutation(key, problem.examples)
        rows = rows[: len(rows) // settings.batch_size * settings.batch_size].reshape(-1, settings.batch_size)
        start = time.perf_counter()
        state, costs = jax.block_until_ready(one_pass(state, key, rows))
        if not np.isfinite(costs).all():
            raise FloatingPointError(f"kfac: {name}, wanted finite costs, got {float(costs[-1])} in epoch {epoch + 1}")
        yield state[0], float(costs.mean()), time.perf_counter() - start


def _epoch(problem: Problem, optimizer: Any, curvature: Callable[..., Any]) -> Callable[..., Any]:
    backpropagate = jb.backprop(problem.net, problem.loss)

    def step(carry, batch):
        (params, state), (key, x, y) = carry, batch
        cost, gradients, _ = backpropagate(params, x, y)
        updates, state = optimizer.update(gradients, state, params, curvature=curvature(params, x, key))
        return (optax.apply_updates(params, updates), state), cost

    def one_pass(carry, key, rows):
        x, y = problem.draw(key)
        return jax.lax.scan(step, carry, (jax.random.split(key, len(rows)), x[rows], y[rows]))

    return one_pass


def _table(lines, score):
    yield f"optimizer  training cost  held-out cost  {score.replace('held_out_', 'held-out '):>17}  epoch, s"
    for name, own in _by_optimizer(lines).items():
        last, seconds = own[-1], statistics.median(line["seconds"] for line in own)
        numbers = f"{last['cost']:13.4f}  {last['held_out_cost']:13.4f}  {last[score]:17.4f}  {seconds:8.2f}"
        yield f"{name:10} {numbers}"


def _by_optimizer(lines):
    names = dict.fromkeys(line["optimizer"] for line in lines)
    return {name: [line for line in lines if line["optimizer"] == name] for name in names}


def _picture(lines, folder: Path) -> Path:
    """The cost after each epoch, on the images that are trained on and on others."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = {"cost": "cost in training, the mean over an epoch", "held_out_cost": "cost on the held-out images"}
    for axes, (cost, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for name, own in _by_optimizer(lines).items():
            marker = "o" if len(own) == 1 else None
            axes.plot([line["epoch"] for line in own], [line[cost] for line in own], label=name, marker=marker)
        plots.label(axes, title, log=True)
    return plots.save(figure, folder / "cost.png")
