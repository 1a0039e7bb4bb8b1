"""Cases of softmax, log softmax and log-sum-exp, along one axis, several and all."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import rules

from ._activations import elementwise
from ._case import Case, booleans, counting, float32, normal


def _case(name, rule, reference, **options):
    """A case that keeps its argument, and its largest entry and a sum along the axis."""
    largest = np.max(np.zeros((2, 5, 7)), axis=options.get("axis"), keepdims=True)
    return Case(
        name,
        partial(rule, **options),
        partial(reference, **options),
        (normal(2, 5, 7),),
        float32((2, 5, 7), largest.shape, largest.shape),
        (normal(8, 64, 1024),),
    )


def _masked(name, rule, reference, kept, **options):
    """A case in which half of the entries count."""
    arguments, kept = (normal(2, 5, 7), booleans(5, 7)), (*float32(*kept), "bool[5,7]")
    return Case(name, counting(rule, **options), counting(reference, **options), arguments, kept)


def _log_probabilities(z, axis, where):
    """jax.nn's derivative at −∞, of which nothing comes out, is NaN."""
    return jnp.where(where, jax.nn.log_softmax(z, axis, where), -jnp.inf)


def _weighted(rule, **options):
    return lambda z, b: rule(z, b=b, **options)


SOFTMAX = (
    elementwise("softmax", rules.softmax, jax.nn.softmax),
    _masked("softmax, where", rules.softmax, jax.nn.softmax, [(2, 5, 7)], axis=(1, 2)),
    elementwise("softmax, axis 1", partial(rules.softmax, axis=1), partial(jax.nn.softmax, axis=1)),
    _case("log_softmax", rules.log_softmax, jax.nn.log_softmax, axis=-1),
    _case("log_softmax, axes 0 and 2", rules.log_softmax, jax.nn.log_softmax, axis=(0, 2)),
    _masked("log_softmax, where", rules.log_softmax, _log_probabilities, [(2, 5, 7), (2, 5, 1), (2, 5, 1)], axis=-1),
    _case("logsumexp", rules.logsumexp, jax.nn.logsumexp),
    _masked("logsumexp, where", rules.logsumexp, jax.nn.logsumexp, [(2, 5, 7), (2, 1, 7), (2, 1, 7)], axis=1),
    Case(
        "logsumexp, weights and a sign",
        _weighted(rules.logsumexp, axis=1, return_sign=True),
        _weighted(jax.nn.logsumexp, axis=1, return_sign=True),
        (normal(2, 5, 7), normal(5, 1)),
        float32((2, 5, 7), (5, 1), (2, 1, 7), (2, 1, 7)),
    ),
    _case("logsumexp, axis 1", rules.logsumexp, jax.nn.logsumexp, axis=1),
    _case("logsumexp, last axis kept", rules.logsumexp, jax.nn.logsumexp, axis=-1, keepdims=True),
)
