"""Cases of the softmax cross-entropy, of its options, and of the one without logits."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import optax

from jbackprop import rules
from jbackprop.cases._case import Case, booleans, classes, counting, normal, probabilities


def _with_ignored(count, *shape):
    """Class numbers, every third of them −1."""

    def draw(key, dtype):
        labels = classes(count, *shape)(key, dtype)
        return jnp.where(jnp.arange(labels.size).reshape(shape) % 3 == 1, -1, labels)

    return draw


def _fan_in(n_in, n_out):
    """Weights that keep the size of their input."""
    return lambda key, dtype: (jax.random.normal(key, (n_in, n_out)) / math.sqrt(n_in)).astype(dtype)


def _reference(logits, labels, weights=1, where=True, smoothing=0.0, z_loss=0.0, ignore_index=-1):
    """Written out with NumPy's functions: labels are class numbers, or one weight for each class."""
    count = logits.shape[-1]
    if labels.ndim < logits.ndim:
        where, labels = where & (labels != ignore_index), jnp.eye(count)[jnp.maximum(labels, 0)]
    y = weights * ((1 - smoothing) * labels + smoothing / count)
    total = jnp.exp(logits).sum(axis=-1)
    log_p = jnp.log(jnp.exp(logits) / total[..., None])
    return jnp.where(where, z_loss * jnp.log(total) ** 2 - (y * log_p).sum(axis=-1), 0)


def _from_inputs(x, w, b, labels):
    """x: (…, n_in), w: (n_in, n_out).  k is an input feature, j a class."""
    z = jnp.einsum("...k,kj->...j", x, w) + (0 if b is None else b)
    loss = optax.softmax_cross_entropy_with_integer_labels(z, jnp.maximum(labels, 0))
    return jnp.where(labels < 0, 0, loss)


_KEPT = ("float32[5,7]", "float32[5,1]", "float32[5,1]")


def _weighted_where(logits, labels, weights, where):
    return rules.softmax_cross_entropy(logits, labels, weights=weights, where=where)


def _weighted(logits, targets):
    return -(targets * jnp.log(jax.nn.softmax(logits))).sum(axis=-1)


def _weighted_entries(logits, targets, where):
    total = jnp.exp(logits).sum(axis=(0, 2), where=where, keepdims=True)
    return -(targets * (logits - jnp.log(total))).sum(axis=(0, 2), where=where)


_PAIRED = ("float32[5,7]", "float32[5,7]")

