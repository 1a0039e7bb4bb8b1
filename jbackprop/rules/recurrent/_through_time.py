"""The two scans that every recurrence shares: forward through time, and backward through time.

A cell hands a carry from step to step, a tuple of arrays of which the last is h.  What it makes of x_t begins with
z = x_t W + b, which does not depend on the carry and is formed for many steps at once.  Backward, δ_t = ∂C/∂z_t goes
from step to step, and what the input and the parameters get of it is again one product for many steps.

How many is a matter of memory: the steps are taken in chunks, so that what goes into and comes out of these products
stays near the processor, and neither x W nor δ is ever held for the whole sequence.  All chunks have one size.  The
last one is filled up with steps that do not count, like those beyond the length of a sequence: there the carry stays.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

from jbackprop.rules._arrays import beside, cotangent, outer, product, rows, whole, wide_dtype, within
from jbackprop.rules._compiled import compiled_once, over_steps
from jbackprop.rules._meshes import in_shares, laid, layout, varied_like, whole_on_one

_STEPS = 32
"""How many time steps a chunk has at most."""

_ROWS = 2
"""The axis of the rows in an array of (chunks, steps, rows, features)."""

Carry = tuple[jax.Array, ...]
Start = tuple[jax.Array | None, ...]


class Course(NamedTuple):
    """What a forward pass keeps.

    Attributes:
      x: the sequences, (*batch, time, n_in).
      w, u, b: the weights of x and of h, and the biases or None.
      start: the carry before the first step, (*batch, hidden) each, None for zeros.
      seq_lengths: how many steps of each sequence count, or None.
      carries: the carry after each step, (chunks, steps, rows, hidden) each, a row for each sequence.
      gates: what the cell wants back of each step, in the same layout, or None.
    """

    x: jax.Array
    w: jax.Array
    u: jax.Array
    b: jax.Array | None
    start: Start
    seq_lengths: jax.Array | None
    carries: Carry
    gates: Any


@compiled_once(static_argnames="reverse")
def forward(
    step: Partial,
    x: jax.Array,
    w: jax.Array,
    u: jax.Array,
    b: jax.Array | None,
    start: Start,
    seq_lengths: jax.Array | None,
    reverse: bool,
) -> tuple[Carry, jax.Array, Course]:
    """The recurrence from its first step to its last, or the other way round.

    Args:
      step: (carry, z) -> the next carry, and the gates of the cell.
      *others: as in `Course`.
      reverse: whether time runs from the last step to the first.

    Returns:
      The carry after the last step; h of every step, (*batch, time, hidden); and what to keep.
    """
    arguments, batch = (x, w, u, b, start, seq_lengths), layout(x)[:-2]
    step, (x, w, u, b, start, seq_lengths) = whole_on_one(step, arguments)
    wide, dtype = wide_dtype(x, w, u), jnp.result_type(x, w, u)
    chunk = _chunk_forward(step, w, b, wide, reverse)

    def whole_course(x, start, seq_lengths):
        counts = _counting(x.shape[-2], seq_lengths)
        begin = varied_like(_rows(start, x, u, wide), x, w, u, b, start, seq_lengths)
        inputs = _in_chunks(within(x, seq_lengths)), counts
        last, (carries, gates) = lax.scan(chunk, begin, inputs, reverse=reverse)
        y = _in_order(_where(counts, carries[-1], jnp.zeros_like(carries[-1])), (*x.shape[:-1], len(u)))
        return _states(last, start, x.shape[:-2], dtype), y.astype(dtype), carries, gates

    last, y, carries, gates = _over_batch(
        whole_course, x, start, seq_lengths, axes=(0, 0, 0), results=(0, 0, _ROWS, _ROWS)
    )
    last, y = jax.tree.map(lambda array: laid(array, batch), (last, y))
    return last, y, Course(*arguments, carries, gates)


@compiled_once(static_argnames=("reverse", "of_state"))
def backward(
    step: Partial, course: Course, dlast: Carry, dy: jax.Array, reverse: bool, of_state: Callable | None = None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, Start]:
    """The recurrence of the error signals, from the end of `forward` to its beginning.

    Args:
      step: (dcarry after a step, gates, carry after it, carry before it) -> dcarry before the step, and δ.
      course: what the forward pass kept.
      dlast: gradient of the last carry.
      dy: gradient of h of every step.
      reverse: as it was forward.
      of_state: (gates, δ) -> δ', the error signal of h U where it is not that of z.

    Returns:
      dx, dW, dU, Σ δ, Σ δ', and the gradient of the first carry, None where that is.
    """
    wide, shapes = wide_dtype(course.x, course.w, course.u), (course.w.shape, course.u.shape)

    def each(sums, x, gates, before, delta):
        gradients = _contracted(x, before[-1], delta, of_state(gates, delta) if of_state else delta)
        return jax.tree.map(jnp.add, sums, gradients), None

    none = tuple(jnp.zeros(shape, wide) for shape in (*shapes, *(shape[1:] for shape in shapes)))
    dx, sums, _, dstart = _back(step, course, dlast, dy, reverse, each, none)
    return dx, *sums, dstart


@compiled_once(static_argnames="reverse")
def error_signals(
    step: Partial, course: Course, dlast: Carry, dy: jax.Array, reverse: bool
) -> tuple[jax.Array, jax.Array, Start]:
    """The same recurrence, which hands out δ of every step and leaves to others what the parameters get.

    Returns:
      dx, δ (*batch, time, columns of W), and the gradient of the first carry, None where that is.
    """

    def each(sums, x, gates, before, delta):
        return sums, delta

    dx, _, delta, dstart = _back(step, course, dlast, dy, reverse, each, ())
    return dx, _in_order(delta, (*course.x.shape[:-1], course.w.shape[1])), dstart


def states_before(course: Course, reverse: bool) -> jax.Array:
    """h before each step, (*batch, time, hidden)."""
    hidden = len(course.u)

    def states(x, start, carries):
        befores = _before(_rows(start, x, course.u, carries[-1].dtype), carries, reverse)
        return (_in_order(befores[-1], (*x.shape[:-1], hidden)),)

    given = course.x, course.start, course.carries
    return _over_batch(states, *given, axes=(0, 0, _ROWS), results=(0,))[0]


def gates_of(course: Course) -> jax.Array:
    """The gates of each step, (*batch, time, gates)."""
    return _in_order(course.gates, (*course.x.shape[:-1], course.gates.shape[-1]))


def _chunk_forward(step, w, b, wide, reverse):
    """(carry, (x, what counts)) -> the carry after a chunk; those after its steps, and their gates."""

    def one(carry, inputs):
        z, counts = inputs
        after, gates = step(carry, z)
        after = _where(counts, after, carry)
        return after, (after, gates)

    def chunk(carry, inputs):
        x, counts = inputs
        z = product(x, w)
        z = z if b is None else z + beside(b, z)
        return over_steps(one, carry, (z.astype(wide), counts), reverse)

    return chunk


def _back(step, course, dlast, dy, reverse, each, none):
    """dx; what `each` makes of every chunk, added up and side by side; and the gradient of the first carry."""
    given = course
    step, course, dlast, dy = whole_on_one(step, course, dlast, dy)
    x, w, u, _, start, seq_lengths, carries, gates = course
    wide, chunk = wide_dtype(x, w, u), _chunk_back(step, w, jnp.result_type(x, w), each, reverse)

    def whole_course(x, start, seq_lengths, carries, gates, dlast, dy):
        inputs = (
            _in_chunks(within(x, seq_lengths)),
            _in_chunks(dy.astype(wide)),
            _counting(x.shape[-2], seq_lengths),
            gates,
            carries,
            _before(varied_like(_rows(start, x, u, wide), carries), carries, reverse),
        )
        end = varied_like((_rows(dlast, x, u, wide), none), course, dlast, dy)
        (dstart, sums), (dx, more) = lax.scan(chunk, end, inputs, reverse=not reverse)
        dstart = tuple(
            None if state is None else row.reshape(state.shape) for row, state in zip(dstart, start, strict=True)
        )
        return within(_in_order(dx, x.shape), seq_lengths), sums, more, dstart

    arrays = x, start, seq_lengths, carries, gates, dlast, dy
    dx, sums, more, dstart = _over_batch(
        whole_course, *arrays, axes=(0, 0, 0, _ROWS, _ROWS, 0, 0), results=(0, None, _ROWS, 0)
    )
    return cotangent(given.x, dx), sums, more, tuple(map(cotangent, given.start, dstart))


def _chunk_back(step, w, dtype, each, reverse):
    """((dcarry, sums), inputs) -> those before a chunk; its dx, and what `each` makes of it."""
    wt = w.T

    def one(dcarry, inputs):
        dy, counts, gates, after, before = inputs
        gathered = *dcarry[:-1], dcarry[-1] + dy
        dbefore, delta = step(gathered, gates, after, before)
        return _where(counts, dbefore, dcarry), _where(counts, delta, jnp.zeros_like(delta))

    def chunk(carry, inputs):
        dcarry, sums = carry
        x, dy, counts, gates, after, before = inputs
        dcarry, delta = over_steps(one, dcarry, (dy, counts, gates, after, before), not reverse)
        sums, more = each(sums, x, gates, before, delta)
        return (dcarry, sums), (product(delta.astype(dtype), wt), more)

    return chunk


def _over_batch(f, x, *others, axes, results):
    """f(x, *others), on a mesh of each share of the first batch axis."""
    return in_shares(f, x, *others, axes=axes, results=results) if x.ndim > 2 else f(x, *others)


def _contracted(x, h, delta, delta_of_state):
    """xᵀ δ, hᵀ δ', Σ δ and Σ δ' over every step and row."""
    x, h, delta, delta_of_state = map(rows, (x, h, delta, delta_of_state))
    return outer(x, delta.astype(x.dtype)), outer(h, delta_of_state), delta.sum(axis=0), delta_of_state.sum(axis=0)


def _rows(carry, x, u, dtype):
    """A carry as (rows, hidden) each, zeros for None."""
    shape = math.prod(x.shape[:-2]), len(u)
    return tuple(jnp.zeros(shape, dtype) if state is None else state.reshape(shape).astype(dtype) for state in carry)


def _states(carry, start, batch, dtype):
    """What `_rows` makes of a carry, turned back, each in the dtype of the one that it began as."""
    return tuple(
        row.reshape(*batch, row.shape[-1]).astype(dtype if state is None else state.dtype)
        for row, state in zip(carry, start, strict=True)
    )


def _division(time):
    """The number of chunks, and of steps in each: no more than are needed to hold the time."""
    chunks = max(1, -(-time // _STEPS))
    return chunks, -(-time // chunks)


def _in_chunks(array):
    """(*batch, time, features) as (chunks, steps, rows, features), zeros behind the end of time."""
    *batch, time, features = array.shape
    chunks, steps = _division(time)
    by_time = jnp.moveaxis(array.reshape(math.prod(batch), time, features), 1, 0)
    filled = jnp.pad(by_time, ((0, chunks * steps - time), (0, 0), (0, 0)))
    return filled.reshape(chunks, steps, math.prod(batch), features)


def _in_order(array, shape):
    """What `_in_chunks` makes of an array of this shape, turned back."""
    time = shape[-2]
    by_batch = jnp.moveaxis(_by_time(array)[:time], 0, 1)
    return by_batch.reshape(shape)


def _by_time(array):
    chunks, steps, *others = array.shape
    return array.reshape(chunks * steps, *others)


def _counting(time, seq_lengths):
    """(chunks, steps, rows or 1, 1): which steps count; None where all do."""
    chunks, steps = _division(time)
    if seq_lengths is None and chunks * steps == time:
        return None
    ends = jnp.full(1, time) if seq_lengths is None else jnp.minimum(whole(seq_lengths).reshape(-1), time)
    return (jnp.arange(chunks * steps)[:, None] < ends[None]).reshape(chunks, steps, len(ends), 1)


def _where(counts, tree, other):
    """One tree where a step counts, the other where it does not."""
    return tree if counts is None else jax.tree.map(lambda a, b: jnp.where(counts, a, b), tree, other)


def _before(start, carries, reverse):
    """The carry before each step, from those after each."""

    def shifted(first, after):
        ends = (_by_time(after), first[None]) if reverse else (first[None], _by_time(after))
        whole = jnp.concatenate(ends)
        return (whole[1:] if reverse else whole[:-1]).reshape(after.shape)

    return tuple(map(shifted, start, carries))
