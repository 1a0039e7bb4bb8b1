"""The backprop table: every value and gradient of a network by hand, and beside it the automatic one."""

import functools
from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.layers import Layer, check_net_and_loss

from ._both import both_ways
from ._explanation import Explanation, Order
from ._places import in_place
from ._row import Block
from ._rows import blocks, cost, input_rows, of_loss

Explain = Callable[..., Explanation]
"""(params, x, y, key=None) -> the table."""


def explain(net: Layer, loss: Callable[..., jax.Array], order: Order = "layers") -> Explain:
    """The backprop table of a network: for each layer its output, ∂C/∂output, δ and ∂C/∂params, by hand and by JAX.

    The automatic values are those of `jax.vjp` of each layer's `apply` without any rule; they owe nothing to a layer's
    `backward` or `gradient`.  So the first row that differs, in the order of computation, is where the fault is:
    `Explanation.first_difference`.  A chain and the other combinators of `jbackprop.layers` are shown layer by layer,
    at any depth, and behind its parts what a combinator makes of them; any other layer is one block.

    Layers are numbered as in the equations: layer l begins with the lth that has parameters.  "part 1.0" says where in
    the network it stands, counted from 0, as in its parameters.

    Args:
      net: a layer, usually a `layers.chain`.
      loss: as for `backprop`, a function of (output, target).
      order: in which the rows are printed and saved: "layers", each layer's values and gradients together; or
        "computation", forward from the input to the cost and then backward, under the function that computes them.

    Returns:
      A function (params, x, y, key=None) -> `Explanation`.

    Raises:
      TypeError: net is not a layer, or the loss is not a function.
      ValueError: there is no such order; the function raises it for more than 400 layers.

    Example:
      >>> import jax.numpy as jnp
      >>> import jbackprop as jb
      >>> from jbackprop import layers
      >>> from jbackprop import rules
      >>> net = layers.chain(layers.linear(2, bias=False), layers.relu())
      >>> params = ({"w": jnp.array([[1.0, -1.0]])}, ())
      >>> table = jb.explain(net, rules.squared_error)(params, jnp.array([[3.0]]), jnp.array([[1.0, 0.0]]))
      >>> for row in table.rows:
      ...     print(f"{row.symbol:11} = {row.equation}: {row.value}, {row.verdict.text}")
      z¹          = x W¹: [[ 3. -3.]], exact
      a¹          = relu(z¹): [[3. 0.]], exact
      C           = 1/m Σ squared_error(a¹, y): 2.0, exact
      ∂C/∂a¹      = (a¹ − y) / m: [[2. 0.]], exact
      δ¹ = ∂C/∂z¹ = ∂C/∂a¹ ⊙ relu′(z¹): [[2. 0.]], exact
      ∂C/∂W¹      = xᵀ δ¹: [[6. 0.]], exact
      ∂C/∂x       = δ¹ W¹ᵀ: [[2.]], exact
    """
    check_net_and_loss("explain", net, loss)
    if order not in get_args(Order):
        raise ValueError(f"explain: order, wanted one of {', '.join(get_args(Order))}, got {order!r}")

    def explained(params: Any, x: Any, y: Any, key: jax.Array | None = None) -> Explanation:
        x, y = jax.tree.map(jnp.asarray, (x, y))
        steps = in_place(net, params, key)
        _check_depth(steps)
        found = _found(net, loss)(params, x, y, key)
        _check_targets(loss, found.hand, y)
        return _tabled(steps, loss, x, found, order)

    return explained


_DEEPEST = 400
"""So many layers are told to rounding: deeper, float32 cannot tell a fault from what has come together."""


def _check_depth(steps):
    count = _depth(steps)
    if count > _DEEPEST:
        raise ValueError(f"explain: net, wanted at most {_DEEPEST} layers, got {count}; explain a part of them")


def _depth(steps):
    """How many layers there are, those inside combinators too."""
    return sum(1 + sum(map(_depth, step.parts)) for step in steps)


def _found(net, loss):
    """Both ways through a network, compiled once for equal networks and the same loss."""
    try:
        return _compiled(net, loss)
    except TypeError:  # a layer of somebody's own that has no hash
        return _compiled.__wrapped__(net, loss)


@functools.lru_cache(maxsize=32)
def _compiled(net, loss):
    return jax.jit(lambda params, x, y, key: both_ways(in_place(net, params, key), loss, x, y))


def _check_targets(loss, hand, y):
    """A loss may refuse targets when it can see them, which under `jit` it could not."""
    if not np.isfinite(hand.values).all():
        loss(hand.layers[-1].y, y)


def _tabled(steps, loss, x, found, order) -> Explanation:
    length = _longest(x, steps, found.twin)
    return Explanation(
        x=x,
        input=Block("input", tuple(input_rows(steps[0], found, length))),
        layers=tuple(blocks(steps, found, of_loss(loss, steps[-1]), length)),
        cost=Block("cost", (cost(loss, steps[-1], found, length),)),
        examples=found.hand.values.size,
        batch_axes=found.hand.values.ndim,
        loss=loss,
        order=order,
    )


def _longest(x, steps, twin):
    """The size of the largest array in sight: no sum is longer."""
    arrays = jax.tree.leaves((x, [step.params for step in steps], [layer.y for layer in twin.layers]))
    return max(1, *(np.size(array) for array in arrays))
