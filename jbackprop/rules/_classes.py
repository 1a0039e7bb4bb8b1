"""What the losses over classes share: class numbers checked, and spread to one weight for each class."""

import jax
import jax.numpy as jnp
import numpy as np


def check_class_numbers(loss: str, labels: jax.Array, classes: int, ignore_index: int | None = None) -> None:
    """Raises TypeError unless the labels are integers, ValueError if one that is known names no class."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{loss}: labels, wanted integers, got {labels.dtype}")
    if isinstance(labels, jax.core.Tracer):
        return
    numbers = np.asarray(
        labels
    )  # known, so NumPy's: jax.numpy would be traced where a jitted function closes over them
    named = numbers if ignore_index is None else numbers[numbers != ignore_index]
    if named.size and (named.min() < 0 or named.max() >= classes):
        raise ValueError(f"{loss}: labels, wanted class numbers in [0, {classes}), got {named.min()} to {named.max()}")


def one_hot(labels: jax.Array, classes: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """One weight for each class, last; NaN for a class number that names none."""
    known = (labels >= 0) & (labels < classes)
    return jnp.where(known[..., None], jax.nn.one_hot(labels, classes, dtype=dtype), jnp.nan)
