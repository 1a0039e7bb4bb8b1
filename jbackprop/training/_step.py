"""Gradient descent on any optax optimizer: one jitted step, or an epoch of them as one scan.

    W ← W − η ∂C/∂W        with the gradients of `jbackprop.backprop` or of `jbackprop.autodiff`, and optax's update

Full-batch, mini-batch and stochastic descent are one argument, `batch_size`.  Clipping and weight decay are optax's:
`optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))`.

A network with dropout draws from the state's key, anew at every step, and one with batch normalisation leaves running
averages of its statistics in the state: `layers.evaluation(net)` takes them as (state.params, state.statistics).

A step whose cost, gradients, δ or updates are not all finite is not taken, nor is any after it in the epoch: the state
stays at the last good step, so nothing is lost, and `check_finite` raises the error that names the step and the layer.
Where half precision finds its own loss scale, an overflow makes that fall, and the epoch goes on.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jbackprop.layers import Backpropagate, Pass, like, moved, starting_statistics
from jbackprop.rules import check_key

from ._finite import all_finite, overflowed
from ._mesh import put_together, taken
from ._state import Metrics, State, check_optimizer, lost, norms
from ._taken import chosen, where_taken
from ._ways import at_scale, dynamic_scale

AVERAGING = 0.9
"""How much of a running average stays at each step."""

Gradients = Backpropagate | Callable[..., tuple[jax.Array, Any, Any]]
"""`jbackprop.backprop` or `autodiff` of a network and a loss, or any (params, x, y) -> cost, gradients, deltas."""


def step(
    backpropagate: Gradients, optimizer: optax.GradientTransformation, averaging: float = AVERAGING
) -> jax.stages.Wrapped:
    """One descent step, jitted; the state's buffers are donated, so keep only the state that it returns.

    Args:
      backpropagate: from `jbackprop.backprop` or `jbackprop.autodiff`, or any function (params, x, y) -> cost,
        gradients, deltas.
      optimizer: any optax optimizer of the parameters themselves (`optax.lookahead` wants pairs of them).
      averaging: how much of a running average of statistics stays at each step.

    Returns:
      (state, x, y) -> (state, metrics); x and y are arrays or trees of them, examples first.
    """
    check_optimizer("step", optimizer)
    take_step = _step(backpropagate, optimizer, averaging)

    def run(state, x, y):
        state, metrics, _ = take_step(with_statistics(backpropagate, state, x, y), jnp.array(True), x, y)
        return state, metrics

    return jax.jit(run, donate_argnums=0)


def epoch(
    backpropagate: Gradients,
    optimizer: optax.GradientTransformation,
    batch_size: int | None = None,
    averaging: float = AVERAGING,
) -> jax.stages.Wrapped:
    """One pass over the examples in a fresh random order, as one jitted scan over data that stays on the device.

    A pass may be taken in parts, so that a program does something else between two of them, such as to stop; one
    compiled program takes them all, whatever their lengths, and to the same bits.

    Args:
      backpropagate: as for `step`.
      optimizer: as for `step`.
      batch_size: examples a step: None for all of them (full-batch descent), 1 for stochastic descent, any number
        between for mini-batches.  What is left over by the last full batch sits this epoch out.
      averaging: as for `step`.

    Returns:
      (state, key, x, y) -> (state, metrics), the state donated, each metric with a leading axis of steps.  Called with
      (state, key, x, y, metrics, first, last) it takes only steps first to last - 1 of the pass, and puts their rows
      into metrics; a part where `check_finite` raises is the last of its pass.  It raises ValueError where x and y
      differ in length, or hold fewer examples than a batch, or metrics are those of another number of steps.

    Example: a pass of ten steps, seven of them first.

      >>> import jax, jax.numpy as jnp, optax
      >>> import jbackprop as jb
      >>> from jbackprop import layers, rules, training
      >>> net, optimizer = layers.chain(layers.linear(64), layers.tanh(), layers.linear(8)), optax.sgd(0.1)
      >>> state = training.init(net.init(jax.random.key(0), (16,))[0], optimizer)
      >>> one_pass = training.epoch(jb.backprop(net, rules.softmax_cross_entropy), optimizer, 4)
      >>> pass_of = jax.random.key(1), jnp.ones((40, 16)), jnp.zeros(40, int)
      >>> told = jax.eval_shape(one_pass, state, *pass_of)[1]
      >>> metrics = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), told)
      >>> state, metrics = one_pass(state, *pass_of, metrics, 0, 7)
      >>> state, metrics = one_pass(state, *pass_of, metrics, 7, 10)
      >>> int(state.step)
      10
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"epoch: batch_size, wanted a positive number or None, got {batch_size}")
    check_optimizer("epoch", optimizer)
    take_step = jax.jit(_step(backpropagate, optimizer, averaging))  # traced once for the whole and for parts

    def run(state, key, x, y, metrics=None, first=0, last=None):
        check_key("epoch", key)
        batches = _batches(key, _examples(x, y), batch_size)

        def batch(rows):
            return jax.tree.map(lambda array: taken(array, rows), (x, y))

        def next_step(carry, rows):
            state, going = carry
            state, metrics, going = take_step(state, going, *batch(rows))
            return (state, going), metrics

        start = with_statistics(backpropagate, state, *batch(batches[0])), jnp.array(True)
        if metrics is None:
            (state, _), metrics = jax.lax.scan(next_step, start, batches)
        else:
            (state, _), metrics = _part(next_step, start, batches, metrics, first, last)
        return state, metrics

    return jax.jit(run, donate_argnums=0)


