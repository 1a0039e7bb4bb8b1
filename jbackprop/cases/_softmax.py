"""Cases of softmax, log softmax and log-sum-exp, along one axis, several and all."""

from functools import partial

import jax
import numpy as np

from jbackprop import rules

from ._activations import elementwise
from ._case import Case, float32, normal


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


SOFTMAX = (
    elementwise("softmax", rules.softmax, jax.nn.softmax),
    elementwise("softmax, axis 1", partial(rules.softmax, axis=1), partial(jax.nn.softmax, axis=1)),
    _case("log_softmax", rules.log_softmax, jax.nn.log_softmax, axis=-1),
    _case("log_softmax, axes 0 and 2", rules.log_softmax, jax.nn.log_softmax, axis=(0, 2)),
    _case("logsumexp", rules.logsumexp, jax.nn.logsumexp),
    _case("logsumexp, axis 1", rules.logsumexp, jax.nn.logsumexp, axis=1),
    _case("logsumexp, last axis kept", rules.logsumexp, jax.nn.logsumexp, axis=-1, keepdims=True),
)
