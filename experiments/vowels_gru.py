"""Who speaks?  A recurrent network in both directions over recordings of their own lengths."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp

from jbackprop import layers, rules

from . import classifier, fetch, fit, sequences, settings
from .errors import InputError
from .problem import Problem

SUMMARY = "A bidirectional GRU on JapaneseVowels, recordings of 7 to 29 steps; after `make data`: 0.97, a minute."


@dataclasses.dataclass(frozen=True)
class Settings(settings.ByAdam, classifier.Settings):
    """The settings of vowels-gru."""

    epochs: int = 60
    """Passes over the training examples."""
    batch_size: int | None = 30
    """Examples a step: 1 is stochastic descent, None full-batch descent."""
    learning_rate: float = 2e-3
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    hidden: int = 96
    """The size of the state of either direction."""
    dropout: float = 0.5
    """The share of the last states' entries that are dropped in training."""
    data_dir: Path = fetch.FOLDER
    """A folder with vowels-train.ts and vowels-test.ts."""


def run(settings: Settings) -> None:
    """Trains it."""
    if settings.hidden < 1 or not 0 <= settings.dropout < 1:
        wanted = "wanted a positive number and a probability below 1"
        raise InputError(f"--hidden, --dropout, {wanted}, got {settings.hidden}, {settings.dropout}")
    train, test = (sequences.recordings(settings.data_dir / f"vowels-{part}.ts") for part in ("train", "test"))
    states = layers.bidirectional(layers.gru(settings.hidden, output="last", lengths=True))
    net = layers.chain(states, layers.dropout(settings.dropout), layers.linear(9))
    x, lengths, y = map(jnp.asarray, train)

    def draw(key: jax.Array):
        return (x, lengths), y

    held_out = (test.x, test.lengths), test.y
    shape = x.shape[1:], ()
    problem = Problem(net, rules.softmax_cross_entropy, shape, draw, len(y), held_out, classifier.scores)
    fit.train("vowels-gru", settings, problem, explain=settings.explain)
