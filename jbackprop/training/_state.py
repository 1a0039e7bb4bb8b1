"""What training carries from step to step, and what a step tells."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop.layers import Params, norm
from jbackprop.rules import check_key


class State(NamedTuple):
    """Where training stands.

    Attributes:
      params: the network's parameters.
      optimizer: the optimizer's state.
      step: how many steps were taken.
      key: what the network draws its random numbers from, a new key for each step.
      statistics: running averages of the batches' statistics, a tree like params; () where there are none.
      loss_scale: a `LossScale` where half precision finds its own; () otherwise.
    """

    params: Params
    optimizer: Any
    step: jax.Array
    key: jax.Array
    statistics: Any
    loss_scale: Any = ()


class Metrics(NamedTuple):
    """What a step tells; after an epoch every array has a leading axis of steps.

    Attributes:
      cost: the mean loss over the batch, before the step.
      delta_norms: ‖δˡ‖ over the whole batch, a tree like the deltas, of a stack one for each block; () for automatic
        gradients.
      gradient_norms: ‖∂C/∂p‖ of each parameter, a tree like the parameters.
      step: how many steps had been taken before.
      updates: 0 for each parameter that its update leaves finite, NaN for another, a tree like the parameters.
      loss_scale: what the loss was multiplied by, where half precision finds that itself; () otherwise.
    """

    cost: jax.Array
    delta_norms: Any
    gradient_norms: Any
    step: jax.Array
    updates: Any = ()
    loss_scale: Any = ()


def init(
    params: Params, optimizer: optax.GradientTransformation, key: jax.Array | None = None, statistics: Any = ()
) -> State:
    """The state before the first step, with arrays of its own: the steps donate them and leave params alone.

    Args:
      params: the network's parameters.
      optimizer: any optax optimizer.
      key: for dropout and its like; `jax.random.key(0)` unless given.
      statistics: running averages to go on from, such as `layers.initial_statistics`; means of 0 and variances of 1
        where the network wants some and none are given.

    Raises:
      TypeError: optimizer is none, or key is not one key.
    """
    check_optimizer("init", optimizer)
    key = jax.random.key(0) if key is None else key
    check_key("init", key)
    state = State(params, optimizer.init(params), jnp.zeros((), jnp.int32), key, statistics)
    return jax.tree.map(_copied, state)


def _copied(array):
    """Of no weak type, for a step leaves none."""
    return jnp.array(array, jnp.result_type(array))


def check_optimizer(who: str, optimizer: Any) -> None:
    """Raises TypeError unless it is one of optax, or made as they are."""
    if not callable(getattr(optimizer, "init", None)) or not callable(getattr(optimizer, "update", None)):
        raise TypeError(f"{who}: optimizer, wanted one of optax, got {optimizer!r}")


def norms(tree):
    """The Euclidean norm of each array."""
    return jax.tree.map(norm, tree)


def lost(params):
    """0 for each array whose entries are all finite, NaN for another."""
    return jax.tree.map(lambda array: jnp.where(jnp.isfinite(array).all(), 0.0, jnp.nan), params)
