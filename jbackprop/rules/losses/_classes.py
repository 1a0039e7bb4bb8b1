"""What the losses over classes share: class numbers checked, and spread to one weight for each class."""

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.rules._arrays import check_numbers, whole


def check_class_numbers(loss: str, labels: jax.Array, classes: int, ignore_index: int | None = None) -> None:
    """Raises TypeError unless the labels are integers, ValueError if one that is known names no class."""
    if ignore_index is not None and not isinstance(labels, jax.core.Tracer):
        known = np.asarray(labels)
        labels = known[known != ignore_index]
    check_numbers(loss, "labels", labels, classes - 1, f"class numbers in [0, {classes})")


def one_hot(labels: jax.Array, classes: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """One weight for each class, last; NaN for a class number that names none."""
    labels = whole(labels)
    known = (labels >= 0) & (labels < classes)
    return jnp.where(known[..., None], jax.nn.one_hot(labels, classes, dtype=dtype), jnp.nan)
