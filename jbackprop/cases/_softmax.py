"""Cases of softmax, log softmax and log-sum-exp, along one axis, several and all."""

from functools import partial

import jax
import numpy as np

from jbackprop import rules

from ._activations import elementwise
from ._case import Case, float32, normal


def _logsumexp_case(name, **options):
    rule, reference = partial(rules.logsumexp, **options), partial(jax.nn.logsumexp, **options)
    largest = np.max(np.zeros((2, 5, 7)), axis=options.get("axis"), keepdims=True)
    return Case(
        name,
        rule,
        reference,
        (normal(2, 5, 7),),
        float32((2, 5, 7), largest.shape, largest.shape),
        (normal(8, 64, 1024),),
    )


SOFTMAX = (
    elementwise("softmax", rules.softmax, jax.nn.softmax),
    elementwise("softmax, axis 1", partial(rules.softmax, axis=1), partial(jax.nn.softmax, axis=1)),
    elementwise("log_softmax", rules.log_softmax, jax.nn.log_softmax),
    elementwise(
        "log_softmax, axes 0 and 2", partial(rules.log_softmax, axis=(0, 2)), partial(jax.nn.log_softmax, axis=(0, 2))
    ),
    _logsumexp_case("logsumexp"),
    _logsumexp_case("logsumexp, axis 1", axis=1),
    _logsumexp_case("logsumexp, last axis kept", axis=-1, keepdims=True),
)
