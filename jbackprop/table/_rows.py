"""The rows of the table, block by block.

A combinator's own rows stand behind those of its parts.  What several branches send back to one value stands before
them, each by itself, for going backward it comes after them; and so do the gradients of parameters with several uses.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jbackprop import rules
from jbackprop.functions import is_inexact
from jbackprop.layers import like

from . import _symbols
from ._both import Found
from ._delta import automatic_delta
from ._passes import leaves
from ._places import Step, d, dotted
from ._row import Block, Role, Row, agree, judge

_LOSSES: dict[Any, str] = {
    rules.squared_error: "({y} − y) / m",
    rules.sigmoid_cross_entropy: "(sigmoid({y}) − y) / m",
    rules.softmax_cross_entropy: "(softmax({y}) − y) / m",
}
"""∂C/∂ of the network's output."""


class Arrival(NamedTuple):
    """Where a layer's ∂C/∂y comes from.

    Attributes:
      equation: its right-hand side.
      source: whose function computes it.
    """

    equation: _symbols.Equation
    source: str


def of_loss(loss: Callable[..., jax.Array], last: Step) -> Arrival:
    """That of the network's output."""
    rule = loss.func if isinstance(loss, functools.partial) else loss
    return Arrival(last.says.filled(_LOSSES.get(rule, "∂loss/∂{y} / m")), f"loss, {_name(loss)}: backward")


def cost(loss: Callable[..., jax.Array], last: Step, found: Found, length: int) -> Row:
    """The row of C."""
    value, wanted = found.hand.values.mean(), found.twin.values.mean()
    equation = f"1/m Σ {_name(loss)}({last.says.y}, y)"
    return Row("C", "value", equation, f"loss, {_name(loss)}: forward", value, wanted, judge(value, wanted, length))


def input_rows(first: Step, found: Found, length: int) -> Iterator[Row]:
    """Those of ∂C/∂x."""
    yield from _sent(d(first.says.x), first, found, length)


def blocks(steps: Sequence[Step], found: Found, last: Arrival, length: int) -> Iterator[Block]:
    """A block for each layer, in the order of computation; `last` is what arrives at the last one."""
    arrivals = [*map(_of_next, steps[1:]), last]
    layers = zip(steps, found.hand.layers, found.twin.layers, found.evidence, found.inside, arrivals, strict=True)
    for step, by, vjp, evidence, inside, arrival in layers:
        if step.inside:
            yield from _opened(step, by, vjp, inside, arrival, length)
        else:
            rows = tuple(_rows(step, by, vjp, evidence, arrival, length))
            yield Block(step.place, rows, step.says.number, step.params)


def _of_next(after):
    return Arrival(_symbols.received(after), f"{after.place}: backward")


def _opened(step, by, vjp, inside, arrival, length):
    """The blocks of a combinator's parts, between what they send back together and what it makes of them."""
    yield Block(f"inside {step.place}", tuple(_at_its_input(step, by, vjp, inside, length)))
    for (branch, steps), found in zip(step.branches, inside, strict=True):
        signal = Arrival(step.says.filled(branch.signal), f"{step.place}: backward")
        yield from blocks(steps, found, signal if step.inside.output else arrival, length)
    values = _value_rows(step, by, vjp, length)
    received = _received_rows(step, by, vjp, arrival, length)
    made = (*values, *received) if step.inside.output else tuple(filter(_differs, values))
    yield Block(step.place, made, step.says.number, step.params)


def _at_its_input(step, by, vjp, inside, length):
    """What comes back through each branch, gradients of parameters with several uses, and all else that differs."""
    for (_, steps), found in zip(step.branches, inside, strict=True):
        symbol = f"{d(steps[0].says.x)} through {dotted(steps[0].path) or steps[0].name}"
        rows = _sent(symbol, steps[0], found, length)
        yield from rows if step.inside.adds else filter(_differs, rows)
    for row in _gradient_rows(step, by, vjp, length):
        word = by.words.get(row.name)
        if _differs(row) or (word and word.name == _symbols.USES):
            yield row


def _differs(row):
    return row.verdict.kind == "differs"


def _sent(symbol, first, found, length):
    """What comes out of the first layer, backward."""
    (equation, source), hand, twin = _of_next(first), found.hand, found.twin
    yield from _paired("received", symbol, equation, source, hand.dx, twin.dx, length, twin.dx_noise)


def _rows(step: Step, by, vjp, evidence, arrival, length) -> Iterator[Row]:
    yield from _value_rows(step, by, vjp, length)
    wanted, noise = automatic_delta(by, vjp, evidence, length)
    same = _is_received(by.delta, by.dy) and wanted is not None and agree(wanted, vjp.dy, length, vjp.dy_noise)
    yield from _received_rows(step, by, vjp, arrival, length, f"{step.says.delta} = " if same else "")
    if not same:
        yield from _delta_rows(step, by, wanted, length, noise)
    yield from _gradient_rows(step, by, vjp, length)


def _value_rows(step, by, vjp, length):
    yield from _paired("value", step.says.y, _symbols.output(step), f"{step.place}: forward", by.y, vjp.y, length)


def _received_rows(step, by, vjp, arrival, length, before=""):
    symbol, (equation, source) = f"{before}{d(step.says.y)}", arrival
    yield from _paired("received", symbol, equation, source, by.dy, vjp.dy, length, vjp.dy_noise)


def _is_received(delta, dy):
    """Whether a layer hands on what it received as its δ, and so needs no second row for it."""
    return isinstance(delta, jax.Array) and isinstance(dy, jax.Array) and np.array_equal(delta, dy, equal_nan=True)


def _delta_rows(step, by, wanted, length, noise):
    symbol, equation, place = step.says.delta, _symbols.delta(step), f"{step.place}: backward"
    if wanted is not None:
        yield from _paired("delta", symbol, equation, place, by.delta, wanted, length, noise)
        return
    for name, delta in leaves(by.delta).items():
        yield Row(_part(symbol, name), "delta", equation, place, delta, None, judge(delta, None, length), name)


def _gradient_rows(step, by, vjp, length):
    made, wanted, noise = leaves(by.gradients), leaves(vjp.gradients), leaves(vjp.gradients_noise)
    for name, param in sorted(leaves(step.params).items(), key=lambda entry: -entry[1].ndim):  # weights first
        if not is_inexact(param):
            continue
        value = made.get(name)
        equation = _symbols.gradient(by.words.get(name), step.says)
        value = like(value, param) if isinstance(value, jax.Array) else value
        verdict = judge(value, wanted[name], length, noise[name])
        symbol, place = d(_symbols.parameter(name, step)), f"{step.place}: factors"
        yield Row(symbol, "gradient", equation, place, value, wanted[name], verdict, name)


def _paired(role: Role, symbol, equation, source, value, automatic, length, noise=None) -> Iterator[Row]:
    """A row for each array of the automatic tree; gradients of integers have none."""
    made, noises = leaves(value), {} if noise is None else leaves(noise)
    for name, wanted in leaves(automatic).items():
        if wanted.dtype != jax.dtypes.float0:
            verdict = judge(made.get(name), wanted, length, noises.get(name))
            own = _symbols.of_part(equation, name)
            yield Row(_part(symbol, name), role, own, source, made.get(name), wanted, verdict, name)


def _part(symbol, name):
    return f"{symbol}[{name}]" if name else symbol


def _name(loss):
    return getattr(loss, "func", loss).__name__
