"""‖∂C_i/∂p‖² of each example: of a parameter, of a layer, or of the whole network."""

from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.layers import Stacked, Uses
from jbackprop.rules import Factored

from ._dot import dot, of_two, sum_of, uses
from ._per_example import leaves


def squared_norm(factors: Any) -> jax.Array:
    """‖g_i‖² of each example i, in closed form or from the gradients, whichever the shapes make cheaper.

    A parameter that is used several times has its cross terms in it.

    Args:
      factors: a factored gradient, or a tree of them; then the sum over all parameters.

    Returns:
      (examples,), in float32 at least.

    Raises:
      ValueError: one mixes its examples, or there is none.

    Example: of each parameter, and of the whole network.

      >>> import jax, jax.numpy as jnp
      >>> from jbackprop import layers, signals
      >>> net = layers.chain(layers.linear(4), layers.tanh(), layers.linear(3))
      >>> params, _ = net.init(jax.random.key(0), (5,))
      >>> y, cache = net.forward(params, jnp.ones((2, 5)))
      >>> dx, deltas = net.backward(params, cache, jnp.ones_like(y))
      >>> signals.squared_norm(net.factors(params, cache, deltas)).shape
      (2,)
      >>> jax.tree.map(jnp.shape, net.gradient(params, cache, deltas, signals.squared_norm))
      ({'b': (2,), 'w': (2,)}, (), {'b': (2,), 'w': (2,)})
    """
    each = leaves("squared_norm", factors)
    if not each:
        raise ValueError("squared_norm: factors, wanted at least one factored gradient, got none")
    return jnp.maximum(sum_of(list(map(_squared_norm, each))), 0)  # of terms that cancel a rounding may be left


def _squared_norm(factored: Factored) -> jax.Array:
    match factored:
        case Stacked():
            return jax.lax.map(_squared_norm, factored.blocks()).sum(0)
        case Uses():
            return _of_uses(uses(factored))
        case _:
            return of_two(factored, factored)


def _of_uses(each):
    """‖Σ_u g_u‖² = Σ_u ‖g_u‖² + 2 Σ_{u<v} ⟨g_u, g_v⟩."""
    squares = [_squared_norm(use) for use in each]
    cross = [2 * dot(one, other) for i, one in enumerate(each) for other in each[i + 1 :]]
    return sum_of([*squares, *cross])
