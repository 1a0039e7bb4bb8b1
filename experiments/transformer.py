"""Language models of transformer blocks between one table: their sizes, and the text that they read."""

import dataclasses
from typing import Literal, TypeVar

import jax
import numpy as np

from jbackprop import layers

from . import language
from .errors import InputError

Policy = Literal["all", "attention", "inputs"]
"""What a block keeps for its backward pass; the rest is computed again."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a model is, as settings, which may leave it to a preset, and as such a preset."""

    depth: int = 0
    """Blocks; 0 for the preset's."""
    width: int = 0
    """Of a character's vector; 0 for the preset's."""
    heads: int = 0
    """Of each attention; 0 for the preset's."""
    length: int = 0
    """How many characters the model reads at once; 0 for the preset's."""
    batch_size: int = 0
    """Texts a step; 0 for the preset's."""


SizeT = TypeVar("SizeT", bound=Size)


def filled(given: Size, preset: SizeT) -> SizeT:
    """The preset with what the settings give in place of its own; raises InputError where a number is negative."""
    numbers = {field.name: getattr(given, field.name) for field in dataclasses.fields(preset)}
    for name, number in numbers.items():
        if number < 0:
            wanted = "wanted a positive number, or 0 for the preset's"
            raise InputError(f"--{name.replace('_', '-')}, {wanted}, got {number}")
    return dataclasses.replace(preset, **{name: number for name, number in numbers.items() if number})


def model(size: Size, characters: int, dropout: float = 0.0, keep: Policy = "all") -> language.Model:
    """Blocks behind an embedding, whose table is the output layer's weight too.

    Args:
      size: no number of it is 0.
      characters: how many there are.
      dropout: the share of entries that are dropped in training at the end of each half of a block.
      keep: what a block keeps for its backward pass.

    Raises:
      InputError: the heads do not divide the width, or there is no such dropout.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"--dropout, wanted a probability below 1, got {dropout}")
    try:
        block = layers.transformer_block(size.width, size.heads, dropout=dropout, keep=keep)
        block.init(jax.random.key(0), (size.length, size.width))
    except ValueError as error:
        raise InputError(f"--width, --heads, {error}") from None
    table = layers.embedding(characters, size.width, table=layers.normal(0.02))
    body = layers.chain(table, layers.stack(block, size.depth), layers.rms_norm())
    return language.model(body, characters, tied=True)


def windows(ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A text cut into windows, each followed by its next characters.

    Raises:
      InputError: the text is no longer than a window.
    """
    if len(ids) <= length:
        raise InputError(f"--length, wanted at most {len(ids) - 1} (held out), got {length}")
    count = (len(ids) - 1) // length
    return ids[: count * length].reshape(count, length), ids[1 : count * length + 1].reshape(count, length)
