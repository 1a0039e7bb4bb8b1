"""Backprop beside rules that send the error back through other matrices: how well, and how near to the gradient."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from matplotlib.figure import Figure

import jbackprop as jb
from jbackprop import layers

from . import plots, report, runs, small_training
from .feedback import RULES, Fed
from .small_training import COST, accuracy, epochs

SUMMARY = "Feedback alignment, sign-symmetric feedback and a weight mirror beside backprop on MNIST: a minute."


@dataclasses.dataclass(frozen=True)
class Settings(small_training.Settings):
    """The settings of learning-rules."""

    hidden: tuple[int, ...] = (128, 128, 128)
    """The widths of the hidden layers, each followed by tanh."""


def run(settings: Settings) -> None:
    """Trains one network by each rule, writes the run's folder, and prints the table and the paths of the pictures.

    Raises:
      InputError: a setting is out of its range.
      NonFiniteError: a training diverged.
    """
    digits, net = settings.digits(), settings.net()
    folder = runs.start(settings.out, "learning-rules", settings)
    optimizer = optax.sgd(settings.learning_rate)
    for name, rule in RULES.items():
        taught = rule(net, settings.seed + 1)
        trained = epochs(jb.backprop(taught, COST), optimizer, settings, digits)
        for epoch, params in enumerate(trained):
            angles = update_angles(taught, net, params, digits.x, digits.y).tolist()
            folder.log(rule=name, epoch=epoch, accuracy=accuracy(net, taught.own(params), digits), angles=angles)
    lines = folder.metrics()
    print("\n".join(_table(lines)))
    print(report.paths([_accuracies(lines, folder.folder), _angles(lines, folder.folder)]))


@jax.jit(static_argnums=(0, 1))
def update_angles(taught: Fed, net: layers.Layer, params: layers.Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """The angle in degrees between a rule's update and the gradient, for each layer that has parameters.

    Args:
      taught: the network as the rule teaches it.
      net: the network itself.
      params: of the first; its own are the network's.
      x: inputs.
      y: labels.
    """
    _, updates, _ = jb.backprop(taught, COST)(params, x, y)
    _, gradients, _ = jb.backprop(net, COST)(taught.own(params), x, y)
    return jnp.stack([angle(*pair) for pair in zip(taught.own(updates), gradients, strict=True) if pair[1]])


def angle(tree: layers.Params, other: layers.Params) -> jax.Array:
    """The angle in degrees between two trees of arrays.

    By the half angle's tangent, which is exact where the cosine is flat: between parallel vectors.
    """
    u, v = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(part)]) for part in (tree, other))
    u, v = u / jnp.linalg.norm(u), v / jnp.linalg.norm(v)
    return jnp.degrees(2 * jnp.arctan2(jnp.linalg.norm(u - v), jnp.linalg.norm(u + v)))


def _table(lines):
    width = max(len(name) for name in RULES)
    yield f"{'rule':{width}}  accuracy  angle to the gradient by layer, first to last, after the last epoch"
    for line in {line["rule"]: line for line in lines}.values():
        angles = "  ".join(f"{angle:4.0f}°" for angle in line["angles"])
        yield f"{line['rule']:{width}}  {line['accuracy']:8.3f}  {angles}"


def _accuracies(lines, folder: Path) -> Path:
    """Accuracy after each epoch, a curve for each rule."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in RULES:
        own = [line for line in lines if line["rule"] == name and line["epoch"]]
        marker = "o" if len(own) == 1 else None
        axes.plot([line["epoch"] for line in own], [line["accuracy"] for line in own], label=name, marker=marker)
    plots.label(axes, "accuracy on the held-out images")
    return plots.save(figure, folder / "accuracy.png")


def _angles(lines, folder: Path) -> Path:
    """The angle before and after each epoch, a plot for each rule but backprop, in it a curve for each layer."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    others = [name for name in RULES if name != "backprop"]
    all_axes = figure.subplots(1, len(others), sharey=True)
    for axes, name in zip(all_axes, others, strict=True):
        own = [line for line in lines if line["rule"] == name]
        for i, angles in enumerate(zip(*(line["angles"] for line in own), strict=True)):
            axes.plot([line["epoch"] for line in own], angles, label=f"layer {i + 1}")
        axes.axhline(90, color="grey", linewidth=0.8, linestyle="dashed", label="no better than chance")
        axes.set_yticks(range(0, 121, 30))
        plots.label(axes, name)
    for axes in all_axes[:-1]:
        axes.get_legend().remove()
    all_axes[0].set_ylabel("angle of the update to the gradient, in degrees")
    return plots.save(figure, folder / "angles.png")
