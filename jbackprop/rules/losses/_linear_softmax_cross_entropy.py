"""C = −log softmax(x W + b) at the label, in chunks of classes: the logits are never held at once.

With N examples and V classes, the logits z = x W + b and δ = ∂C/∂z are N × V, often the largest arrays of a model.
Here W's columns are taken a chunk c at a time, and what the rows need of all classes is kept up to date:

    m' = max(m, max z_c)        t' = t e^{m − m'} + Σ e^{z_c − m'}        in the end m + log t = log Σ_k e^{z_k}

    C_i = m_i + log t_i − z_iy                                            y the label of example i
    δ_c = ∂C/∂z_c = dC (e^{z_c − m} / t − 1[c = y])                       z_c = x W_c + b_c computed again

    dx = Σ_c δ_c W_cᵀ           dW_c = xᵀ δ_c           db_c = Σ_rows δ_c

Kept: the arguments, m and t.  That is four products instead of autodiff's three, and so a little slower than it on a
CPU, though a chunk is read while it is near; the reason to have it is memory, one chunk of logits in place of all.

Where memory allows it, δ for dC = 1 is kept instead, in the arguments' dtype.  The cotangent of an example only scales
its row, so that what travels on is known by then too, and the third product is all that the backward pass needs:

    Δ = p − 1[· = y]        X' = Δ Wᵀ                     forward
    dx = dC ⊙ X'            dW = (dC ⊙ x)ᵀ Δ              backward, dC over rows

M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867, 2018.  E. Wijmans,
B. Huval, A. Hertzberg, V. Koltun, P. Krähenbühl, "Cut your losses in large-vocabulary language models", ICLR, 2025.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import check_floating, cotangent, given, outer, product, rows, whole, wide_dtype, widen
from jbackprop.rules._factors import Outer, Summed
from jbackprop.rules._meshes import by_compiler, in_shares, layout, may_be_spread, varied_like
from jbackprop.rules._pieces import in_two

from ._classes import check_class_numbers

_NAME = "linear_softmax_cross_entropy"


@partial(jax.custom_vjp, nondiff_argnames=("ignore_index", "chunk", "keep"))
def linear_softmax_cross_entropy(
    x: Float[Array, "*batch n_in"],
    w: Float[Array, "n_in classes"],
    b: Float[Array, " classes"] | None,
    labels: Integer[Array, "*batch"],
    ignore_index: int | None = None,
    chunk: int | None = None,
    keep: Literal["nothing", "delta"] | None = None,
) -> Float[Array, "*batch"]:
    """`softmax_cross_entropy(linear(x, w, b), labels)` without its logits.

    Args:
      x: inputs of the output layer, features last.
      w: its weights, one column for each class.
      b: its biases, or None.
      labels: class numbers.
      ignore_index: a class number that says that an example has value and gradient 0.
      chunk: how many classes at a time, on a mesh for each device; examples × chunk numbers are held at once.  Unless
        given 512, and on an accelerator as many as make 32 Mi numbers, if that is more.
      keep: "nothing" of examples × classes numbers, and four products; or "delta", all of them in the arguments' common
        dtype, and three products.  Unless given "delta" on an accelerator where they are at most 1 GiB.

    Raises:
      TypeError: an argument has the wrong kind of dtype.
      ValueError: the shapes do not belong together, an option is not one of those, or a class number is outside
        [0, classes).
        Under `jit` the numbers are not known yet: there the value and the gradient of such an example are NaN.
    """
    return _primal(x, w, b, labels, ignore_index, chunk, keep)[0]


def _primal(x, w, b, labels, ignore_index, chunk, keep):
    _check(x, w, b, labels, ignore_index, chunk, keep)
    of_each, step = layout(labels), chunk or _chunk(labels.size)
    values, largest, total = by_compiler(
        partial(_values, ignore_index, step), x, w, b, labels, layouts=lambda: [of_each, *[(*of_each, None)] * 2]
    )
    return values.astype(jnp.result_type(x, w)), (x, w, b, labels, largest, total)


def _linear_softmax_cross_entropy_fwd(x, w, b, labels, ignore_index, chunk, keep):
    if not _keeps_delta(keep, x, w, labels):
        return _primal(x, w, b, labels, ignore_index, chunk, keep)
    _check(x, w, b, labels, ignore_index, chunk, keep)
    of_each = layout(labels)
    values, delta, travelled = by_compiler(
        partial(_values_and_delta, ignore_index),
        *(x, w, b, labels),
        layouts=lambda: [of_each, (*of_each, layout(w)[1]), layout(x)],
    )
    return values.astype(delta.dtype), (x, w, b, labels, delta, travelled)


def _linear_softmax_cross_entropy_bwd(ignore_index, chunk, keep, residuals, dvalues):
    arguments = x, w, b = residuals[:3]
    if _keeps_delta(keep, x, w, residuals[3]):
        (dx, _), (dw, db) = _travelled(ignore_index, residuals, dvalues), _from_delta(ignore_index, residuals, dvalues)
        return dx, cotangent(w, dw), cotangent(b, db), None
    gradients = by_compiler(
        partial(_gradients, ignore_index, chunk or _chunk(residuals[3].size)),
        *residuals,
        dvalues,
        layouts=lambda: [layout(argument) for argument in arguments if argument is not None],
    )
    return *map(cotangent, arguments, gradients), None


linear_softmax_cross_entropy.defvjp(_linear_softmax_cross_entropy_fwd, _linear_softmax_cross_entropy_bwd)


def _linear_softmax_cross_entropy_travel(ignore_index, chunk, keep, residuals, dvalues):
    """δ of all classes at once: it is a value here."""
    x, w, b, labels, *_ = residuals
    if _keeps_delta(keep, x, w, labels):
        return _travelled(ignore_index, residuals, dvalues), _each(dvalues, residuals[4]) * residuals[4]
    largest, total = residuals[4:]
    (examples, numbers), classes = _examples(x, labels, ignore_index), w.shape[1]
    each = _of_each(numbers, classes, ignore_index, largest, total, dvalues)
    delta = _delta(_logits(examples, w, b, 0, classes), _hit(numbers, 0, classes), *each)
    dx = _without_ignored(product(delta, w.T), numbers, ignore_index)
    return (cotangent(x, dx.reshape(x.shape)), None), delta.reshape(*labels.shape, classes)


def _linear_softmax_cross_entropy_factors(ignore_index, chunk, keep, residuals, delta):
    x, _, _, labels, _, _ = residuals
    examples, _ = _examples(x, labels, ignore_index)
    return {"w": Outer(examples.reshape(x.shape), delta), "b": Summed(delta)}


in_two(linear_softmax_cross_entropy, _linear_softmax_cross_entropy_travel, _linear_softmax_cross_entropy_factors)


def _keeps_delta(keep, x, w, labels):
    """Whether Δ and X' are kept."""
    if keep is not None:
        return keep == "delta"
    needed = labels.size * w.shape[1] * jnp.result_type(x, w).itemsize
    return jax.default_backend() != "cpu" and needed <= _MOST_KEPT