SOFTMAX_CROSS_ENTROPY = (
    Case(
        "softmax_cross_entropy",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (normal(5, 7), classes(7, 5)),
        ("float32[5,7]", "float32[5,1]", "float32[5,1]", "int32[5]"),
        (normal(512, 1000), classes(1000, 512)),
    ),
    Case(
        "softmax_cross_entropy, no batch axis",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (normal(7), classes(7)),
        ("float32[7]", "float32[1]", "float32[1]", "int32[]"),
        (normal(1000), classes(1000)),
        variant_of="softmax_cross_entropy",
    ),
    Case(
        "softmax_cross_entropy, two batch axes",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (normal(2, 5, 7), classes(7, 2, 5)),
        ("float32[2,5,7]", "float32[2,5,1]", "float32[2,5,1]", "int32[2,5]"),
        (normal(8, 64, 1000), classes(1000, 8, 64)),
        variant_of="softmax_cross_entropy",
    ),
    Case(
        "softmax_cross_entropy, soft targets",
        rules.softmax_cross_entropy,
        _weighted,
        (normal(5, 7), probabilities(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "softmax_cross_entropy, any weights",
        rules.softmax_cross_entropy,
        _weighted,
        (normal(5, 7), normal(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
        (normal(512, 1000), normal(512, 1000)),
    ),
    Case(
        "softmax_cross_entropy, ignore_index",
        partial(rules.softmax_cross_entropy, ignore_index=-1),
        _reference,
        (normal(5, 7), _with_ignored(7, 5)),
        (*_KEPT, "int32[5]"),
        (normal(512, 1000), _with_ignored(1000, 512)),
    ),
    Case(
        "softmax_cross_entropy, weights and where",
        _weighted_where,
        _reference,
        (normal(2, 5, 7), classes(7, 2, 5), normal(7), booleans(2, 5)),
        ("float32[2,5,7]", "float32[2,5,1]", "float32[2,5,1]", "int32[2,5]", "bool[2,5]", "float32[7]"),
        (normal(8, 64, 1000), classes(1000, 8, 64), normal(1000), booleans(8, 64)),
    ),
    Case(
        "softmax_cross_entropy, label_smoothing and z_loss",
        partial(rules.softmax_cross_entropy, label_smoothing=0.2, z_loss=0.01),
        partial(_reference, smoothing=0.2, z_loss=0.01),
        (normal(5, 7), classes(7, 5)),
        (*_KEPT, "int32[5]"),
        (normal(512, 1000), classes(1000, 512)),
    ),
    Case(
        "softmax_cross_entropy, soft targets, label_smoothing and z_loss",
        partial(rules.softmax_cross_entropy, label_smoothing=0.1, z_loss=0.02),
        partial(_reference, smoothing=0.1, z_loss=0.02),
        (normal(5, 7), probabilities(5, 7)),
        ("float32[5,7]", *_KEPT),
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "softmax_cross_entropy, axis 1",
        partial(rules.softmax_cross_entropy, axis=1),
        partial(optax.softmax_cross_entropy_with_integer_labels, axis=1),
        (normal(2, 7, 5), classes(7, 2, 5)),
        ("float32[2,7,5]", "float32[2,5,1]", "float32[2,5,1]", "int32[2,5]"),
        (normal(8, 1000, 64), classes(1000, 8, 64)),
    ),
    Case(
        "softmax_cross_entropy, soft targets, axes 2 and 0, where of entries",
        counting(rules.softmax_cross_entropy, axis=(2, 0)),
        _weighted_entries,
        (normal(2, 5, 7), normal(2, 5, 7), booleans(2, 5, 7)),
        ("float32[2,5,7]", "float32[2,5,7]", "bool[2,5,7]", "float32[5,1]", "float32[5,1]"),
    ),
    Case(
        "linear_softmax_cross_entropy",
        partial(rules.linear_softmax_cross_entropy, chunk=4),
        _from_inputs,
        (normal(5, 3), normal(3, 7), normal(7), classes(7, 5)),
        ("float32[5,3]", "float32[3,7]", "float32[7]", "int32[5]", "float32[5,1]", "float32[5,1]"),
    ),
    Case(
        "linear_softmax_cross_entropy, two batch axes, ignore_index",
        partial(rules.linear_softmax_cross_entropy, ignore_index=-1),
        _from_inputs,
        (normal(2, 5, 3), normal(3, 7), normal(7), _with_ignored(7, 2, 5)),
        ("float32[2,5,3]", "float32[3,7]", "float32[7]", "int32[2,5]", "float32[2,5,1]", "float32[2,5,1]"),
        (normal(8, 512, 256), _fan_in(256, 8192), normal(8192), _with_ignored(8192, 8, 512)),
    ),
    Case(
        "linear_softmax_cross_entropy, delta kept, ignore_index",
        partial(rules.linear_softmax_cross_entropy, ignore_index=-1, keep="delta"),
        _from_inputs,
        (normal(2, 5, 3), normal(3, 7), normal(7), _with_ignored(7, 2, 5)),
        ("float32[2,5,3]", "float32[3,7]", "float32[7]", "int32[2,5]", "float32[2,5,7]", "float32[2,5,3]"),
    ),
    Case(
        "linear_softmax_cross_entropy, no batch axis",
        partial(rules.linear_softmax_cross_entropy, chunk=3),
        _from_inputs,
        (normal(3), normal(3, 7), normal(7), classes(7)),
        ("float32[3]", "float32[3,7]", "float32[7]", "int32[]", "float32[1]", "float32[1]"),
        variant_of="linear_softmax_cross_entropy",
    ),
)
