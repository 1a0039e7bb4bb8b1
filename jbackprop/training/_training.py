"""Gradient descent on any optax optimizer: one jitted step, or an epoch of them as one scan.

    W ← W − η ∂C/∂W        with the gradients of `jbackprop.backprop` or of `jbackprop.autodiff`, and optax's update

Full-batch, mini-batch and stochastic descent are one argument, `batch_size`.  Clipping and weight decay are optax's:
`optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))`.

A step whose cost, gradients or δ are not all finite is not taken, nor is any after it in the epoch: the state stays at
the last good step, so nothing is lost, and `check_finite` raises the error that names the step and the layer.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop.layers import Backpropagate, Params


class State(NamedTuple):
    """Where training stands.

    Attributes:
      params: the network's parameters.
      optimizer: the optimizer's state.
      step: how many steps were taken.
    """

    params: Params
    optimizer: Any
    step: jax.Array


class Metrics(NamedTuple):
    """What a step tells; after an epoch every array has a leading axis of steps.

    Attributes:
      cost: the mean loss over the batch, before the step.
      delta_norms: ‖δˡ‖ over the whole batch, a tree like the deltas; () for automatic gradients.
      gradient_norms: ‖∂C/∂p‖ of each parameter, a tree like the parameters.
      step: how many steps had been taken before.
    """

    cost: jax.Array
    delta_norms: Any
    gradient_norms: Any
    step: jax.Array


class NonFiniteError(FloatingPointError):
    """Training met a NaN or an infinity; the message names the step and the layer."""


def init(params: Params, optimizer: optax.GradientTransformation) -> State:
    """The state before the first step, with arrays of its own: the steps donate them and leave params alone."""
    state = State(params, optimizer.init(params), jnp.zeros((), jnp.int32))
    return jax.tree.map(jnp.copy, state)


def step(backpropagate: Backpropagate, optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    """One descent step, jitted; the state's buffers are donated, so keep only the state that it returns.

    Args:
      backpropagate: (params, x, y) -> cost, gradients, deltas, from `jbackprop.backprop` or `jbackprop.autodiff`.
      optimizer: any optax optimizer.

    Returns:
      (state, x, y) -> (state, metrics).
    """
    take_step = _step(backpropagate, optimizer)

    def run(state, x, y):
        taken, metrics = take_step(state, x, y)
        return _chosen(_all_finite(metrics), taken, state), metrics

    return jax.jit(run, donate_argnums=0)


def epoch(
    backpropagate: Backpropagate,
    optimizer: optax.GradientTransformation,
    batch_size: int | None = None,
) -> jax.stages.Wrapped:
    """One pass over the examples in a fresh random order, as one jitted scan over data that stays on the device.

    Args:
      backpropagate: as for `step`.
      optimizer: as for `step`.
      batch_size: examples a step: None for all of them (full-batch descent), 1 for stochastic descent, any number
        between for mini-batches.  What is left over by the last full batch sits this epoch out.

    Returns:
      (state, key, x, y) -> (state, metrics), the state donated, each metric with a leading axis of steps.  It raises
      ValueError where x and y differ in length, or hold fewer examples than a batch.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"epoch: batch_size, wanted a positive number or None, got {batch_size}")
    take_step = _step(backpropagate, optimizer)

    def run(state, key, x, y):
        def next_step(carry, rows):
            state, going = carry
            taken, metrics = take_step(state, x[rows], y[rows])
            going = going & _all_finite(metrics)
            return (_chosen(going, taken, state), going), metrics

        batches = _batches(key, _examples(x, y), batch_size)
        (state, _), metrics = jax.lax.scan(next_step, (state, jnp.array(True)), batches)
        return state, metrics

    return jax.jit(run, donate_argnums=0)


def check_finite(metrics: Metrics) -> None:
    """Raises NonFiniteError at the first step whose cost, δ or gradients were not finite.

    It names that step and, going backward from the output, the first layer whose δ is not finite; where every δ is
    finite, or there is none, the first parameter whose gradient is not.

    Args:
      metrics: of one step or of an epoch.
    """
    steps = jax.tree.map(jnp.atleast_1d, metrics)
    bad = ~_all_finite(steps)
    if bad.any():
        first = int(bad.argmax())
        raise NonFiniteError(_diagnosis(jax.tree.map(lambda array: array[first], steps)))


def _diagnosis(metrics):
    message = f"step {metrics.step}: the cost is {metrics.cost}"
    for what, norms in ("δ of layer", metrics.delta_norms), ("gradient of", metrics.gradient_norms):
        bad = [path for path, norm in jax.tree_util.tree_leaves_with_path(norms) if not jnp.isfinite(norm)]
        if bad:
            name = jax.tree_util.keystr(bad[-1], simple=True, separator=".")
            return f"{message}; going backward, the {what} {name} is the first that is not finite"
    return message


def _step(backpropagate, optimizer):
    update = optax.with_extra_args_support(optimizer).update

    def take_step(state, x, y):
        cost, gradients, deltas = backpropagate(state.params, x, y)
        metrics = Metrics(cost, _norms(deltas), _norms(gradients), state.step)
        # What a line search or a plateau's schedule asks for besides; the others ignore it.
        search = {"value": cost, "grad": gradients, "value_fn": lambda params: backpropagate(params, x, y)[0]}
        updates, optimizer_state = update(gradients, state.optimizer, state.params, **search)
        taken = State(optax.apply_updates(state.params, updates), optimizer_state, state.step + 1)
        return taken, metrics

    return take_step


def _chosen(condition, tree, other):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), tree, other)


def _norms(tree):
    """The Euclidean norm of each array; scaled by the largest entry, it is finite whenever the entries are."""

    def norm(array):
        largest = jnp.abs(array).max(initial=0)
        scale = jnp.where(largest > 0, largest, 1)
        return scale * jnp.sqrt(jnp.square(array / scale).sum())

    return jax.tree.map(norm, tree)


def _all_finite(metrics):
    """Whether all metrics are finite, for each step."""
    finite = [jnp.isfinite(leaf) for leaf in jax.tree.leaves(metrics)]
    return jnp.stack(finite, axis=-1).all(axis=-1)


def _examples(x, y):
    if len(x) != len(y):
        raise ValueError(f"epoch: y, wanted {len(x)} examples (as many as x), got {len(y)}")
    return len(x)


def _batches(key, examples, batch_size):
    """The epoch's order: (steps, batch) row numbers."""
    size = max(examples, 1) if batch_size is None else batch_size
    if size > examples:
        raise ValueError(f"epoch: x, wanted at least one batch of {size} examples, got {examples}")
    steps = examples // size
    return jax.random.permutation(key, examples)[: steps * size].reshape(steps, size)
