"""A look at δ inside any JAX function, a model of another library too: an identity with a sink.

    y = x        ∂C/∂x = ∂C/∂y        "∂C/∂sink" = quantity(x, ∂C/∂y)

Nothing depends on the sink, so its true gradient is 0; the backward pass hands out the quantity in its place, and
`jax.grad` by the sink returns it.  What JAX does to gradients it does to the quantity: a sink that a scan closes over
gets the sum over the steps, one that goes in with the steps gets each; `vmap` sums or keeps examples likewise.

Kept: x, where the quantity asks for it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.layers import like

Quantity = Callable[[jax.Array, jax.Array], Any]
"""(x, δ) -> an array, or a tree of them."""


def delta(x: jax.Array, delta: jax.Array) -> jax.Array:
    """δ itself."""
    return delta


@partial(jax.custom_vjp, nondiff_argnames=("quantity",))
def tap(x: jax.Array, sink: Any, quantity: Quantity = delta) -> jax.Array:
    """x, whose error signal is told to the sink.

    Args:
      x: any floating point array.
      sink: zeros, shaped as the quantity; `sink` makes them.  On an explicit mesh the quantity comes to lie as they do.
      quantity: what to tell of x and δ = ∂C/∂x, δ itself unless given.

    Raises:
      ValueError: the sink is not shaped as the quantity.

    Example: the squares of the error signal behind each of three steps.

      >>> import jax, jax.numpy as jnp
      >>> from jbackprop.signals import sink, tap
      >>> square = lambda x, delta: jnp.sum(delta**2)
      >>> def cost(x, sinks):
      ...     def step(h, into):
      ...         return tap(jnp.tanh(2 * h), into, square), None
      ...     return jax.lax.scan(step, x, sinks)[0].sum()
      >>> x = jnp.array([0.3, -0.2])
      >>> sinks = jnp.zeros((3, *sink(square, x).shape))
      >>> jax.grad(cost, argnums=1)(x, sinks).shape
      (3,)
    """
    return _tap_fwd(x, sink, quantity)[0]


def _tap_fwd(x, sink, quantity):
    _check(x, sink, quantity)
    return x, (x, sink)


def _tap_bwd(quantity, residuals, dy):
    x, sink = residuals
    return dy, like(quantity(x, dy), sink)


tap.defvjp(_tap_fwd, _tap_bwd)


def sink(quantity: Quantity, x: jax.Array) -> Any:
    """Zeros, shaped as a quantity of x, and on an explicit mesh spread as it is, for `tap`."""
    return jax.tree.map(jnp.zeros_like, jax.eval_shape(quantity, x, x))


def _check(x, sink, quantity):
    wanted, got = (jax.tree.map(jnp.shape, tree) for tree in (jax.eval_shape(quantity, x, x), sink))
    if wanted != got:
        raise ValueError(f"tap: sink, wanted the shape of the quantity, {wanted}, got {got}")
