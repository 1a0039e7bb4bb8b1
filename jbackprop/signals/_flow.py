"""How the error signals come through the layers: where they vanish, explode, are blocked, or stop being finite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.layers import Params, norm


class Flow(NamedTuple):
    """One number for each array, in trees like the deltas and like the parameters.

    Attributes:
      deltas: ‖δˡ‖, over the whole batch.
      zeros: the share of δˡ that is exactly 0, such as behind a relu that is off.
      dead: the share of units whose δ is 0 for every example and position; in a stack, in every block besides.
      gradients: ‖∂C/∂p‖.
      ratios: ‖update‖ / ‖p‖, how far a step moves a parameter for its size; infinite where the parameter is all zeros,
        0 where the update is.
    """

    deltas: Any
    zeros: Any
    dead: Any
    gradients: Params
    ratios: Params


def gradient_flow(params: Params, gradients: Params, deltas: Any, updates: Params | None = None) -> Flow:
    """What a look at one backward pass shows of every layer; for `jax.jit`, and cheap beside that pass.

    Args:
      params: the network's parameters.
      gradients: of `jbackprop.backprop`.
      deltas: of the same.
      updates: what the optimizer adds to the parameters; the gradients themselves unless given.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> import jbackprop as jb
      >>> net = jb.layers.chain(*[jb.layers.linear(8), jb.layers.sigmoid()] * 9, jb.layers.linear(3))
      >>> params, _ = net.init(jax.random.key(0), (5,))
      >>> backpropagate = jb.backprop(net, jb.rules.softmax_cross_entropy)
      >>> cost, gradients, deltas = backpropagate(params, jnp.ones((2, 5)), jnp.array([0, 2]))
      >>> flow = jb.signals.gradient_flow(params, gradients, deltas)
      >>> bool(flow.deltas[0] < 1e-3 * flow.deltas[-1])     # nine sigmoids later
      True
    """
    moved = gradients if updates is None else updates
    return Flow(
        deltas=jax.tree.map(norm, deltas),
        zeros=jax.tree.map(lambda delta: (delta == 0).mean(), deltas),
        dead=jax.tree.map(lambda delta: (delta == 0).all(tuple(range(delta.ndim - 1))).mean(), deltas),
        gradients=jax.tree.map(norm, gradients),
        ratios=jax.tree.map(_ratio, moved, params),
    )


def _ratio(update, param):
    moved = norm(update)
    return jnp.where(moved == 0, 0, moved / norm(param))


def first_non_finite(deltas: Any) -> str | None:
    """The place of the first δ, going backward from the output, that is not all finite; None where every one is.

    Args:
      deltas: a tree like the network, known numbers: not under `jax.jit`.
    """
    for path, delta in reversed(jax.tree_util.tree_leaves_with_path(deltas)):
        if not jnp.isfinite(delta).all():
            return jax.tree_util.keystr(path, simple=True, separator=".")
    return None
