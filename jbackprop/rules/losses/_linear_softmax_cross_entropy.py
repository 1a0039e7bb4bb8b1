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

Who knows dC before C, as of a mean, has both at once and keeps nothing (`sweep_of`).  Rows are taken instead, a tile r
at a time, with all of their classes: three products, and one tile of logits.

    z_r = x_r W + b         dx_r = δ_r Wᵀ                 dW = Σ_r x_rᵀ δ_r

M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867, 2018.  E. Wijmans,
B. Huval, A. Hertzberg, V. Koltun, P. Krähenbühl, "Cut your losses in large-vocabulary language models", ICLR, 2025.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jbackprop.rules._arrays import check_floating, check_integers, cotangent, given, outer, product, whole, widen
from jbackprop.rules._factors import Outer, Summed
from jbackprop.rules._meshes import by_compiler, layout
from jbackprop.rules._pieces import in_one_sweep, in_two

from ._by_rows import losses_and_deltas, losses_and_gradients
from ._class_chunks import (
    delta_of,
    examples_of,
    gradients_by_chunks,
    hits,
    logits_of,
    near_one,
    values_by_chunks,
    with_class_axis,
    without_ignored,
)
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
        dtype, and three products.  Unless given "delta" on an accelerator where they are at most 2 GiB.

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
        partial(values_by_chunks, ignore_index, step),
        x,
        w,
        b,
        labels,
        layouts=lambda: [of_each, *[(*of_each, None)] * 2],
    )
    return values.astype(jnp.result_type(x, w)), (x, w, b, labels, largest, total)


def _linear_softmax_cross_entropy_fwd(x, w, b, labels, ignore_index, chunk, keep):
    if not _keeps_delta(keep, x, w, labels):
        return _primal(x, w, b, labels, ignore_index, chunk, keep)
    _check(x, w, b, labels, ignore_index, chunk, keep)
    of_each = layout(labels)
    values, delta, travelled = by_compiler(
        partial(losses_and_deltas, ignore_index, _tile(w.shape[1])),
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
        partial(gradients_by_chunks, ignore_index, chunk or _chunk(residuals[3].size)),
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
    (examples, numbers), classes = examples_of(x, labels, ignore_index), w.shape[1]
    each = with_class_axis(numbers, classes, ignore_index, largest, total, dvalues)
    delta = delta_of(logits_of(examples, w, b, 0, classes), hits(numbers, 0, classes), *each)
    dx = without_ignored(product(delta, w.T), numbers, ignore_index)
    return (cotangent(x, dx.reshape(x.shape)), None), delta.reshape(*labels.shape, classes)


def _linear_softmax_cross_entropy_factors(ignore_index, chunk, keep, residuals, delta):
    x, _, _, labels, _, _ = residuals
    examples, _ = examples_of(x, labels, ignore_index)
    return {"w": Outer(examples.reshape(x.shape), delta), "b": Summed(delta)}


in_two(linear_softmax_cross_entropy, _linear_softmax_cross_entropy_travel, _linear_softmax_cross_entropy_factors)


def _linear_softmax_cross_entropy_sweep(ignore_index, chunk, keep, x, w, b, labels, dvalues):
    _check(x, w, b, labels, ignore_index, chunk, keep)
    arguments, tile = (x, w, b), _tile(w.shape[1])
    values, *gradients = by_compiler(
        partial(losses_and_gradients, ignore_index, tile),
        *(*arguments, labels, dvalues),
        layouts=lambda: [layout(labels), *(layout(argument) for argument in arguments if argument is not None)],
    )
    return values.astype(jnp.result_type(x, w)), (*map(cotangent, arguments, gradients), None)


in_one_sweep(linear_softmax_cross_entropy, _linear_softmax_cross_entropy_sweep)


def _keeps_delta(keep, x, w, labels):
    """Whether Δ and X' are kept."""
    if keep is not None:
        return keep == "delta"
    needed = labels.size * w.shape[1] * jnp.result_type(x, w).itemsize
    return jax.default_backend() != "cpu" and needed <= _MOST_KEPT


_MOST_KEPT = 2**31
"""So many bytes of δ are kept on an accelerator without being asked."""


def _chunk(examples):
    return 512 if jax.default_backend() == "cpu" else max(512, _numbers() // max(examples, 1))


def _numbers():
    """Logits at a time.  On an accelerator fewer are read and written too often, more do not pay any longer."""
    return 2**21 if jax.default_backend() == "cpu" else 2**25


def _tile(classes):
    """Rows at a time: a power of 2, as batches have.  More save an accelerator little, and each tile reads w and dW."""
    most = _numbers() if jax.default_backend() == "cpu" else 2**28
    return min(4096, 2 ** max(0, (most // classes).bit_length() - 1))


def _each(dvalues, like):
    return dvalues.astype(like.dtype)[..., None]


def _travelled(ignore_index, residuals, dvalues):
    x, _, _, labels, _, travelled = residuals
    dx = widen(dvalues)[..., None] * widen(travelled)
    return cotangent(x, without_ignored(dx, whole(labels), ignore_index)), None


def _from_delta(ignore_index, residuals, dvalues):
    """dW and db."""
    x, _, _, labels, delta, _ = residuals
    examples, (dvalues, power) = without_ignored(x, whole(labels), ignore_index), near_one(dvalues, delta.dtype)
    scaled = (dvalues[..., None] * widen(examples)).astype(delta.dtype)
    dw = outer(scaled, delta, rounded=delta.dtype != jnp.float16)  # whose range a sum over examples may leave
    return dw * power, outer(_each(dvalues, delta), delta)[0] * power


def _check(x, w, b, labels, ignore_index, chunk, keep):
    check_floating(_NAME, x=x, w=w, **given(b=b))
    check_integers(_NAME, labels=labels)
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
