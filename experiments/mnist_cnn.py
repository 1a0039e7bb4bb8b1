"""A convolutional network on MNIST, or on Fashion-MNIST."""

import dataclasses
from pathlib import Path

from . import classifier, data

SUMMARY = "A convolutional network on 5,000 images of MNIST, or on all of MNIST or Fashion-MNIST: 0.98, two minutes."


@dataclasses.dataclass(frozen=True)
class Settings(classifier.Images):
    """The settings of mnist-cnn."""

    epochs: int = 15
    """Passes over the training examples."""
    channels: tuple[int, ...] = (16, 32)
    """Of the convolutions."""
    hidden: int = 128
    """The width of the linear layer behind them."""
    dropout: float = 0.3
    """The share of that layer's entries that are dropped in training."""
    data_dir: Path | None = None
    """A folder with the four IDX files of MNIST or Fashion-MNIST, gzipped or not, in place of the 5,000 images."""


def run(settings: Settings) -> None:
    """Trains it."""
    images = data.images(settings.data_dir)
    net = classifier.cnn(data.side(images), settings.channels, settings.hidden, settings.dropout, classes=10)
    classifier.train("mnist-cnn", settings, net, images, settings.shift)
