"""A residual network with batch norm on MNIST, or on Fashion-MNIST."""

import dataclasses
from pathlib import Path

from . import classifier, data

SUMMARY = "A residual network with batch norm on the same images: 0.98, some minutes."


@dataclasses.dataclass(frozen=True)
class Settings(classifier.Images):
    """The settings of resnet."""

    epochs: int = 12
    """Passes over the training examples."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Of the stages, each half as large as the one before."""
    depth: int = 1
    """Residual blocks a stage."""
    data_dir: Path | None = None
    """A folder with the four IDX files of MNIST or Fashion-MNIST, gzipped or not, in place of the 5,000 images."""


def run(settings: Settings) -> None:
    """Trains it."""
    images = data.images(settings.data_dir)
    net = classifier.resnet(data.side(images), settings.channels, settings.depth, classes=10)
    classifier.train("resnet", settings, net, images, settings.shift)
