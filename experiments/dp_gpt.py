"""A private language model of Shakespeare: how well it tells the next character, for how little of any one passage.

An example is a passage of as many characters as the model reads at once: ε is of what one of them may change.  The
table at both ends is one parameter, and the gradient of a passage the sum of both its uses.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax

from . import fetch, language, private, sequences, transformer
from .problem import Problem

SUMMARY = "A private transformer on Shakespeare; after `make data`: 3.9 bits at ε 9, a minute; --preset base: hours."


@dataclasses.dataclass(frozen=True)
class Size(transformer.Size):
    """How large the model is, and how long it is trained."""

    steps: int = 0
    """In all; 0 for the preset's."""


PRESETS = {
    "tiny": Size(depth=1, width=32, heads=2, length=32, batch_size=512, steps=100),
    "base": Size(depth=2, width=64, heads=4, length=64, batch_size=1024, steps=600),
}


@dataclasses.dataclass(frozen=True)
class Settings(Size, private.Settings):
    """The settings of dp-gpt."""

    preset: Literal["tiny", "base"] = "tiny"
    """How large the model is, and how long it is trained; each of its numbers may be another."""
    noise: tuple[float, ...] = (0.4, 0.6, 1.0)
    """σ, of which each trains a model of its own; beside them one is trained without noise."""
    delta: float = 1e-6
    """δ of (ε, δ), to be well below one over the passages."""
    learning_rate: float = 1e-2
    """η of Adam."""
    text: Path = fetch.FOLDER / "shakespeare.txt"
    """A file of text in UTF-8."""


def run(settings: Settings) -> None:
    """Trains a model for each noise; errors as of `private.run`."""
    size = transformer.filled(settings, PRESETS[settings.preset])
    text = sequences.text(settings.text)
    settings = dataclasses.replace(settings, batch_size=size.batch_size)
    private.run("dp-gpt", settings, *task(settings, size, text))
    rows, held_out = (np.stack(transformer.windows(part, size.length), axis=1) for part in (text.train, text.held_out))
    single, pairs = (language.n_gram_bits(rows, held_out, len(text.alphabet), order) for order in (1, 2))
    print(f"by counts of single characters {single:.3f} bits, of pairs {pairs:.3f}, without any privacy")


def task(settings: Settings, size: Size, text: sequences.Text) -> tuple[Problem, optax.GradientTransformation, int]:
    """What there is to learn, by what, and in how many steps; raises InputError where a size is out of its range."""
    model = transformer.model(size, len(text.alphabet))
    held_out, (ids, following) = (transformer.windows(part, size.length) for part in (text.held_out, text.train))
    passages = jnp.asarray(ids), jnp.asarray(following)
    problem = language.problem(model, size.length, lambda key: passages, len(ids), held_out)
    return problem, optax.adam(settings.learning_rate, b2=0.99), size.steps
