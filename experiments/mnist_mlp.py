"""The same kind of network on MNIST, or on Fashion-MNIST."""

import dataclasses
from pathlib import Path

from . import classifier, data

SUMMARY = "A multilayer perceptron on 5,000 images of MNIST, or on all of MNIST or Fashion-MNIST: under a minute."


@dataclasses.dataclass(frozen=True)
class Settings(classifier.Settings):
    """The settings of mnist-mlp."""

    hidden: tuple[int, ...] = (128, 64)
    """The widths of the hidden layers."""
    activation: classifier.Activation = "gelu"
    """What follows each of them.  Two copies part sooner at the kink of relu, where rounding picks the side."""
    data_dir: Path | None = None
    """A folder with the four IDX files of MNIST or Fashion-MNIST, gzipped or not, in place of the 5,000 images."""


def run(settings: Settings) -> None:
    """Trains it."""
    images = data.images(settings.data_dir)
    classifier.train("mnist-mlp", settings, classifier.mlp(settings.hidden, settings.activation, classes=10), images)
