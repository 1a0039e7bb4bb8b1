"""Cases of the losses that are sums over the features of an example."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from jbackprop import rules
from jbackprop.cases._case import Case, booleans, classes, counting, normal, probabilities


def _summed(loss, **options):
    """optax leaves the features apart; a cost of an example is their sum."""
    return lambda prediction, target: loss(prediction, target, **options).sum(axis=-1)


def _log_probabilities(*shape):
    return lambda key, dtype: jax.nn.log_softmax(jax.random.normal(key, shape)).astype(dtype)


def _kl_reference(log_predictions, targets):
    return (targets * jnp.log(targets / jnp.exp(log_predictions))).sum(axis=-1)


def _kl_masked(log_predictions, targets, where):
    return (targets * (jnp.log(targets) - log_predictions)).sum(axis=(0, 2), where=where)


_PAIRED = ("float32[5,7]", "float32[5,7]")
_REAL = (normal(5, 7), normal(5, 7))
_AT_SCALE = (normal(512, 1000), normal(512, 1000))

LOSSES = (
    Case(
        "squared_error",
        rules.squared_error,
        _summed(optax.l2_loss),
        (normal(5, 7), normal(5, 7)),
        _PAIRED,
        (normal(512, 1000), normal(512, 1000)),
    ),
    Case(
        "squared_error, no batch axis",
        rules.squared_error,
        _summed(optax.l2_loss),
        (normal(7), normal(7)),
        ("float32[7]", "float32[7]"),
        (normal(1000), normal(1000)),
        variant_of="squared_error",
    ),
    Case(
        "sigmoid_cross_entropy",
        rules.sigmoid_cross_entropy,
        _summed(optax.sigmoid_binary_cross_entropy),
        (normal(5, 7), probabilities(5, 7)),
        _PAIRED,
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "sigmoid_cross_entropy, two batch axes",
        rules.sigmoid_cross_entropy,
        _summed(optax.sigmoid_binary_cross_entropy),
        (normal(2, 5, 7), classes(2, 2, 5, 7)),
        ("float32[2,5,7]", "int32[2,5,7]"),
        (normal(8, 64, 1000), classes(2, 8, 64, 1000)),
    ),
    Case("absolute_error", rules.absolute_error, _summed(lambda a, y: jnp.abs(a - y)), _REAL, _PAIRED, _AT_SCALE),
    Case("huber", rules.huber, _summed(optax.huber_loss), _REAL, _PAIRED, _AT_SCALE),
    Case(
        "huber, delta 0.3, two batch axes",
        partial(rules.huber, delta=0.3),
        _summed(optax.huber_loss, delta=0.3),
        (normal(2, 5, 7), normal(2, 5, 7)),
        ("float32[2,5,7]", "float32[2,5,7]"),
        (normal(8, 64, 1000), normal(8, 64, 1000)),
        variant_of="huber",
    ),
    Case(
        "log_cosh, no batch axis",
        rules.log_cosh,
        _summed(lambda a, y: jnp.log(jnp.cosh(a - y))),
        (normal(7), normal(7)),
        ("float32[7]", "float32[7]"),
        (normal(1000), normal(1000)),
    ),
    Case(
        "sigmoid_focal",
        rules.sigmoid_focal,
        _summed(optax.sigmoid_focal_loss),
        (normal(5, 7), classes(2, 5, 7)),
        ("float32[5,7]", "int32[5,7]"),
        (normal(512, 1000), classes(2, 512, 1000)),
    ),
    Case(
        "sigmoid_focal, soft labels, alpha 0.3, gamma 1.5",
        partial(rules.sigmoid_focal, alpha=0.3, gamma=1.5),
        _summed(optax.sigmoid_focal_loss, alpha=0.3, gamma=1.5),
        (normal(5, 7), probabilities(5, 7)),
        _PAIRED,
        (normal(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "kl_divergence",
        rules.kl_divergence,
        _kl_reference,
        (_log_probabilities(5, 7), probabilities(5, 7)),
        _PAIRED,
        (_log_probabilities(512, 1000), probabilities(512, 1000)),
    ),
    Case(
        "kl_divergence, axes 0 and 2, where",
        counting(rules.kl_divergence, axis=(0, 2)),
        _kl_masked,
        (_log_probabilities(2, 5, 7), probabilities(2, 5, 7), booleans(5, 7)),
        ("float32[2,5,7]", "float32[2,5,7]", "bool[5,7]"),
    ),
    Case(
        "kl_divergence_with_log_targets",
        rules.kl_divergence_with_log_targets,
        optax.losses.kl_divergence_with_log_targets,
        (_log_probabilities(5, 7), _log_probabilities(5, 7)),
        _PAIRED,
        (_log_probabilities(512, 1000), _log_probabilities(512, 1000)),
    ),
    Case(
        "kl_divergence_with_log_targets, axis 0, where",
        counting(rules.kl_divergence_with_log_targets, axis=0),
        counting(optax.losses.kl_divergence_with_log_targets, axis=0),
        (_log_probabilities(5, 7), _log_probabilities(5, 7), booleans(5, 1)),
        (*_PAIRED, "bool[5,1]"),
    ),
)
