"""One forward and one backward pass, and what every parameter gets of it in its factors."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.layers import Layer, Loss, Params, check_named, check_net_and_loss, rebuilt

from ._per_example import APART


class Signals(NamedTuple):
    """What one forward and one backward pass tell of each example's own cost.

    Attributes:
      losses: C_i, (examples,).
      output: of the network.
      deltas: a tree like the network, ∂C_i/∂z; () where there are no parameters.
      factors: a tree like the parameters, of factored gradients.
    """

    losses: jax.Array
    output: Any
    deltas: Any
    factors: Any


@dataclasses.dataclass(frozen=True)
class Factored:
    """(params, x, y, key=None) -> `Signals`; `factored_gradient` makes it.

    Attributes:
      net: the network.
      loss: (output, target) -> one value for each example.
      name: of the function that says what is wrong.
    """

    net: Layer
    loss: Loss
    name: str = "factored_gradient"

    def __call__(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Signals:
        """The signals of a batch; x and y may be trees of arrays, examples first."""
        output, cache = self.net.forward(params, x, key)
        losses, pull = jax.vjp(lambda output: self.loss(output, y), output)
        self._check(losses, jax.tree.leaves(x)[0])
        _, deltas = self.net.backward(params, cache, pull(jnp.ones_like(losses))[0])
        factors = self.net.factors(params, cache, deltas)
        check_named(f"{self.name}: net", factors, params)
        return Signals(losses, output, deltas, factors)

    def _check(self, losses, x):
        if losses.shape != x.shape[:1]:
            wanted = f"wanted one value for each of {len(x)} examples"
            means = "; a sum or mean over the rest makes one, such as loss(output, y).mean(axis=-1)"
            raise ValueError(
                f"{self.name}: loss, {wanted}, got values {losses.shape}{means if losses.ndim > 1 else ''}"
            )


def factored_gradient(net: Layer, loss: Loss) -> Factored:
    """The gradient of each example's own cost, named and not yet computed.

    Args:
      net: a layer, usually a `layers.chain`.
      loss: (output, target) -> C_i, one value for each example.

    Returns:
      A function (params, x, y, key=None) -> `Signals`, whose factors every quantity of this package takes.  It raises
      ValueError where the loss is not one value for each example.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
      ValueError: a layer mixes its examples.

    Example: how alike the gradients of two examples are.

      >>> import jax, jax.numpy as jnp
      >>> from jbackprop import layers, rules, signals
      >>> net = layers.chain(layers.linear(4), layers.tanh(), layers.linear(3))
      >>> params, _ = net.init(jax.random.key(0), (5,))
      >>> found = signals.factored_gradient(net, rules.softmax_cross_entropy)(params, jnp.eye(2, 5), jnp.array([0, 2]))
      >>> signals.inner_products(found.factors).shape
      (2, 2)
    """
    check_network("factored_gradient", net, loss)
    return Factored(net, loss)


def check_network(name: str, net: Layer, loss: Loss) -> None:
    """Raises what those who take a network and a loss say that they raise."""
    check_net_and_loss(name, net, loss)

    def keeps_apart(layer):
        if layer.mixes_examples:
            raise ValueError(f"{name}: {layer}, {APART}")
        return layer

    rebuilt(net, keeps_apart)
