"""The backprop table: every value and gradient of a network by hand, and beside it the automatic one."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import rules
from jbackprop.layers import Layer, like

from . import _symbols
from ._delta import automatic_delta, gather
from ._explanation import Explanation
from ._passes import Pass, Step, automatically, by_hand, in_place, leaves
from ._row import Block, Role, Row, agree, judge
from ._symbols import Symbols, d, symbols

Explain = Callable[..., Explanation]
"""(params, x, y, key=None) -> the table."""

_LOSSES: dict[Any, str] = {
    rules.squared_error: "({y} − y) / m",
    rules.sigmoid_cross_entropy: "(sigmoid({y}) − y) / m",
    rules.softmax_cross_entropy: "(softmax({y}) − y) / m",
}
"""∂C/∂ of the network's output."""


def explain(net: Layer, loss: Callable[..., jax.Array]) -> Explain:
    """The backprop table of a network: for each layer its output, ∂C/∂output, δ and ∂C/∂params, by hand and by JAX.

    The automatic values are those of `jax.vjp` of each layer's `apply` without any rule; they owe nothing to a layer's
    `backward` or `gradient`.  So the first row that differs, in the order of computation, is where the fault is:
    `Explanation.first_difference`.  A chain is shown layer by layer, at any depth; any other layer, a combinator too,
    is one block.

    Args:
      net: a layer, usually a `layers.chain`.
      loss: as for `backprop`, a function of (output, target).

    Returns:
      A function (params, x, y, key=None) -> `Explanation`.

    Raises:
      TypeError: net is not a layer, or the loss is not a function.

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
    if not isinstance(net, Layer):
        raise TypeError(f"explain: net, wanted a Layer, got {net!r}")
    if not callable(loss):
        raise TypeError(f"explain: loss, wanted a function of (output, target), got {loss!r}")

    def explained(params: Any, x: Any, y: Any, key: jax.Array | None = None) -> Explanation:
        x, y = jax.tree.map(jnp.asarray, (x, y))
        hand, twin, evidence = jax.jit(_both_ways(net, loss))(params, x, y, key)
        _check_targets(loss, hand, y)
        return _tabled(in_place(net, params, key), loss, x, hand, twin, evidence)

    return explained


def _both_ways(net, loss):
    def both_ways(params, x, y, key):
        steps = in_place(net, params, key)
        twin = automatically(steps, loss, x, y)
        hand = by_hand(steps, loss, x, y, twin.layers)
        evidence = list(map(gather, steps, hand.layers, twin.layers))
        return hand._replace(layers=[layer._replace(cache=None) for layer in hand.layers]), twin, evidence

    return both_ways


def _check_targets(loss, hand, y):
    """A loss may refuse targets when it can see them, which under `jit` it could not."""
    if not np.isfinite(hand.values).all():
        loss(hand.layers[-1].y, y)


def _tabled(steps, loss, x, hand: Pass, twin: Pass, evidence) -> Explanation:
    words, length = list(symbols(steps)), _longest(x, steps, twin)
    parts = zip(steps, words, hand.layers, twin.layers, evidence, _arrivals(steps, words, loss), strict=True)
    layers = tuple(
        Block(step.place, tuple(_rows(step, says, by, vjp, told, arrival, length)), says.number, step.params)
        for step, says, by, vjp, told, arrival in parts
    )
    return Explanation(
        x=x,
        input=Block("input", tuple(_input_rows(steps[0], words[0], hand, twin, length))),
        layers=layers,
        cost=Block("cost", (_cost(loss, words[-1], hand, twin, length),)),
        examples=hand.values.size,
        batch_axes=hand.values.ndim,
        loss=loss,
    )


def _longest(x, steps, twin):
    """The size of the largest array in sight: no sum is longer."""
    arrays = jax.tree.leaves((x, [step.params for step in steps], [layer.y for layer in twin.layers]))
    return max(1, *(np.size(array) for array in arrays))


def _cost(loss, last: Symbols, hand, twin, length):
    cost, wanted = hand.values.mean(), twin.values.mean()
    equation = f"1/m Σ {_name(loss)}({last.y}, y)"
    return Row("C", "value", equation, f"loss, {_name(loss)}", cost, wanted, judge(cost, wanted, length))


def _arrivals(steps: Sequence[Step], words: Sequence[Symbols], loss) -> Iterator[tuple[str, str]]:
    """For each layer the equation of ∂C/∂y and whose it is: the next layer's, or the loss's."""
    for after, says in zip(steps[1:], words[1:], strict=True):
        yield _symbols.received(after, says), f"{after.place}: backward"
    rule = loss.func if isinstance(loss, functools.partial) else loss
    yield words[-1].filled(_LOSSES.get(rule, "∂loss/∂{y} / m")), f"loss, {_name(loss)}: backward"


def _rows(step: Step, says: Symbols, hand, twin, evidence, arrival, length) -> Iterator[Row]:
    forward, (equation, sender) = f"{step.place}: forward", arrival
    yield from _paired("value", says.y, _symbols.output(step, says), forward, hand.y, twin.y, length)
    wanted, noise = automatic_delta(hand, twin, evidence, length)
    same = _is_received(hand.delta, hand.dy) and wanted is not None and agree(wanted, twin.dy, length, twin.dy_noise)
    symbol = f"{says.delta} = {d(says.y)}" if same else d(says.y)
    yield from _paired("received", symbol, equation, sender, hand.dy, twin.dy, length, twin.dy_noise)
    if not same:
        yield from _delta_rows(step, says, hand, wanted, length, noise)
    yield from _gradient_rows(step, says, hand, twin, length)


def _is_received(delta, dy):
    """Whether a layer hands on what it received as its δ, and so needs no second row for it."""
    return isinstance(delta, jax.Array) and isinstance(dy, jax.Array) and np.array_equal(delta, dy, equal_nan=True)


def _delta_rows(step, says, hand, wanted, length, noise):
    place, equation = f"{step.place}: backward", _symbols.delta(step, says)
    if wanted is not None:
        yield from _paired("delta", says.delta, equation, place, hand.delta, wanted, length, noise)
        return
    for name, delta in leaves(hand.delta).items():
        yield Row(_part(says.delta, name), "delta", equation, place, delta, None, judge(delta, None, length), name)


def _gradient_rows(step, says, hand, twin, length):
    made, wanted, noise = leaves(hand.gradients), leaves(twin.gradients), leaves(twin.gradients_noise)
    for name, param in sorted(leaves(step.params).items(), key=lambda entry: -entry[1].ndim):  # weights first
        if not jnp.issubdtype(param.dtype, jnp.floating):
            continue
        value = made.get(name)
        equation = _symbols.gradient(hand.words.get(name), says)
        value = like(value, param) if isinstance(value, jax.Array) else value
        verdict = judge(value, wanted[name], length, noise[name])
        symbol, place = d(_symbols.parameter(name, says)), f"{step.place}: factors"
        yield Row(symbol, "gradient", equation, place, value, wanted[name], verdict, name)


def _input_rows(step, says, hand, twin, length):
    equation, sender = _symbols.received(step, says), f"{step.place}: backward"
    yield from _paired("received", d(says.x), equation, sender, hand.dx, twin.dx, length, twin.dx_noise)


def _paired(role: Role, symbol, equation, source, value, automatic, length, noise=None) -> Iterator[Row]:
    """A row for each array of the automatic tree; gradients of integers have none."""
    made, noises = leaves(value), {} if noise is None else leaves(noise)
    for name, wanted in leaves(automatic).items():
        if wanted.dtype != jax.dtypes.float0:
            verdict = judge(made.get(name), wanted, length, noises.get(name))
            yield Row(_part(symbol, name), role, equation, source, made.get(name), wanted, verdict, name)


def _part(symbol, name):
    return f"{symbol}[{name}]" if name else symbol


def _name(loss):
    return getattr(loss, "func", loss).__name__
