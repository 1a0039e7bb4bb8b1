"""Which training images helped a prediction, and which harmed it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jbackprop as jb
from jbackprop import layers, signals

from . import data, plots, report, runs, small_training
from .errors import InputError
from .small_training import COST, epochs

SUMMARY = "The most helpful and most harmful training images of some predictions, wrong and right ones. Seconds."


@dataclasses.dataclass(frozen=True)
class Settings(small_training.Settings):
    """The settings of influence."""

    hidden: tuple[int, ...] = (64,)
    """The widths of the hidden layers, each followed by tanh."""
    epochs: int = 10
    """Passes over the training images; the influence is a sum over the parameters after each."""
    predictions: int = 3
    """How many wrong and how many right predictions of held-out images to ask about."""
    shown: int = 5
    """How many helpful and how many harmful images to show of each."""


def run(settings: Settings) -> None:
    """Trains, asks about some predictions, writes the run's folder, and prints a table and the picture's path.

    Raises:
      InputError: a setting is out of its range.
      NonFiniteError: the training diverged.
    """
    digits, net = settings.digits(), settings.net()
    _check(settings, len(digits.x))
    folder = runs.start(settings.out, "influence", settings)
    params = checkpoints(net, settings, digits)
    predicted = np.asarray(net.forward(params[-1], digits.x_held_out)[0].argmax(-1))
    images = _asked(predicted, np.asarray(digits.y_held_out), settings.predictions)
    found = traced(net, settings, params, digits, images)
    for image, influences in zip(images, found, strict=True):
        of_whom = {"image": image, "label": digits.y_held_out[image], "predicted": predicted[image]}
        folder.log(**of_whom, **_extremes(influences, settings.shown))
    lines = folder.metrics()
    print("\n".join(_table(lines, digits)))
    print(report.paths([_picture(lines, digits, folder.folder)]))


def checkpoints(net: layers.Chain, settings: Settings, digits: data.Data) -> list[layers.Params]:
    """The parameters after each epoch: copies, since the next epoch takes their buffers."""
    trained = epochs(jb.backprop(net, COST), optax.sgd(settings.learning_rate), settings, digits)
    return [jax.tree.map(jnp.copy, params) for params in trained][1:]


def traced(
    net: layers.Chain, settings: Settings, params: list[layers.Params], digits: data.Data, images: np.ndarray
) -> np.ndarray:
    """By how much each training image made the cost of each held-out one smaller, (held-out, training images).

    An epoch takes one step on each training image, of which it has the share that it has in its batch.
    """
    test = digits.x_held_out[images], digits.y_held_out[images]
    rates = [settings.learning_rate / settings.batch_size] * len(params)
    return np.asarray(signals.influence(net, COST, params, test, (digits.x, digits.y), rates))


def _check(settings, count):
    if settings.predictions < 1:
        raise InputError(f"--predictions, wanted at least 1, got {settings.predictions}")
    if not 1 <= settings.shown <= count:
        raise InputError(f"--shown, wanted 1 to {count} (the examples), got {settings.shown}")


def _asked(predicted, labels, count):
    """The first held-out images of which the prediction is wrong, then the first of which it is right."""
    wrong, right = (np.flatnonzero((predicted == labels) == is_right)[:count] for is_right in (False, True))
    return np.concatenate([wrong, right])


def _extremes(influences: np.ndarray, count: int) -> dict[str, Any]:
    """The most helpful images, the best first, and the most harmful, the worst first, with their influences."""
    order = np.argsort(influences)
    helpful, harmful = order[::-1][:count], order[:count]
    return {
        "helpful": helpful.tolist(),
        "helpful_influences": influences[helpful].tolist(),
        "harmful": harmful.tolist(),
        "harmful_influences": influences[harmful].tolist(),
    }


def _table(lines, digits: data.Data) -> Iterator[str]:
    yield "held-out image  label  predicted  labels of the helpful  of the harmful"
    for line in lines:
        helpful, harmful = (" ".join(str(digits.y[i]) for i in line[which]) for which in ("helpful", "harmful"))
        yield f"{line['image']:14}  {line['label']:5}  {line['predicted']:9}  {helpful:>21}  {harmful:>14}"


def _picture(lines, digits: data.Data, folder: Path) -> Path:
    """A row for each prediction: the image, then the most helpful ones, then the most harmful ones."""
    shown, side = len(lines[0]["helpful"]), data.side(digits)
    figure = Figure(figsize=(1.1 * (2 * shown + 2), 1.4 * len(lines) + 0.3), layout="constrained")
    gap = 0.25
    widths = [1, gap, *[1] * shown, gap, *[1] * shown]
    rows = figure.subplots(len(lines), len(widths), squeeze=False, width_ratios=widths)
    for axes in rows.flat:
        axes.set_axis_off()
    for row, line in zip(rows, lines, strict=True):
        said = f"{line['label']}, seen as {line['predicted']}"
        _show(row[0], digits.x_held_out[line["image"]], side, said, "black")
        for which, start, color in (("helpful", 2, "C0"), ("harmful", shown + 3, "C3")):
            for axes, i, value in zip(row[start:], line[which], line[f"{which}_influences"], strict=False):
                _show(axes, digits.x[i], side, f"{digits.y[i]}: {value:+.3f}", color)
    figure.suptitle("held-out images, and for each the training images that helped and that harmed the most")
    return plots.save(figure, folder / "influence.png")


def _show(axes: Axes, pixels: jax.Array, side: int, title: str, color: str) -> None:
    axes.imshow(np.asarray(pixels).reshape(side, side), cmap="gray_r")
    axes.set_title(title, fontsize="small", color=color, pad=2)
