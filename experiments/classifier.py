"""A classifier of images, and the networks that are tried on them."""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from jbackprop import layers, rules

from . import fit, settings
from .data import Data
from .errors import InputError
from .problem import Problem

ACTIVATIONS = {"relu": layers.relu, "tanh": layers.tanh, "sigmoid": layers.sigmoid, "gelu": layers.gelu}

Activation = Literal["relu", "tanh", "sigmoid", "gelu"]


@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
    """What every classifier can be told."""

    explain: bool = False
    """Write the backprop table of one mini-batch, after the training, as explain.html and explain.txt."""


@dataclasses.dataclass(frozen=True)
class Images(settings.ByAdam, Settings):
    """What every classifier by convolutions can be told."""

    learning_rate: float = 2e-3
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    shift: int = 2
    """The most pixels by which an image is moved at random, up or down and left or right, anew in every epoch."""


def train(experiment: str, settings: Settings, net: layers.Layer, data: Data, shift: int = 0) -> None:
    """Trains, and writes the run's folder; errors as of `fit.train`."""
    fit.train(experiment, settings, problem(net, data, shift), explain=settings.explain)


def problem(net: layers.Layer, data: Data, shift: int = 0) -> Problem:
    """Images to classify, moved at random by up to so many pixels."""
    if shift < 0:
        raise InputError(f"--shift, wanted at least 0, got {shift}")

    def draw(key):
        return (_moved(key, data.x, shift) if shift else data.x), data.y

    held_out = data.x_held_out, data.y_held_out
    return Problem(net, rules.softmax_cross_entropy, data.x.shape[1:], draw, len(data.x), held_out, scores)


def scores(logits: jax.Array, y: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
    """Cost and accuracy, every example counted once."""
    right = (logits.argmax(axis=-1) == y).astype(jnp.float32)
    return {"cost": rules.softmax_cross_entropy(logits, y), "accuracy": right}, jnp.ones(len(y))


def mlp(hidden: tuple[int, ...], activation: str, classes: int) -> layers.Chain:
    """Linear layers with an activation of `ACTIVATIONS` between them, one logit for each class at the end.

    Raises:
      InputError: a width is not positive.
    """
    if any(width < 1 for width in hidden):
        raise InputError(f"--hidden, wanted positive widths, got {hidden}")
    parts = [part for width in hidden for part in (layers.linear(width), ACTIVATIONS[activation]())]
    return layers.chain(*parts, layers.linear(classes))


def cnn(side: int, channels: tuple[int, ...], hidden: int, dropout: float, classes: int) -> layers.Chain:
    """Convolutions of 3 × 3 with a pooling behind each, and two linear layers.

    Raises:
      InputError: a number is not positive, there are more poolings than the side has halves, or no such dropout.
    """
    if not channels or min(*channels, hidden) < 1 or side >> len(channels) < 1:
        raise InputError(f"--channels, wanted 1 to {int(math.log2(side))} positive numbers, got {channels}")
    if not 0 <= dropout < 1:
        raise InputError(f"--dropout, wanted a probability below 1, got {dropout}")
    blocks = [part for n in channels for part in (layers.conv(n, (3, 3)), layers.gelu(), layers.max_pool((2, 2)))]
    head = layers.linear(hidden), layers.gelu(), layers.dropout(dropout), layers.linear(classes)
    return layers.chain(layers.reshape(side, side, 1), *blocks, layers.flatten(), *head)


def resnet(side: int, channels: tuple[int, ...], depth: int, classes: int) -> layers.Layer:
    """Stages of residual blocks, each half as large as the one before, batch norm before every convolution.

    K. He, X. Zhang, S. Ren, J. Sun, "Identity mappings in deep residual networks", ECCV, 2016.

    Raises:
      InputError: a number is not positive, or there are more stages than the side has halves.
    """
    if not channels or min(*channels, depth) < 1 or side >> (len(channels) - 1) < 1:
        raise InputError(f"--channels, wanted 1 to {int(math.log2(side)) + 1} positive numbers, got {channels}")
    first, *others = channels
    stages = [_stage(first, depth)]
    stages += [layers.chain(layers.conv(n, (3, 3), strides=(2, 2)), _stage(n, depth)) for n in others]
    start = layers.reshape(side, side, 1), layers.conv(first, (3, 3))
    return layers.chain(*start, *stages, *_normalised(), layers.global_avg_pool(), layers.linear(classes))


def _stage(channels, depth):
    """Blocks y = x + conv(relu(norm(conv(relu(norm(x))))))."""
    half = *_normalised(), layers.conv(channels, (3, 3), bias=False)
    return layers.stack(layers.residual(*half, *half), depth)


def _normalised():
    return layers.batch_norm(), layers.relu()


@jax.jit(static_argnames="most")
def _moved(key, x, most):
    """Each image moved by up to so many pixels; what comes in is black."""
    side = math.isqrt(x.shape[1])
    wide = jnp.pad(x.reshape(-1, side, side), [(0, 0), (most, most), (most, most)])
    corners = jax.random.randint(key, (len(x), 2), 0, 2 * most + 1)
    cut = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, corner, (side, side)))
    return cut(wide, corners).reshape(x.shape)
