"""Arguments written as text: numbers, and random arrays such as f32[8,16]."""

import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

DTYPES = {
    "f16": jnp.float16,
    "bf16": jnp.bfloat16,
    "f32": jnp.float32,
    "i8": jnp.int8,
    "i16": jnp.int16,
    "i32": jnp.int32,
    "u8": jnp.uint8,
    "bool": jnp.bool_,
}
SPEC = re.compile(r"(\w+)\[((?:\d+(?:,\d+)*)?)\]")


def parse_arguments(texts: Sequence[str], seed: int = 0) -> tuple[int | float | jax.Array, ...]:
    """Numbers as they are; of a dtype and shape an array of random values.

    Args:
      texts: each an int, a float, or a spec such as f32[3], bf16[2,4], i32[5], bool[].
      seed: floats are drawn from the normal distribution, ints from 0 … 9, bools at even odds.

    Raises:
      ValueError: a text is none of these.

    Example:
      >>> parse_arguments(["5.0", "3", "f32[2,3]"])[2].shape
      (2, 3)
    """
    rng = np.random.default_rng(seed)
    return tuple(_parse(text, rng) for text in texts)


def _parse(text: str, rng: np.random.Generator) -> int | float | jax.Array:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    spec = SPEC.fullmatch(text.replace(" ", ""))
    if spec is None or spec[1] not in DTYPES:
        raise ValueError(
            f"arguments: wanted numbers or specs such as f32[8,16] (dtypes {', '.join(DTYPES)}), got {text!r}"
        )
    shape = tuple(int(size) for size in spec[2].split(",") if size)
    return _random(DTYPES[spec[1]], shape, rng)


def _random(dtype, shape: tuple[int, ...], rng: np.random.Generator) -> jax.Array:
    if dtype == jnp.bool_:
        return jnp.asarray(rng.integers(0, 2, shape), dtype)
    if jnp.issubdtype(dtype, jnp.integer):
        return jnp.asarray(rng.integers(0, 10, shape), dtype)
    return jnp.asarray(rng.normal(size=shape), dtype)