_MOST_KEPT = 2**30
"""So many bytes of δ are kept on an accelerator without being asked."""


def _chunk(examples):
    return 512 if jax.default_backend() == "cpu" else max(512, _NUMBERS // max(examples, 1))


_NUMBERS = 2**25
"""An accelerator's chunk of logits: fewer chunks read and write dx less often, more do not pay any longer."""


def _values_and_delta(ignore_index, x, w, b, labels):
    """C, Δ and X'."""
    (examples, numbers), classes = _examples(x, labels, ignore_index), w.shape[1]
    z, hit = _logits(examples, w, b, 0, classes), _hit(numbers, 0, classes)
    largest = lax.stop_gradient(z.max(axis=-1, keepdims=True))
    total = jnp.exp(z - largest).sum(axis=-1, keepdims=True)
    chosen = jnp.where(hit, z, 0).sum(axis=-1, keepdims=True)
    values = _counted((jnp.log(total) + (largest - chosen))[..., 0], numbers, classes, ignore_index)
    ones = jnp.ones(numbers.shape, z.dtype)
    delta = _delta(z, hit, *_of_each(numbers, classes, ignore_index, largest, total, ones))
    delta = delta.astype(jnp.result_type(x, w))
    travelled = product(delta, w.T, rounded=True)
    return values.reshape(labels.shape), delta.reshape(*labels.shape, classes), travelled.reshape(x.shape)


def _each(dvalues, like):
    return dvalues.astype(like.dtype)[..., None]


def _travelled(ignore_index, residuals, dvalues):
    x, _, _, labels, _, travelled = residuals
    dx = widen(dvalues)[..., None] * travelled
    return cotangent(x, _without_ignored(dx, whole(labels), ignore_index)), None


def _from_delta(ignore_index, residuals, dvalues):
    """dW and db."""
    x, _, _, labels, delta, _ = residuals
    examples = _without_ignored(x, whole(labels), ignore_index)
    scaled = (widen(dvalues)[..., None] * examples).astype(delta.dtype)
    return outer(scaled, delta, rounded=True), outer(_each(dvalues, delta), delta)[0]


def _values(ignore_index, chunk, x, w, b, labels):
    """C, m and t of each example."""
    (examples, numbers), count = _examples(x, labels, ignore_index), w.shape[1]

    def share(w, b, classes):
        here = _numbered_from(classes, numbers, count)

        def step(carry, start, size):
            largest, total, chosen = carry
            z = _logits(examples, w, b, start, size)
            larger = jnp.maximum(largest, lax.stop_gradient(z.max(axis=-1, keepdims=True)))
            total = total * jnp.exp(largest - larger) + jnp.exp(z - larger).sum(axis=-1, keepdims=True)
            return larger, total, chosen + jnp.where(_hit(here, start, size), z, 0).sum(axis=-1, keepdims=True)

        none = jnp.zeros((*numbers.shape, 1), wide_dtype(x, w))
        lowest = none + jnp.finfo(none.dtype).min
        found = _over_classes(step, varied_like((lowest, none, none), x, w, b, labels), len(classes), chunk)
        return tuple(array[None] for array in found)

    of_shares = in_shares(share, w, b, jnp.arange(count), axes=(1, 0, 0), results=(0, 0, 0))
    largest, total, chosen = _united(*of_shares)
    values = _counted((jnp.log(total) + (largest - chosen))[..., 0], numbers, count, ignore_index)
    return values.reshape(labels.shape), *(array.reshape(*labels.shape, 1) for array in (largest, total))


def _gradients(ignore_index, chunk, x, w, b, labels, largest, total, dvalues):
    """dx, dW and db."""
    (examples, numbers), count = _examples(x, labels, ignore_index), w.shape[1]
    each = _of_each(numbers, count, ignore_index, largest, total, dvalues)
    dtype, wide, batch = jnp.result_type(x, w), wide_dtype(x, w, dvalues), tuple(range(numbers.ndim))

    def share(w, b, classes):
        here = _numbered_from(classes, numbers, count)

        def step(carry, start, size):
            dx, dw, db = carry
            delta = _delta(_logits(examples, w, b, start, size), _hit(here, start, size), *each).astype(dtype)
            dx = dx + product(delta, _columns(w, start, size).T)
            dw = lax.dynamic_update_slice(dw, outer(examples, delta).astype(w.dtype), (0, start))
            return dx, dw, lax.dynamic_update_slice(db, delta.sum(axis=batch, dtype=wide), (start,))

        zeros = jnp.zeros(examples.shape, wide), jnp.zeros_like(w), jnp.zeros(len(classes), wide)
        return _over_classes(step, varied_like(zeros, x, w, b, labels, each), len(classes), chunk)

    dx, dw, db = in_shares(share, w, b, jnp.arange(count), axes=(1, 0, 0), results=(None, 1, 0))
    return _without_ignored(dx, numbers, ignore_index).reshape(x.shape), dw, None if b is None else db


def _of_each(numbers, classes, ignore_index, largest, total, dvalues):
    """m, t and the cotangent of each example, with an axis for the classes."""
    dvalues = _counted(widen(dvalues).reshape(numbers.shape), numbers, classes, ignore_index)
    return tuple(array.reshape(*numbers.shape, 1) for array in (largest, total, dvalues))


def _delta(logits, hit, largest, total, dvalues):
    """∂C/∂z of some classes."""
    return dvalues / total * jnp.exp(logits - largest) - jnp.where(hit, dvalues, 0)


def _examples(x, labels, ignore_index):
    """x and the labels, their batch axes as one if they may be."""
    numbers = whole(labels)
    if not may_be_spread(x):
        x, numbers = rows(x), numbers.reshape(-1)
    return _without_ignored(x, numbers, ignore_index), numbers


def _without_ignored(examples, numbers, ignore_index):
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


def _logits(examples, w, b, start, size):
    z = product(examples, _columns(w, start, size))
    return z if b is None else z + lax.dynamic_slice(b, (start,), (size,))


def _columns(w, start, size):
    return lax.dynamic_slice(w, (0, start), (len(w), size))


def _hit(numbers, start, size):
    """(*batch, size): whether a class of the chunk is the example's label."""
    return (numbers - start)[..., None] == jnp.arange(size)


def _counted(array, numbers, classes, ignore_index):
    """One entry for each example: 0 for those that are ignored, NaN for those whose label names no class."""
    array = jnp.where((numbers >= 0) & (numbers < classes), array, jnp.nan)
    return array if ignore_index is None else jnp.where(numbers == ignore_index, 0, array)


def _check(x, w, b, labels, ignore_index, chunk, keep):
    check_floating(_NAME, x=x, w=w, **given(b=b))
    if x.ndim < 1 or w.ndim != 2 or w.shape[0] != x.shape[-1] or w.shape[1] == 0:
        raise ValueError(f"{_NAME}: w, wanted shape (n_in, classes) for x of {x.shape}, got {w.shape}")
    if b is not None and b.shape != w.shape[1:]:
        raise ValueError(f"{_NAME}: b, wanted shape {w.shape[1:]} (w's columns), got {b.shape}")
    if labels.shape != x.shape[:-1]:
        raise ValueError(f"{_NAME}: labels, wanted shape {x.shape[:-1]} (x's batch axes), got {labels.shape}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"{_NAME}: chunk, wanted a positive number of classes, got {chunk}")
    if keep not in (None, "nothing", "delta"):
        raise ValueError(f"{_NAME}: keep, wanted 'nothing', 'delta' or None, got {keep!r}")
    check_class_numbers(_NAME, labels, w.shape[1], ignore_index)
