"""The output layer and its loss in chunks of classes, shared out among the devices that have them."""

import jax
import jax.numpy as jnp
from jax import lax

from jbackprop.rules._arrays import beside, magnitude, outer, product, rows, whole, wide_dtype, widen
from jbackprop.rules._compiled import compiled_once
from jbackprop.rules._meshes import in_shares, may_be_spread, varied_like


@compiled_once(static_argnames=("ignore_index", "chunk"))
def values_by_chunks(ignore_index, chunk, x, w, b, labels):
    """C, m and t of each example."""
    (examples, numbers), count = examples_of(x, labels, ignore_index), w.shape[1]

    def share(w, b, classes):
        here = _numbered_from(classes, numbers, count)

        def step(carry, start, size):
            largest, total, chosen = carry
            z = logits_of(examples, w, b, start, size)
            here_largest, here_total, here_chosen = statistics(z, hits(here, start, size))
            larger = jnp.maximum(largest, here_largest)
            total = total * jnp.exp(largest - larger) + here_total * jnp.exp(here_largest - larger)
            return larger, total, chosen + here_chosen

        none = jnp.zeros((*numbers.shape, 1), wide_dtype(x, w))
        lowest = none + jnp.finfo(none.dtype).min
        found = _over_classes(step, varied_like((lowest, none, none), x, w, b, labels), len(classes), chunk)
        return tuple(array[None] for array in found)

    of_shares = in_shares(share, w, b, jnp.arange(count), axes=(1, 0, 0), results=(0, 0, 0))
    largest, total, chosen = _united(*of_shares)
    values = counted((jnp.log(total) + (largest - chosen))[..., 0], numbers, count, ignore_index)
    return values.reshape(labels.shape), *(array.reshape(*labels.shape, 1) for array in (largest, total))


@compiled_once(static_argnames=("ignore_index", "chunk"))
def gradients_by_chunks(ignore_index, chunk, x, w, b, labels, largest, total, dvalues):
    """dx, dW and db."""
    (examples, numbers), count = examples_of(x, labels, ignore_index), w.shape[1]
    dvalues, power = near_one(dvalues, jnp.result_type(x, w))
    each = with_class_axis(numbers, count, ignore_index, largest, total, dvalues)
    dtype, wide, batch = jnp.result_type(x, w), wide_dtype(x, w), tuple(range(numbers.ndim))

    def share(w, b, classes):
        here = _numbered_from(classes, numbers, count)

        def step(carry, start, size):
            dx, dw, db = carry
            delta = delta_of(logits_of(examples, w, b, start, size), hits(here, start, size), *each).astype(dtype)
            dx = dx + product(delta, _columns(w, start, size).T)
            dw = lax.dynamic_update_slice(dw, (power * outer(examples, delta)).astype(w.dtype), (0, start))
            return dx, dw, lax.dynamic_update_slice(db, delta.sum(axis=batch, dtype=wide), (start,))

        zeros = jnp.zeros(examples.shape, wide), jnp.zeros_like(w), jnp.zeros(len(classes), wide)
        return _over_classes(step, varied_like(zeros, x, w, b, labels, each), len(classes), chunk)

    dx, dw, db = in_shares(share, w, b, jnp.arange(count), axes=(1, 0, 0), results=(None, 1, 0))
    dx = without_ignored(power * dx, numbers, ignore_index).reshape(x.shape)
    return dx, dw, None if b is None else power * db


def statistics(z, hit):
    """m, t and the label's logit of each row of logits; what m is, is a constant to derivatives."""
    found = (_in_three_passes if jax.default_backend() == "cpu" else _in_one_pass)(z, hit)
    return tuple(array[..., None] for array in found)


def _in_three_passes(z, hit):
    largest = lax.stop_gradient(z.max(axis=-1, initial=jnp.finfo(z.dtype).min))
    return largest, jnp.exp(z - largest[..., None]).sum(axis=-1), jnp.where(hit, z, 0).sum(axis=-1)


