"""The windows of pooling and convolution, one axis at a time.

Output p of an axis reads its window's entries, k = 0 … window − 1, out of the input with its padding:

    padded[p · stride + k · dilation]        padded[i + low] = x[i]

The other way round, the padded input falls into runs of `stride` entries, run q beginning with window q.  Without
dilation, entry r of run q is entry k = r + j · stride of window q − j, for every shift j ≥ 0 that keeps k < window.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Padding = str | Sequence[tuple[int, int]]


class Windows(NamedTuple):
    """The windows along one axis of the input.

    Attributes:
      axis: its number, counted from the end.
      size: how many entries the input has along it.
      window: how many entries a window has.
      stride: from one window to the next.
      dilation: from one entry of a window to the next.
      low: how much padding comes before the input.
      high: how much comes after it.
    """

    axis: int
    size: int
    window: int
    stride: int
    dilation: int
    low: int
    high: int

    @property
    def reach(self) -> int:
        """From a window's first entry to its last, both counted."""
        return (self.window - 1) * self.dilation + 1

    @property
    def positions(self) -> int:
        """How many windows there are."""
        return (self.size + self.low + self.high - self.reach) // self.stride + 1

    @property
    def shifts(self) -> int:
        """How many windows an entry is in, at most."""
        return -(-self.window // self.stride)

    @property
    def inside(self) -> np.ndarray:
        """(positions, window): whether an entry of a window is the input's, not padding."""
        entries = np.arange(self.positions)[:, None] * self.stride + np.arange(self.window) * self.dilation - self.low
        return (entries >= 0) & (entries < self.size)


def windows_over(
    rule: str,
    shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int] | None,
    dilation: Sequence[int] | None,
    padding: Padding,
    names: tuple[str, str, str] = ("window_shape", "strides", "dilation"),
) -> tuple[Windows, ...]:
    """The windows along each spatial axis of an input of this shape, channels last.

    Args:
      rule: the rule that asks, for the messages.
      shape: that of the input x.
      window: how many entries along each spatial axis.
      strides: one for each, or None for 1.
      dilation: one for each, or None for 1.
      padding: "SAME", "SAME_LOWER", "VALID" or a pair (low, high) for each.
      names: what the rule calls window, strides and dilation.

    Raises:
      ValueError: these do not belong together, or a window is larger than the padded input.
    """
    for name, given in zip(names, (window, strides, dilation), strict=True):
        check_each_axis(rule, name, given)
    axes = len(window)
    strides, dilation = ((1,) * axes if given is None else given for given in (strides, dilation))
    for name, given in zip(names, (window, strides, dilation), strict=True):
        if axes < 1 or len(given) != axes or min(given) < 1:
            raise ValueError(f"{rule}: {name}, wanted {max(axes, 1)} positive numbers (spatial axes), got {given}")
    if len(shape) <= axes:
        raise ValueError(f"{rule}: x, wanted {axes} spatial axes and the channels last, got shape {tuple(shape)}")
    space = tuple(shape[-axes - 1 : -1])
    reach = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    pads = _padding(rule, space, reach, strides, padding)
    numbers = range(-axes - 1, -1)
    along = [Windows(*n, *p) for *n, p in zip(numbers, space, window, strides, dilation, pads, strict=True)]
    for each in along:
        if each.reach > each.size + each.low + each.high:
            raise ValueError(
                f"{rule}: {names[0]}, wanted windows no larger than x with its padding, got windows of "
                f"{tuple(reach)} (dilated) over {space} with padding {tuple(pads)}"
            )
    return tuple(along)


def check_each_axis(rule: str, name: str, given: Sequence[int] | None) -> None:
    """Raises ValueError where numbers are not in a sequence; None is what was not given."""
    if given is not None and not _in_sequence(given):
        raise ValueError(f"{rule}: {name}, wanted a number for each spatial axis, such as (2, 2), got {given!r}")


def _in_sequence(given):
    return isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)


def _padding(rule, space, reach, strides, padding):
    if isinstance(padding, str) and padding.upper() in ("SAME", "SAME_LOWER", "VALID"):
        return lax.padtype_to_pads(space, reach, strides, padding)
    if not _in_sequence(padding) or not all(map(_in_sequence, padding)):
        raise ValueError(f"{rule}: padding, wanted SAME, SAME_LOWER, VALID or pairs (low, high), got {padding!r}")
    pairs = [tuple(pair) for pair in padding]
    if len(pairs) != len(space) or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(f"{rule}: padding, wanted {len(space)} pairs (low, high) of numbers ≥ 0, got {padding}")
    return pairs


def padded(x: jax.Array, along: Windows, value: float) -> jax.Array:
    """x with its padding along one axis."""
    return padded_along(x, along.axis, along.low, along.high, value)


def padded_along(x: jax.Array, axis: int, low: int, high: int, value: float = 0.0, between: int = 0) -> jax.Array:
    """More at both ends of an axis, or, where negative, less; and between its entries."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (low, high, between)
    return lax.pad(x, jnp.asarray(value, x.dtype), config)


def entry(padded: jax.Array, along: Windows, k: int | jax.Array) -> jax.Array:
    """Entry k of every window along one axis of the padded input."""
    axis, span = padded.ndim + along.axis, (along.positions - 1) * along.stride + 1
    reached = lax.dynamic_slice_in_dim(padded, k * along.dilation, span, axis)
    return lax.slice_in_dim(reached, 0, span, along.stride, axis)


def before(y: jax.Array, along: Windows, value: float) -> jax.Array:
    """y with room for `shifted` on both sides."""
    room = along.shifts - 1
    return padded_along(y, along.axis, room, room, value)


def shifted(roomy: jax.Array, along: Windows, j: int | jax.Array) -> jax.Array:
    """(…, runs, 1, …): of each run q what belongs to window q − j, from an array made by `before`."""
    axis, runs = roomy.ndim + along.axis, along.positions + along.shifts - 1
    return jnp.expand_dims(lax.dynamic_slice_in_dim(roomy, along.shifts - 1 - j, runs, axis), axis + 1)


def entries_of_run(along: Windows, j: int | jax.Array, axes: int) -> jax.Array:
    """(1, …, stride, 1, …), of so many axes: which entry of window q − j each entry of run q is."""
    others = [axis for axis in range(axes) if axis != axes + along.axis]
    return jnp.expand_dims(jnp.arange(along.stride) + j * along.stride, others)


def unrun(runs: jax.Array, along: Windows, value: float) -> jax.Array:
    """(…, runs, stride, …) as one axis, its padding taken away; value where no window reached."""
    axis = runs.ndim - 1 + along.axis
    line = runs.reshape(*runs.shape[:axis], math.prod(runs.shape[axis : axis + 2]), *runs.shape[axis + 2 :])
    return padded_along(line, along.axis, -along.low, along.size + along.low - line.shape[axis], value)


def combined(combine: Callable, each: Callable, count: int, unrolled: int = 4) -> Any:
    """each(0), …, each(count − 1) combined from the left, in a loop unless there are few."""
    rest = jnp.arange(1, count)
    return lax.scan(lambda done, k: (combine(done, each(k)), None), each(0), rest, unroll=count <= unrolled)[0]
