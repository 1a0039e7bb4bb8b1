"""Every layer of a network in its place, and what its values are called.

Layer l begins where there are parameters: its output is zˡ, and what is made of it without any aˡ, aˡ′, aˡ″, be it by
an activation or by a combinator, after its parts.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.functions import automatic
from jbackprop.layers import Branch, Chain, Inside, Layer, Params, inside
from jbackprop.report import superscript

_PRIMES = 3
"""More of them are counted."""


class Symbols(NamedTuple):
    """The words of one layer's rows.

    Attributes:
      x: its input.
      y: its output.
      number: l.
      more: how many values have been made of zˡ.
    """

    x: str
    y: str
    number: int
    more: int

    @property
    def raised(self) -> str:
        """l, written above."""
        return superscript(self.number)

    @property
    def delta(self) -> str:
        return f"δ{self.raised}"

    def filled(self, equation: str, *others: str) -> str:
        """An equation of `layers.About` in these words; {0}, {1} … are the others, and what is neither stays."""
        words = {"x": self.x, "y": self.y, "dx": d(self.x), "dy": d(self.y), "delta": self.delta, "l": self.raised}
        return filled(equation, words | {str(i): other for i, other in enumerate(others)})

    def after(self, x: str, learns: bool) -> "Symbols":
        """Those of the next layer of an input, which learns something or not."""
        if learns:
            return Symbols(x, f"z{superscript(self.number + 1)}", self.number + 1, 0)
        primes = "′" * self.more if self.more <= _PRIMES else f"⁽{superscript(self.more)}⁾"
        return Symbols(x, f"a{self.raised}{primes}", self.number, self.more + 1)


FIRST = Symbols("", "x", 0, 1)
"""Before the first layer: x is a⁰."""


def d(symbol: str) -> str:
    return f"∂C/∂{symbol}"


def filled(equation: str, words: Mapping[str, str]) -> str:
    """An equation with words in place of {their names}; what is not among them stays."""
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), equation)


class Step(NamedTuple):
    """One layer in its place.

    Attributes:
      path: its number in the chain, and in the chains and combinators around that.
      layer: the record.
      params: its parameters.
      key: its random key, or None.
      says: what its values are called.
      inside: of a combinator, its branches and what becomes of them.
      parts: of a combinator, the steps of each branch.
    """

    path: tuple[int, ...]
    layer: Layer
    params: Params
    key: Any
    says: Symbols
    inside: Inside | None = None
    parts: "tuple[tuple[Step, ...], ...]" = ()

    @property
    def branches(self) -> "Iterator[tuple[Branch, tuple[Step, ...]]]":
        """Each branch with its steps."""
        return zip(self.inside.branches if self.inside else (), self.parts, strict=True)

    @property
    def name(self) -> str:
        """What the layer calls itself; else what it prints before its brackets."""
        return _name(self.layer)

    @property
    def place(self) -> str:
        """Its number, as the equations have it, its name, and which part of the network it is."""
        number = "" if self.inside else f"layer {self.says.number}, "
        return f"{number}{self.name}{f' (part {dotted(self.path)})' if self.path else ''}"

    def apply(self, params: Params, x: Any) -> Any:
        """The layer's output without its hand-written rules."""
        return automatic(self.layer.apply)(params, x, self.key)


def in_place(net: Layer, params: Params, key: jax.Array | None) -> tuple[Step, ...]:
    """The network's layers in order, chains inside chains laid flat, those of combinators inside theirs.

    Raises:
      ValueError: params is not one entry for each layer of a chain, or not a combinator's.
    """
    return tuple(_in_a_row(net, params, key, (), FIRST.y, FIRST))


def _in_a_row(layer, params, key, path, x, last) -> list[Step]:
    """A layer, or those of a chain, whose input is x; `last` are the words of what was computed before."""
    if not isinstance(layer, Chain):
        return [_step(layer, params, key, path, x, last)]
    if not isinstance(params, Sequence) or len(params) != len(layer.parts):
        got = f"{len(params)}" if isinstance(params, Sequence) else type(params).__name__
        where = f" of part {dotted(path)}" if path else ""
        raise ValueError(f"explain: params, wanted one entry for each of {len(layer.parts)} layers{where}, got {got}")
    steps: list[Step] = []
    for i, part in enumerate(layer.in_order(params, key)):
        if steps:
            last = steps[-1].says
            x = last.y
        steps += _in_a_row(*part, (*path, i), x, last)
    return steps


def _step(layer, params, key, path, x, last):
    found = said(f"params, wanted those of {_name(layer)}", params, inside, layer, params, key)
    if found is None:
        return Step(path, layer, params, key, last.after(x, learns=bool(jax.tree.leaves(params))))
    parts = []
    for branch in found.branches:
        own = filled(branch.input, {"x": x})
        parts.append(tuple(_in_a_row(branch.layer, branch.params, branch.key, (*path, *branch.name), own, last)))
        last = parts[-1][-1].says
    says = last.after(x, learns=False) if found.output else last._replace(x=x)
    return Step(path, layer, params, key, says, found, tuple(parts))


def dotted(path: tuple[int, ...]) -> str:
    """A place in a network, such as 2.0.1."""
    return ".".join(map(str, path))


def said(wanted: str, given: Any, f: Callable[..., Any], *arguments: Any) -> Any:
    """f(*arguments); what it raises becomes one line."""
    try:
        return f(*arguments)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        reason = f"{error}".strip().partition("\n")[0]
        raise ValueError(f"explain: {wanted}, got {kinds(given)}: {reason}") from error


def kinds(tree: Any) -> str:
    """The dtypes and shapes of a tree's arrays."""
    return ", ".join(f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}" for leaf in jax.tree.leaves(tree)) or "nothing"


def _name(layer):
    return layer.about().name or repr(layer).partition("(")[0]
