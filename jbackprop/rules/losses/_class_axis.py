"""Logits whose classes are along any axis, as rows of classes, and back."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jbackprop.rules._arrays import Axis
from jbackprop.rules._meshes import merged


class Rows(NamedTuple):
    """What the axis says, done: the classes last, in one axis.

    Attributes:
      logits: (*batch, classes).
      counted: the same with −∞ where an entry does not count.
      labels: (*batch) or (*batch, classes).
      examples: which of them count, (*batch), None for all.
      entries: which of them count, (*batch, classes), None for all.
    """

    logits: Array
    counted: Array
    labels: Array
    examples: Array | None
    entries: Array | None


def rows_of(logits: Array, labels: Array, where: Array | None, axis: Axis) -> Rows:
    """The rows of logits and labels whose classes are along an axis; `where` is of examples or of entries."""
    logits_last, labels_last = _classes_last(logits, axis), labels
    if labels.ndim == logits.ndim:
        labels_last = _classes_last(labels, axis)
    if where is None or jnp.ndim(where) < logits.ndim:
        return Rows(logits_last, logits_last, labels_last, where, None)
    entries = _classes_last(jnp.broadcast_to(where, logits.shape), axis)
    return Rows(logits_last, jnp.where(entries, logits_last, -jnp.inf), labels_last, entries.any(axis=-1), entries)


def _classes_last(array, axis):
    axes = axes_of(axis, array.ndim)
    if axes == (array.ndim - 1,):
        return array
    return merged(jnp.moveaxis(array, axes, range(-len(axes), 0)), len(axes))


def put_back(rows: Array, array: Array, axis: Axis) -> Array:
    """(*batch, classes) with the classes where they are in the array."""
    axes = axes_of(axis, array.ndim)
    if axes == (array.ndim - 1,):
        return rows
    sizes = (array.shape[i] for i in axes)
    return jnp.moveaxis(rows.reshape(*rows.shape[:-1], *sizes), range(-len(axes), 0), axes)


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The numbers of the axes, each from the front."""
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(number % ndim for number in axes)
