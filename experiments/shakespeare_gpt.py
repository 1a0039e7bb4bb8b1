"""A transformer that writes Shakespeare, character by character."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from . import fetch, fit, language, sequences, settings, transformer

SUMMARY = "A transformer on 5 million characters of Shakespeare; after `make data`: 2.1 bits each, an hour."


@dataclasses.dataclass(frozen=True)
class Size(transformer.Size):
    """How large the model is, and how long it is trained."""

    epochs: int = 0
    """How often 'steps' of batches are drawn; 0 for the preset's."""
    steps: int = 0
    """Steps in an epoch; 0 for the preset's."""


PRESETS = {
    "tiny": Size(depth=2, width=64, heads=4, length=64, batch_size=32, steps=50, epochs=10),
    "base": Size(depth=4, width=192, heads=6, length=128, batch_size=32, steps=100, epochs=30),
    "gpt2-small": Size(depth=12, width=768, heads=12, length=1024, batch_size=16, steps=100, epochs=100),
}


@dataclasses.dataclass(frozen=True)
class Settings(Size, settings.ByAdam):
    """The settings of shakespeare-gpt."""

    preset: Literal["tiny", "base", "gpt2-small"] = "base"
    """How large the model is, and how long it is trained; each of its numbers may be another."""
    backward: settings.Backward = "manual"
    """Whose gradients to train with; both trains two copies from one seed and compares them."""
    policy: transformer.Policy = "all"
    """What a block keeps for its backward pass; the rest is computed again."""
    dropout: float = 0.0
    """The share of entries that are dropped in training at the end of each half of a block."""
    learning_rate: float = 3e-3
    """η in W ← W − η ∂C/∂W; the largest where a schedule changes it."""
    warmup: int = 100
    """Steps over which η grows from 0."""
    weight_decay: float = 0.1
    """λ: sgd adds λ p to the gradient of each parameter p; adam, decoupled, η λ p to the step."""
    clip_norm: float | None = 1.0
    """The largest norm that a whole gradient may have; a longer one is scaled down."""
    temperature: float = 0.8
    """Of the sample at the end: below 1 the likely characters are likelier."""
    text: Path = fetch.FOLDER / "shakespeare.txt"
    """A file of text in UTF-8."""


def run(settings: Settings) -> None:
    """Trains it."""
    size = transformer.filled(settings, PRESETS[settings.preset])
    settings = dataclasses.replace(settings, epochs=size.epochs, batch_size=size.batch_size)
    text = sequences.text(settings.text)
    model = transformer.model(size, len(text.alphabet), settings.dropout, settings.policy)
    held_out = transformer.windows(text.held_out, size.length)
    train = jnp.asarray(text.train)
    examples = size.steps * size.batch_size

    @jax.jit
    def draw(key):
        starts = jax.random.randint(key, (examples, 1), 0, len(train) - size.length)
        windows = train[starts + jnp.arange(size.length + 1)]
        return windows[:, :-1], windows[:, 1:]

    def sample(params, key):
        start = jnp.zeros((1, 1), jnp.int32) + text.alphabet.find("\n")
        written = language.written(model, params, key, start, size.length - 1, settings.temperature)
        return "".join(text.alphabet[i] for i in np.asarray(written)[0, 1:])

    fit.train("shakespeare-gpt", settings, language.problem(model, size.length, draw, examples, held_out, sample))
