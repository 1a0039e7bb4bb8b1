"""The cost of a network on a batch, its gradients and its error signals, by hand and automatically.

forward     a⁰ = x,  aˡ, cacheˡ = fˡ(aˡ⁻¹)
cost        C = 1/m Σ_i C_i(aᴸ_i, y_i)             so ∂C/∂C_i = 1/m enters once, at the output
backward    ∂C/∂aᴸ from the loss's own rule, then the δ recursion of the layers
gradient    from each layer's cache and δ
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.functions import automatic, halves

from ._layer import Layer, Params, check_layer
from ._watched import norm, watched

Loss = Callable[..., jax.Array]
"""(output, target) -> one value for each example."""


class Pass(NamedTuple):
    """What one forward and one backward pass tell.

    Attributes:
      cost: the mean of the loss over the batch.
      gradients: a tree like the parameters.
      deltas: a tree like the network, δˡ = ∂C/∂zˡ for every layer that has parameters; () where nobody tells.
      statistics: of the batch, for running averages, a tree like the parameters.
    """

    cost: jax.Array
    gradients: Params
    deltas: Any
    statistics: Any


@dataclasses.dataclass(frozen=True)
class Backpropagate:
    """(params, x, y, key=None) -> cost, gradients, deltas, for one network and loss; `backprop` makes it.

    Attributes:
      net: the network.
      loss: (output, target) -> one value for each example.
    """

    net: Layer
    loss: Loss

    def __call__(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> tuple[jax.Array, Params, Any]:
        """Cost, gradients and deltas of a batch; x and y may be trees of arrays."""
        return self.whole(params, x, y, key)[:3]

    def whole(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Pass:
        """The same with the batch's statistics."""
        weights = known_weights(self.net, self.loss, params, x, y, key) if self.net.sweeps else None
        if weights is not None:
            output, _, deltas, gradients, statistics = self.net.sweep(params, x, weights, key)
            return Pass(self.loss(output, y).mean(), gradients, deltas, statistics)
        output, cache = self.net.forward(params, x, key)
        values, d_output = loss_and_signal(self.loss, output, y)
        _, deltas, gradients = self.net.backpropagate(params, cache, d_output)
        return Pass(values.mean(), gradients, deltas, self.net.statistics(params, cache))

    @property
    def averages(self) -> bool:
        """Whether its gradients are means over the examples."""
        return True

    def scaled(self, loss: Loss, scale: Any) -> "Backpropagate":
        """The same of a loss that is this one times scale, for half precision."""
        return dataclasses.replace(self, loss=loss)

    def telling_norms(self) -> "Backpropagate":
        """The same, with ‖δ‖ in place of each δ, which then outlives none: of a stack, one for each block."""
        return dataclasses.replace(self, net=watched(self.net, norm))


class Autodiff(Backpropagate):
    """The same cost and gradients by JAX, which tells no deltas; `autodiff` makes it."""

    def telling_norms(self) -> "Autodiff":
        """Itself."""
        return self

    def whole(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Pass:
        """Cost, gradients and the batch's statistics; deltas are ()."""

        @automatic
        def mean_loss(params, x, y, key):
            output, cache = self.net.forward(params, x, key)
            values = self.loss(output, y)
            _check_values(values)
            return values.mean(), self.net.statistics(params, cache)

        (cost, statistics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(params, x, y, key)
        return Pass(cost, gradients, (), statistics)


def backprop(net: Layer, loss: Loss) -> Backpropagate:
    """The δ recursion for one network and loss, with no automatic differentiation in it.

    Args:
      net: a layer, usually a `layers.chain`.
      loss: (output, target) -> one value for each example.  A rule of `jbackprop.rules`, or any `jax.custom_vjp`
        function, is gone backward through by its own halves; `functools.partial` may set its options.  Of any other
        function alone, `jax.vjp` finds ∂C/∂output.

    Returns:
      A function (params, x, y, key=None) -> (cost, gradients, deltas):
        cost: the mean of the loss over the batch.
        gradients: a tree like params.
        deltas: a tree like the network, δˡ = ∂C/∂zˡ for every layer that has parameters, shaped as its pre-activation;
          () for the others.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.

    Source: D. E. Rumelhart, G. E. Hinton, R. J. Williams, Nature 323, 1986, equations 4 to 7.
    """
    check_net_and_loss("backprop", net, loss)
    return Backpropagate(net, loss)


def autodiff(net: Layer, loss: Loss) -> Backpropagate:
    """The twin of `backprop` by JAX's automatic differentiation, every hand-written rule removed.

    The returned function has the same signature; its deltas are (), since automatic differentiation does not tell them.
    """
    check_net_and_loss("autodiff", net, loss)
    return Autodiff(net, loss)


def loss_and_signal(loss: Loss, output: Any, y: Any) -> tuple[jax.Array, Any]:
    """The loss of each example, and ∂C/∂output of their mean."""
    if not isinstance(loss.func if isinstance(loss, functools.partial) else loss, jax.custom_vjp):
        values, pull = jax.vjp(lambda output: loss(output, y), output)
        _check_values(values)
        return values, pull(jnp.full_like(values, 1 / values.size))[0]
    rule = halves(loss, "backprop: loss")
    values, residuals = rule.forward(output, y)
    _check_values(values)
    return values, rule.backward(residuals, jnp.full_like(values, 1 / values.size))[0]


def known_weights(net: Layer, loss: Loss, params: Params, x: Any, y: Any, key: jax.Array | None) -> Any:
    """∂C/∂output where the loss is linear in the output, so that it is known before that; else None."""
    output, _ = jax.eval_shape(net.forward, params, x, key)
    values = jax.eval_shape(loss, output, y)
    _check_values(values)
    try:
        pull = jax.linear_transpose(lambda output: loss(output, y), output)
        return pull(jnp.full(values.shape, 1 / values.size, values.dtype))[0]
    except (AssertionError, NotImplementedError, TypeError):  # what JAX says of what it cannot transpose
        return None


def check_net_and_loss(maker: str, net: Layer, loss: Loss) -> None:
    """Raises TypeError unless one is a Layer and the other a function."""
    check_layer(maker, net=net)
    if not callable(loss):
        raise TypeError(f"{maker}: loss, wanted a function of (output, target), got {loss!r}")


def _check_values(values):
    if values.size == 0:
        raise ValueError(f"backprop: x, wanted at least one example, got losses {values.shape}")
