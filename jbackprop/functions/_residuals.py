"""What the forward pass of a gradient keeps for its backward pass, and the two passes as functions of their own.

`jax.vjp` returns the output and a pullback, and the pullback is a tree whose arrays are the residuals.  Its jaxpr tells
where each comes from: some *are* the arguments or the output, which live anyway, and only the others are new memory.
Compiled as it stands, a forward pass would copy the arguments that it keeps; the two passes here do not return those.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax.extend import core

from ._differentiable import Differentiable, Wrt, differentiable
from ._jaxprs import CUSTOM_VJP, called_jaxpr, opened_jaxpr


@dataclass(frozen=True)
class Residual:
    """One array that is kept from the forward to the backward pass.

    Attributes:
      kind: "argument", "output" or "constant" for an array that lives anyway, "computed" for new memory.
      name: the argument's name, or the operation, or the jitted or named function, that computed it.
      shape: its shape.
      dtype: its dtype's name.
      bytes: its size, entries times bytes an entry.  XLA may still drop or merge what JAX keeps.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    @property
    def label(self) -> str:
        """What it is and whose: "argument x", "computed exp"."""
        return self.kind if self.kind == self.name else f"{self.kind} {self.name}"


class Passes(NamedTuple):
    """A gradient in two passes that share arrays, neither compiled yet.

    Attributes:
      forward: (*leaves) -> outputs, kept: the floating outputs, and the residuals that are new memory.
      backward: (borrowed, kept, cotangents) -> gradients.
      borrow: (leaves, outputs) -> borrowed: the residuals that are arguments or outputs.
      residuals: the list of all of them.
    """

    forward: Callable[..., tuple[list, list]]
    backward: Callable[[list, list, list], tuple]
    borrow: Callable[[Sequence, Sequence], list]
    residuals: tuple[Residual, ...]


def residuals(f: Callable, *args: Any, wrt: Wrt = None) -> tuple[Residual, ...]:
    """What the forward pass of f keeps for the backward pass; nothing is computed.

    Args:
      f: a function of trees of arrays.
      args: its arguments, or the `jax.ShapeDtypeStruct` of them.
      wrt: which arguments to differentiate, by position or name; every floating one unless given.
    """
    return passes(differentiable(f, *args, wrt=wrt)).residuals


def new_bytes(kept: Sequence[Residual]) -> int:
    """The memory that the residuals take beside the arguments and the output."""
    return sum(residual.bytes for residual in kept if residual.kind == "computed")


def passes(problem: Differentiable) -> Passes:
    """The two passes of a gradient, from one trace of the function."""
    closed, (outputs, pullback) = jax.make_jaxpr(problem.vjp, return_shape=True)(*problem.leaves)
    sources = [_source(closed.jaxpr, atom) for atom in closed.jaxpr.outvars]
    outs, kept = sources[: len(outputs)], sources[len(outputs) :]
    origin = {s.key: ("output", i) for i, s in enumerate(outs) if s.key is not None} | _roots(closed)
    lent = [s.key for s in _distinct(kept) if origin.get(s.key, ("", 0))[0] in ("argument", "output")]
    computed = {s.key: i for i, s in reversed(list(enumerate(kept))) if s.key is not None and s.key not in origin}

    def forward(*leaves):
        results = core.jaxpr_as_fun(closed)(*leaves)
        return results[: len(outs)], [results[len(outs) + i] for i in computed.values()]

    def borrow(leaves, results):
        pools = {"argument": leaves, "output": results}
        return [pools[kind][i] for kind, i in (origin[key] for key in lent)]

    def backward(borrowed, arrays, cotangents):
        known = dict(zip([*lent, *computed], [*borrowed, *arrays], strict=True))
        leaves = [_value(closed, origin, known, s) for s in kept]
        return jax.tree.unflatten(jax.tree.structure(pullback), leaves)(cotangents)

    return Passes(forward, backward, borrow, tuple(_listed(problem.names, origin, kept)))


class _Source(NamedTuple):
    """Where an array comes from: key is the same for the same array, and None for a literal."""

    key: Any
    atom: Any
    name: str


def _source(jaxpr, atom, path=(), outer=None):
    """Follows an array to the equation that computes it, through the jitted functions that only hand it on."""
    if isinstance(atom, core.Literal):
        return _Source(None, atom, "literal")
    if atom in jaxpr.invars and outer is not None:
        above, equation, path_above, outer_above = outer
        return _source(above, equation.invars[jaxpr.invars.index(atom)], path_above, outer_above)
    for equation in jaxpr.eqns:
        if atom in equation.outvars:
            if equation.primitive.name == "jit":
                inner, _ = opened_jaxpr(called_jaxpr(equation))
                inside = inner.outvars[equation.outvars.index(atom)]
                return _source(inner, inside, (*path, id(equation)), (jaxpr, equation, path, outer))
            return _Source((*path, atom), atom, _operation(equation))
    return _Source((*path, atom), atom, "")


def _operation(equation):
    """What to call the maker of an array: the rule, the jitted function, the checkpoint's name, or the primitive."""
    if equation.primitive.name == CUSTOM_VJP:
        return opened_jaxpr(called_jaxpr(equation))[0].debug_info.func_name
    name = equation.params.get("name")
    return name if isinstance(name, str) else equation.primitive.name


def _roots(closed):
    arguments = {(var,): ("argument", i) for i, var in enumerate(closed.jaxpr.invars)}
    return arguments | {(var,): ("constant", i) for i, var in enumerate(closed.jaxpr.constvars)}


def _value(closed, origin, known, source):
    if source.key is None:
        return source.atom.val
    if source.key in known:
        return known[source.key]
    return closed.consts[origin[source.key][1]]


def _distinct(sources):
    """One source for each array, however often it is kept; a literal is part of the program, not an array."""
    return list({source.key: source for source in sources if source.key is not None}.values())


def _listed(names, origin, kept):
    for source in _distinct(kept):
        kind, i = origin.get(source.key, ("computed", 0))
        aval = source.atom.aval
        size = math.prod(aval.shape) * aval.dtype.itemsize
        name = names[i] if kind == "argument" else source.name or kind
        yield Residual(kind, name, tuple(aval.shape), str(aval.dtype), size)