def _in_one_pass(z, hit):
    """As one reduction: another device reads the logits once for it, where a CPU would take them entry by entry."""

    def united(a, b):
        larger = lax.stop_gradient(jnp.maximum(a[0], b[0]))
        return larger, a[1] * jnp.exp(a[0] - larger) + b[1] * jnp.exp(b[0] - larger), a[2] + b[2]

    zero = jnp.zeros((), z.dtype)
    none = jnp.full_like(zero, jnp.finfo(z.dtype).min), zero, zero
    ones = jnp.where(jnp.isnan(z), z, 1)  # which has a tangent: JAX fails to differentiate a reduction of what has none
    return lax.reduce((z, ones, jnp.where(hit, z, 0)), none, united, (z.ndim - 1,))


def losses_of(z, hit, numbers, classes, ignore_index):
    """C, m and t of examples all of whose logits are there."""
    largest, total, chosen = statistics(z, hit)
    return counted((jnp.log(total) + (largest - chosen))[..., 0], numbers, classes, ignore_index), largest, total


def near_one(dvalues, dtype):
    """dC over a power of 2 near the largest, and that power: dC of a mean is too small for the range of float16."""
    dvalues = widen(dvalues)
    if dtype != jnp.float16:
        return dvalues, 1
    power = magnitude(jnp.where(jnp.isfinite(dvalues), dvalues, 0), None).reshape(())
    return dvalues / power, power


def with_class_axis(numbers, classes, ignore_index, largest, total, dvalues):
    """m, t and the cotangent of each example, with an axis for the classes."""
    dvalues = counted(widen(dvalues).reshape(numbers.shape), numbers, classes, ignore_index)
    return tuple(array.reshape(*numbers.shape, 1) for array in (largest, total, dvalues))


def delta_of(logits, hit, largest, total, dvalues):
    """∂C/∂z of some classes."""
    return dvalues / total * jnp.exp(logits - largest) - jnp.where(hit, dvalues, 0)


def examples_of(x, labels, ignore_index):
    """x and the labels, their batch axes as one if they may be."""
    numbers = whole(labels)
    if not may_be_spread(x):
        x, numbers = rows(x), numbers.reshape(-1)
    return without_ignored(x, numbers, ignore_index), numbers


def without_ignored(examples, numbers, ignore_index):
    """The examples, 0 where they are ignored: nothing in them counts then."""
    return examples if ignore_index is None else jnp.where(numbers[..., None] == ignore_index, 0, examples)


def _numbered_from(classes, numbers, count):
    """The labels, a share's first class of all `count` being 0."""
    return numbers if len(classes) == count else numbers - classes[0]


def _united(largest, total, chosen):
    """m, t and the label's logit from those of each share of the classes."""
    if len(largest) == 1:
        return largest[0], total[0], chosen[0]
    larger = lax.stop_gradient(largest.max(axis=0))
    return larger, (total * jnp.exp(largest - larger)).sum(axis=0), chosen.sum(axis=0)


def _over_classes(step, carry, classes, chunk):
    """step(carry, start, size) -> carry for every chunk of the classes, the last one perhaps shorter."""
    chunk = min(chunk, classes)
    full = classes // chunk * chunk
    carry, _ = lax.scan(lambda c, start: (step(c, start, chunk), None), carry, jnp.arange(0, full, chunk))
    return step(carry, full, classes - full) if full < classes else carry


def logits_of(examples, w, b, start, size):
    z = product(examples, _columns(w, start, size))
    return z if b is None else z + beside(lax.dynamic_slice(b, (start,), (size,)), z)


def _columns(w, start, size):
    return lax.dynamic_slice(w, (0, start), (len(w), size))


def hits(numbers, start, size):
    """(*batch, size): whether a class of the chunk is the example's label."""
    places = (numbers - start)[..., None]
    return places == beside(jnp.arange(size), places)


def counted(array, numbers, classes, ignore_index):
    """One entry for each example: 0 for those that are ignored, NaN for those whose label names no class."""
    array = jnp.where((numbers >= 0) & (numbers < classes), array, jnp.nan)
    return array if ignore_index is None else jnp.where(numbers == ignore_index, 0, array)
