"""A network that tells a quantity of each δ in place of δ.

δ of every layer is as large as all activations.  Who wants a number of each, such as its norm, asks for it where δ is:
in a stack within the scan, in a checkpoint before the next part is computed again.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._branches import Residual
from ._chain import Several
from ._checkpoint import Checkpoint
from ._evaluation import with_parts
from ._layer import Layer, Params, Shape, Swept, check_layer
from ._reversible import Reversible
from ._shared import Shared
from ._stack import Stack

_TRANSPARENT = (Several, Residual, Checkpoint, Shared, Stack, Reversible)
"""Layers of layers whose δ is that of their parts."""


@dataclasses.dataclass(frozen=True, repr=False)
class Watched(Layer):
    """A layer that tells a quantity of its δ; `watched` makes it.

    Attributes:
      inner: the layer, whose parameters are those of the whole.
      quantity: of δ.
    """

    inner: Layer
    quantity: Callable[[Any], Any]

    @property
    def mixes_examples(self) -> bool:
        """The layer's."""
        return self.inner.mixes_examples

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of the layer."""
        return self.inner.init(key, shape)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The layer's."""
        return self.inner.forward(params, x, key)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The layer's, δ itself, for `factors` wants it."""
        return self.inner.backward(params, cache, dy)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The layer's, with the quantity of δ."""
        dx, delta, gradients = self.inner.backpropagate(params, cache, dy)
        return dx, jax.tree.map(self.quantity, delta), gradients

    @property
    def sweeps(self) -> bool:
        """Whether the layer does."""
        return self.inner.sweeps

    def sweep(self, params: Params, x: Any, dy: Any, key: jax.Array | None = None) -> Swept:
        """The layer's, with the quantity of δ."""
        swept = self.inner.sweep(params, x, dy, key)
        return swept._replace(delta=jax.tree.map(self.quantity, swept.delta))

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The layer's."""
        return self.inner.factors(params, cache, delta)

    def statistics(self, params: Params, cache: Any) -> Any:
        """The layer's."""
        return self.inner.statistics(params, cache)


def watched(net: Layer, quantity: Callable[[Any], Any]) -> Layer:
    """The network, in whose `backpropagate` each array of δ becomes a quantity of it; in a stack, one for each block.

    Args:
      net: a network.
      quantity: of an array of δ, such as `jnp.linalg.norm`.

    Example: the norm of each block's δ, while δ itself is kept by none.

      >>> import jax, jax.numpy as jnp
      >>> import jbackprop as jb
      >>> from jbackprop import layers, rules
      >>> net = layers.chain(layers.stack(layers.residual(layers.linear(4), layers.tanh()), 6), layers.linear(3))
      >>> params, _ = net.init(jax.random.key(0), (4,))
      >>> told = jb.backprop(layers.watched(net, jnp.linalg.norm), rules.squared_error)
      >>> _, _, norms = told(params, jnp.ones((5, 4)), jnp.ones((5, 3)))
      >>> jax.tree.map(jnp.shape, norms)
      (((6,), ()), ())
    """
    check_layer("watched", net=net)
    if not isinstance(net, _TRANSPARENT):
        return Watched(net, quantity)
    return with_parts(net, lambda part: watched(part, quantity))


def norm(array: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The Euclidean norm, in float32 at least; over the largest entry, no square overflows or vanishes."""
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    largest = jnp.abs(array).max(axis, initial=0, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1)
    return jnp.squeeze(scale, axis) * jnp.sqrt(jnp.square(jnp.abs(array / scale)).sum(axis))