def _part(next_step, start, batches, metrics, first, last):
    """What a scan over the batches makes of those from first to last - 1, and the metrics with their rows."""
    _check_rows(metrics, len(batches))
    last = len(batches) if last is None else jnp.minimum(last, len(batches))

    def take(i, carry):
        carry, metrics = carry
        carry, own = next_step(carry, batches[i])
        return carry, jax.tree.map(lambda rows, row: rows.at[i].set(row), metrics, own)

    return jax.lax.fori_loop(first, last, take, (start, metrics))


def with_statistics(backpropagate: Gradients, state: State, x: Any, y: Any) -> State:
    """The state with running averages to start from, where the network wants some and there are none yet.

    So with a loss scale that half precision finds.  `step` and `epoch` do so by themselves; before the first of them
    one needs it to read a state back from a file.

    Args:
      backpropagate: as for `step`.
      state: of `init`.
      x: inputs, or their shapes and dtypes.
      y: targets, or the same of them.

    Raises:
      TypeError: state is none.
    """
    if not isinstance(state, State):
        raise TypeError(f"training: state, wanted a State, as init makes it, got {type(state).__name__}")
    dynamic = dynamic_scale(backpropagate)
    if dynamic is not None and not state.loss_scale:
        state = state._replace(loss_scale=dynamic.first())
    if state.statistics or not isinstance(backpropagate, Backpropagate):
        return state
    found = jax.eval_shape(backpropagate.whole, put_together(state.params), x, y, state.key).statistics
    return state._replace(statistics=starting_statistics(found)) if jax.tree.leaves(found) else state


def _step(backpropagate, optimizer, averaging):
    """(state, going, x, y) -> the next state, metrics, whether an epoch goes on; where it does not, nothing moves."""
    dynamic = dynamic_scale(backpropagate)
    update = optax.with_extra_args_support(optimizer).update
    tells_norms = isinstance(backpropagate, Backpropagate)
    if tells_norms:
        backpropagate = backpropagate.telling_norms()

    def take_step(state, going, x, y):
        key = jax.random.fold_in(state.key, state.step)
        way = at_scale(backpropagate, state.loss_scale)
        found = _passed(way, put_together(state.params), x, y, key)
        found = found._replace(gradients=jax.tree.map(_descent, like(found.gradients, state.params)))

        @jax.jit
        def move(found, state):
            # What a line search or a plateau's schedule asks for besides; the others ignore it.
            search = {"value": found.cost, "grad": found.gradients}
            search["value_fn"] = lambda params: _passed(way, put_together(params), x, y, key).cost
            updates, optimizer_state = update(found.gradients, state.optimizer, state.params, **search)
            statistics = moved(state.statistics, found.statistics, averaging) if state.statistics else state.statistics
            params = optax.apply_updates(state.params, updates)
            return state._replace(params=params, optimizer=optimizer_state, step=state.step + 1, statistics=statistics)

        delta_norms = found.deltas if tells_norms else norms(found.deltas)
        scale = state.loss_scale.scale if state.loss_scale else ()
        found = found._replace(deltas=())  # a move needs none, and none is to outlive the backward pass
        after = move(found, state)
        metrics = Metrics(found.cost, delta_norms, norms(found.gradients), state.step, lost(after.params), scale)
        finite = all_finite(metrics)
        state = where_taken(going & finite, move, found, state, after)
        if dynamic is not None:
            scale = chosen(going, dynamic.after(state.loss_scale, finite), state.loss_scale)
            state = state._replace(loss_scale=scale)
        return state, metrics, going & (finite | overflowed(metrics))

    return take_step


def _passed(backpropagate, params, x, y, key) -> Pass:
    if isinstance(backpropagate, Backpropagate):
        return backpropagate.whole(params, x, y, key)
    cost, gradients, deltas = backpropagate(params, x, y)
    return Pass(cost, gradients, deltas, ())


def _descent(gradient):
    """What an optimizer subtracts: of a complex parameter ∂C/∂x + i ∂C/∂y, where a gradient is ∂C/∂x − i ∂C/∂y."""
    return gradient.conj() if jnp.iscomplexobj(gradient) else gradient


def _examples(x, y):
    """How many examples x and y hold, which must be as many in each of their arrays."""
    (wanted, *others), targets = map(lambda tree: [len(leaf) for leaf in jax.tree.leaves(tree)], (x, y))
    for name, lengths in (("x", others), ("y", targets)):
        for length in lengths:
            if length != wanted:
                raise ValueError(f"epoch: {name}, wanted {wanted} examples (as many as x), got {length}")
    return wanted


def _check_rows(metrics, steps):
    for shape in map(jnp.shape, jax.tree.leaves(metrics)):
        if shape[:1] != (steps,):
            raise ValueError(f"epoch: metrics, wanted a row for each of {steps} steps, got an array of shape {shape}")


def _batches(key, examples, batch_size):
    """The epoch's order: (steps, batch) row numbers."""
    size = max(examples, 1) if batch_size is None else batch_size
    if size > examples:
        raise ValueError(f"epoch: x, wanted at least one batch of {size} examples, got {examples}")
    steps = examples // size
    return jax.random.permutation(key, examples)[: steps * size].reshape(steps, size)
