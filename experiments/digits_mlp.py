"""A small network on small images: seconds."""

import dataclasses

from . import classifier, data

SUMMARY = "A multilayer perceptron on the 1,797 handwritten digits of scikit-learn, 8 by 8 pixels: seconds."


@dataclasses.dataclass(frozen=True)
class Settings(classifier.Settings):
    """The settings of digits-mlp."""

    epochs: int = 40
    """Passes over the training examples."""
    hidden: tuple[int, ...] = (64, 32)
    """The widths of the hidden layers."""
    activation: classifier.Activation = "gelu"
    """What follows each of them.  Two copies part sooner at the kink of relu, where rounding picks the side."""


def run(settings: Settings) -> None:
    """Trains it."""
    classifier.train(
        "digits-mlp", settings, classifier.mlp(settings.hidden, settings.activation, classes=10), data.digits()
    )
