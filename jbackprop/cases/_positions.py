"""Cases of the positions: a table longer than the sequence, and turns written as complex numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import rules

from ._case import Case, classes, normal


def _learned(x, table):
    return x + jnp.take(table, jnp.arange(x.shape[-2]), axis=0)


def _sinusoidal(x, base=10000.0):
    """Written out with NumPy, place by place."""
    time, features = x.shape[-2:]
    rates = [base ** (-(c - c % 2) / features) for c in range(features)]
    waves = [[(np.cos if c % 2 else np.sin)(t * rates[c]) for c in range(features)] for t in range(time)]
    return x + jnp.array(waves, x.dtype)


def _rotary(x, positions, base=10000.0):
    """By complex numbers: pair k turns as z e^{itω}."""
    half = x.shape[-1] // 2
    rates = base ** (-jnp.arange(half) / half)
    z = jax.lax.complex(x[..., :half], x[..., half:]) * jnp.exp(1j * positions[..., None, None] * rates)
    return jnp.concatenate([z.real, z.imag], axis=-1)


POSITIONS = (
    Case(
        "learned_positions",
        rules.learned_positions,
        _learned,
        (normal(3, 5, 4), normal(7, 4)),
        ("float32[7,0]",),
        (normal(8, 512, 512), normal(1024, 512)),
    ),
    Case(
        "learned_positions, no batch axis",
        rules.learned_positions,
        _learned,
        (normal(5, 4), normal(7, 4)),
        ("float32[7,0]",),
        (normal(512, 512), normal(1024, 512)),
        variant_of="learned_positions",
    ),
    Case(
        "sinusoidal_positions",
        rules.sinusoidal_positions,
        _sinusoidal,
        (normal(3, 5, 4),),
        (),
        (normal(8, 512, 512),),
    ),
    Case(
        "sinusoidal_positions, base, two batch axes",
        partial(rules.sinusoidal_positions, base=20.0),
        partial(_sinusoidal, base=20.0),
        (normal(2, 3, 5, 4),),
        (),
        (normal(2, 4, 512, 512),),
        variant_of="sinusoidal_positions",
    ),
    Case(
        "rotary_embedding",
        rules.rotary_embedding,
        _rotary,
        (normal(3, 5, 2, 4), classes(9, 5)),
        ("int32[5]",),
        (normal(4, 1024, 8, 64), classes(1024, 1024)),
    ),
    Case(
        "rotary_embedding, no batch axis",
        rules.rotary_embedding,
        _rotary,
        (normal(5, 2, 4), classes(9, 5)),
        ("int32[5]",),
        (normal(4096, 8, 64), classes(4096, 4096)),
        variant_of="rotary_embedding",
    ),
    Case(
        "rotary_embedding, base, positions of each example, two batch axes",
        partial(rules.rotary_embedding, base=50.0),
        partial(_rotary, base=50.0),
        (normal(2, 3, 5, 1, 6), classes(9, 2, 3, 5)),
        ("int32[2,3,5]",),
        (normal(2, 2, 1024, 8, 64), classes(1024, 2, 2, 1024)),
    ),
)
