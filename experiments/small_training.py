"""What the experiments on error signals share: a small multilayer perceptron, trained on MNIST by plain descent."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import optax

from jbackprop import layers, rules, training

from . import classifier, data
from .errors import InputError

COST = rules.softmax_cross_entropy


@dataclasses.dataclass(frozen=True)
class Settings:
    """What each of them can be told."""

    hidden: tuple[int, ...] = (128,)
    """The widths of the hidden layers, each followed by tanh."""
    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 50
    """Images a step."""
    learning_rate: float = 0.1
    """η in W ← W − η × the update."""
    examples: int | None = None
    """How many of the 4,000 training images; None for all."""
    seed: int = 0
    """Draws whatever is random."""
    out: Path = Path("runs")
    """The folder in which the run makes its own."""

    def digits(self) -> data.Data:
        """The images; raises InputError where a setting is out of its range."""
        digits = data.mnist_5k()
        count = len(digits.x) if self.examples is None else self.examples
        if not 1 <= count <= len(digits.x):
            raise InputError(f"--examples, wanted 1 to {len(digits.x)} or None, got {count}")
        check_steps(self.batch_size, count, self.learning_rate)
        if self.epochs < 1:
            raise InputError(f"--epochs, wanted at least 1, got {self.epochs}")
        return digits._replace(x=digits.x[:count], y=digits.y[:count])

    def net(self) -> layers.Chain:
        """The network; raises InputError where a width is not positive."""
        return classifier.mlp(self.hidden, "tanh", classes=10)


def check_steps(batch_size: int, examples: int, learning_rate: float) -> None:
    """Raises InputError for a batch that so many examples do not fill, or a rate that is not positive."""
    if not 1 <= batch_size <= examples:
        raise InputError(f"--batch-size, wanted 1 to {examples} (the examples), got {batch_size}")
    if not learning_rate > 0:
        raise InputError(f"--learning-rate, wanted a positive number, got {learning_rate}")


def epochs(
    way: layers.Backpropagate, optimizer: optax.GradientTransformation, settings: Settings, digits: data.Data
) -> Iterator[layers.Params]:
    """The parameters before the first epoch and after each; the next one takes their buffers.

    Raises:
      NonFiniteError: the training diverged.
    """
    init_key, order_key = jax.random.split(jax.random.key(settings.seed))
    params, _ = way.net.init(init_key, digits.x.shape[1:])
    epoch = training.epoch(way, optimizer, settings.batch_size)
    state = training.init(params, optimizer)
    yield params
    for i in range(settings.epochs):
        state, metrics = epoch(state, jax.random.fold_in(order_key, i), digits.x, digits.y)
        training.check_finite(metrics)
        yield state.params


def accuracy(net: layers.Layer, params: layers.Params, digits: data.Data) -> float:
    """The share of held-out images that a network gets right."""
    return float((net.forward(params, digits.x_held_out)[0].argmax(-1) == digits.y_held_out).mean())
