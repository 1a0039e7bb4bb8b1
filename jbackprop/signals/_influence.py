"""Which training examples helped a prediction, and which harmed it, by inner products of factors.

A step on training example j moves the cost of test example i by −η ⟨∂C_i/∂p, ∂C_j/∂p⟩ to first order, so that

    influence_ij = Σ_checkpoints η ⟨∂C_i/∂p, ∂C_j/∂p⟩        positive: j made C_i smaller

No gradient is written out where the closed form of the inner products is cheaper.

G. Pruthi, F. Liu, S. Kale, M. Sundararajan, "Estimating training data influence by tracing gradient descent", NeurIPS,
2020.
"""

from collections.abc import Sequence
from typing import Any

import jax

from jbackprop.layers import Layer, Loss, Params

from ._dot import inner_products, sum_of
from ._passed import check_network, factored_gradient


def influence(
    net: Layer,
    loss: Loss,
    checkpoints: Sequence[Params],
    test: tuple[Any, Any],
    train: tuple[Any, Any],
    rates: Sequence[float] | None = None,
) -> jax.Array:
    """By how much each training example made the cost of each test example smaller, traced over checkpoints.

    Args:
      net: the network.
      loss: (output, target) -> one value for each example.
      checkpoints: parameters from along the training, at least one.
      test: a pair (x, y) of examples whose predictions are asked about.
      train: a pair (x, y) of examples to blame or to thank.
      rates: the learning rate at each checkpoint; 1 unless given.

    Returns:
      (test examples, training examples).

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
      ValueError: a layer mixes its examples, there is no checkpoint, or not one rate for each.
    """
    check_network("influence", net, loss)
    rates = [1.0] * len(checkpoints) if rates is None else list(rates)
    if not checkpoints:
        raise ValueError("influence: checkpoints, wanted at least one, got none")
    if len(rates) != len(checkpoints):
        raise ValueError(f"influence: rates, wanted one for each of {len(checkpoints)} checkpoints, got {len(rates)}")
    factors = factored_gradient(net, loss)

    def at(params):
        return inner_products(factors(params, *test).factors, factors(params, *train).factors)

    return sum_of([rate * at(params) for rate, params in zip(rates, checkpoints, strict=True)])
