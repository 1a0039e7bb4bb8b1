"""A transformer that writes Shakespeare, character by character."""

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import layers

from . import fetch, fit, language, sequences, settings
from .errors import InputError

SUMMARY = "A transformer on 5 million characters of Shakespeare; after `make data`: 2.1 bits each, an hour."


class Size(NamedTuple):
    """How large the model is.

    Attributes:
      depth: blocks.
      width: of a character's vector.
      heads: of each attention.
      length: how many characters it reads at once.
      batch: texts a step.
      steps: in an epoch.
      epochs: how many of these.
    """

    depth: int
    width: int
    heads: int
    length: int
    batch: int
    steps: int
    epochs: int


PRESETS = {
    "tiny": Size(depth=2, width=64, heads=4, length=64, batch=32, steps=50, epochs=10),
    "base": Size(depth=4, width=192, heads=6, length=128, batch=32, steps=100, epochs=30),
    "gpt2-small": Size(depth=12, width=768, heads=12, length=1024, batch=16, steps=100, epochs=100),
}


@dataclasses.dataclass(frozen=True)
class Settings(settings.ByAdam):
    """The settings of shakespeare-gpt."""

    preset: Literal["tiny", "base", "gpt2-small"] = "base"
    """How large the model is, and how long it is trained; each of the numbers below may be another."""
    backward: settings.Backward = "manual"
    """Whose gradients to train with; both trains two copies from one seed and compares them."""
    epochs: int = 0
    """How often 'steps' of batches are drawn; 0 for the preset's."""
    batch_size: int | None = 0
    """Texts a step; 0 for the preset's."""
    depth: int = 0
    """Blocks; 0 for the preset's."""
    width: int = 0
    """Of a character's vector; 0 for the preset's."""
    heads: int = 0
    """Of each attention; 0 for the preset's."""
    length: int = 0
    """How many characters the model reads at once; 0 for the preset's."""
    steps: int = 0
    """Steps in an epoch; 0 for the preset's."""
    policy: Literal["all", "attention", "inputs"] = "all"
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
    size = _size(settings)
    settings = dataclasses.replace(settings, epochs=size.epochs, batch_size=size.batch)
    block, text = _block(settings, size), sequences.text(settings.text)
    if len(text.held_out) <= size.length:
        raise InputError(f"--length, wanted at most {len(text.held_out) - 1} (held out), got {size.length}")
    body = layers.chain(
        layers.embedding(len(text.alphabet), size.width, table=layers.normal(0.02)),
        layers.stack(block, size.depth),
        layers.rms_norm(),
    )
    model = language.model(body, len(text.alphabet), tied=True)
    train = jnp.asarray(text.train)

    @jax.jit
    def draw(key):
        starts = jax.random.randint(key, (size.steps * size.batch, 1), 0, len(train) - size.length)
        windows = train[starts + jnp.arange(size.length + 1)]
        return windows[:, :-1], windows[:, 1:]

    def sample(params, key):
        start = jnp.zeros((1, 1), jnp.int32) + text.alphabet.find("\n")
        written = language.written(model, params, key, start, size.length - 1, settings.temperature)
        return "".join(text.alphabet[i] for i in np.asarray(written)[0, 1:])

    held_out = _windows(text.held_out, size.length)
    problem = language.problem(model, size.length, draw, size.steps * size.batch, held_out, sample)
    fit.train("shakespeare-gpt", settings, problem)


def _size(settings):
    preset = PRESETS[settings.preset]
    given = {name: getattr(settings, "batch_size" if name == "batch" else name) for name in preset._fields}
    for name, number in given.items():
        if number is None or number < 0:
            raise InputError(f"--{name}, wanted a positive number, or 0 for the preset's, got {number}")
    return preset._replace(**{name: number for name, number in given.items() if number})


def _block(settings, size):
    if not 0 <= settings.dropout < 1:
        raise InputError(f"--dropout, wanted a probability below 1, got {settings.dropout}")
    try:
        block = layers.transformer_block(size.width, size.heads, dropout=settings.dropout, keep=settings.policy)
        block.init(jax.random.key(0), (size.length, size.width))
    except ValueError as error:
        raise InputError(f"--width, --heads, {error}") from None
    return block


def _windows(ids, length):
    """The held-out text cut into windows, each followed by its next characters."""
    count = (len(ids) - 1) // length
    return ids[: count * length].reshape(count, length), ids[1 : count * length + 1].reshape(count, length)
