"""Cases of the losses."""

import jax
import jax.numpy as jnp
import optax

from jbackprop import rules

from ._case import Case, classes, normal, probabilities


def summed(loss, **options):
    """optax leaves the features apart; a cost of an example is their sum."""
    return lambda prediction, target: loss(prediction, target, **options).sum(axis=-1)


def _softmax_cross_entropy_reference(logits, targets):
    return -(targets * jnp.log(jax.nn.softmax(logits))).sum(axis=-1)


_PAIRED = ("float32[5,7]", "float32[5,7]")

LOSSES = (
    Case(
        "squared_error",
        rules.squared_error,
        summed(optax.l2_loss),
        (normal(5, 7), normal(5, 7)),
        _PAIRED,
        (normal(512, 1000), normal(512, 1000)),
    ),
    Case(
        "squared_error, no batch axis",
        rules.squared_error,
        summed(optax.l2_loss),
        (normal(7), normal(7)),
        ("float32[7]", "float32[7]"),
        (normal(1000), normal(1000)),
    ),
    Case(
        "sigmoid_cross_entropy",
        rules.sigmoid_cross_entropy,
        summed(optax.sigmoid_binary_cross_entropy),
        (normal(5, 7), probabilities(5, 7)),
        _PAIRED,
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "sigmoid_cross_entropy, two batch axes",
        rules.sigmoid_cross_entropy,
        summed(optax.sigmoid_binary_cross_entropy),
        (normal(2, 5, 7), classes(2, 2, 5, 7)),
        ("float32[2,5,7]", "int32[2,5,7]"),
        (normal(8, 64, 1000), classes(2, 8, 64, 1000)),
    ),
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
    ),
    Case(
        "softmax_cross_entropy, two batch axes",
        rules.softmax_cross_entropy,
        optax.softmax_cross_entropy_with_integer_labels,
        (normal(2, 5, 7), classes(7, 2, 5)),
        ("float32[2,5,7]", "float32[2,5,1]", "float32[2,5,1]", "int32[2,5]"),
        (normal(8, 64, 1000), classes(1000, 8, 64)),
    ),
    Case(
        "softmax_cross_entropy, soft targets",
        rules.softmax_cross_entropy,
        _softmax_cross_entropy_reference,
        (normal(5, 7), probabilities(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "softmax_cross_entropy, any weights",
        rules.softmax_cross_entropy,
        _softmax_cross_entropy_reference,
        (normal(5, 7), normal(5, 7)),
        (*_PAIRED, "float32[5,1]", "float32[5,1]"),
        (normal(512, 1000), normal(512, 1000)),
    ),
)
