"""The cost of a network on a batch, its gradients and its error signals, by hand and automatically.

forward     a⁰ = x,  aˡ, cacheˡ = fˡ(aˡ⁻¹)
cost        C = 1/m Σ_i C_i(aᴸ_i, y_i)             so ∂C/∂C_i = 1/m enters once, at the output
backward    ∂C/∂aᴸ from the loss's own rule, then the δ recursion of the layers
gradient    from each layer's cache and δ
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.functions import automatic, halves

from ._layer import Layer, like

Backpropagate = Callable[..., tuple[jax.Array, Any, Any]]
"""(params, x, y, key=None) -> cost, gradients, deltas."""


def backprop(net: Layer, loss: Callable[..., jax.Array]) -> Backpropagate:
    """The δ recursion for one network and loss, with no automatic differentiation in it.

    Args:
      net: a layer, usually a `layers.chain`.
      loss: a rule of `jbackprop.rules`, or any `jax.custom_vjp` function of (output, target) with one value for each
        example; `functools.partial` may set its options.

    Returns:
      A function (params, x, y, key=None) -> (cost, gradients, deltas):
        cost: the mean of the loss over the batch.
        gradients: a tree like params.
        deltas: a tree like the network, δˡ = ∂C/∂zˡ for every layer that has parameters, shaped as its pre-activation;
          () for the others.

    Raises:
      TypeError: the loss has no backward pass of its own.

    Source: D. E. Rumelhart, G. E. Hinton, R. J. Williams, Nature 323, 1986, equations 4 to 7.
    """
    loss_forward, loss_backward = halves(loss, "backprop: loss")

    def backpropagate(params, x, y, key=None):
        output, cache = net.forward(params, x, key)
        values, residuals = loss_forward(output, y)
        _check_values(values)
        d_output, *_ = loss_backward(residuals, jnp.full_like(values, 1 / values.size))
        _, deltas = net.backward(params, cache, d_output)
        return values.mean(), like(net.gradient(params, cache, deltas), params), deltas

    return backpropagate


def autodiff(net: Layer, loss: Callable[..., jax.Array]) -> Backpropagate:
    """The twin of `backprop` by JAX's automatic differentiation, every hand-written rule removed.

    The returned function has the same signature; its deltas are (), since automatic differentiation does not tell them.
    """

    @automatic
    def mean_loss(params, x, y, key):
        values = loss(net.apply(params, x, key), y)
        _check_values(values)
        return values.mean()

    def differentiate(params, x, y, key=None):
        cost, gradients = jax.value_and_grad(mean_loss)(params, x, y, key)
        return cost, gradients, ()

    return differentiate


def _check_values(values):
    if values.size == 0:
        raise ValueError(f"backprop: x, wanted at least one example, got losses {values.shape}")
