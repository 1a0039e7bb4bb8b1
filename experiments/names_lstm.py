"""A recurrent network that writes surnames."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import layers

from . import fetch, fit, language, sequences, settings
from .errors import InputError

SUMMARY = "An LSTM, GRU or RNN on 88,799 surnames, which it then makes up; after `make data`: five minutes."

CELLS = {"lstm": layers.lstm, "gru": layers.gru, "rnn": layers.rnn}


@dataclasses.dataclass(frozen=True)
class Settings(settings.ByAdam):
    """The settings of names-lstm."""

    epochs: int = 6
    """Passes over the training examples."""
    batch_size: int | None = 200
    """Examples a step: 1 is stochastic descent, None full-batch descent."""
    learning_rate: float = 4e-3
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    clip_norm: float | None = 1.0
    """The largest norm that a whole gradient may have; a longer one is scaled down."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrence."""
    hidden: int = 128
    """The size of its state."""
    samples: int = 20
    """How many surnames to make up at the end."""
    names: Path = fetch.FOLDER / "surnames.txt"
    """A file of names, one at the beginning of each line."""


def run(settings: Settings) -> None:
    """Trains it."""
    if settings.hidden < 1 or settings.samples < 1:
        raise InputError(f"--hidden, --samples, wanted positive numbers, got {settings.hidden}, {settings.samples}")
    names = sequences.names(settings.names)
    train, held_out = names.split()
    bits = language.n_gram_bits(train, held_out, len(names.alphabet))
    print(f"names-lstm: a trigram model takes {bits:.3f} bits a character of those held out")
    body = layers.chain(layers.embedding(len(names.alphabet), 32), CELLS[settings.cell](settings.hidden))
    model = language.model(body, len(names.alphabet), tied=False)
    examples = jnp.asarray(train)

    def sample(params, key):
        starts = jnp.zeros((settings.samples, 1), jnp.int32)
        texts = language.written(model, params, key, starts, names.length - 1)
        return "\n".join(names.text(row) for row in np.asarray(texts)[:, 1:])

    def draw(key: jax.Array):
        return examples[:, 0], examples[:, 1]

    held_out_pair = held_out[:, 0], held_out[:, 1]
    problem = language.problem(model, names.length, draw, len(train), held_out_pair, sample)
    fit.train("names-lstm", settings, problem)
