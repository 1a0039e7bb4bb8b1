"""Any function of trees of arrays as a differentiable function of a flat list of arrays, with a name for each array.

Integers, booleans and random keys go through untouched, on both ends: they have no gradient.  What is not an array
among the arguments, such as a Python number or a string, is an option and stays as it is.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Wrt = int | str | Sequence[int | str] | None
"""Which arguments to differentiate, by position or name; None for all that hold floating-point arrays."""


class Differentiable(NamedTuple):
    """A function taken apart into arrays.

    Attributes:
      names: of every array among the arguments: `x`, `params['w']`.
      leaves: the arrays themselves, or their `jax.ShapeDtypeStruct`.
      chosen: which of them the gradient is taken of.
      primal: (*leaves) -> the floating-point outputs as a list.
      vjp: (*leaves) -> the same, pullback; the pullback takes a list of cotangents, one for each output, and gives a
        tuple with one gradient for each chosen array.
    """

    names: tuple[str, ...]
    leaves: tuple[Any, ...]
    chosen: tuple[int, ...]
    primal: Callable[..., list]
    vjp: Callable[..., tuple[list, Callable]]


def differentiable(f: Callable, *args: Any, wrt: Wrt = None, names: Sequence[str] | None = None) -> Differentiable:
    """Takes f at these arguments apart.

    Args:
      f: a function of trees of arrays.
      args: its arguments, or the shapes of them.
      wrt: which arguments to differentiate; every floating array of all of them unless given.
      names: of the arguments; those of the signature of f unless given.

    Raises:
      ValueError: wrt names no argument, or one without floating arrays; there is no floating array, or no output that
        is one (once `primal` or `vjp` runs).
    """
    paths, tree = jax.tree_util.tree_flatten_with_path(args)
    everything = [leaf for _, leaf in paths]
    places = [i for i, leaf in enumerate(everything) if is_array(leaf)]
    roots = argument_names(f, len(args)) if names is None else names
    owners = [paths[i][0][0].idx for i in places]
    leaves = tuple(everything[i] for i in places)
    wanted = _positions(wrt, roots, [owner for owner, leaf in zip(owners, leaves, strict=True) if is_inexact(leaf)])
    chosen = tuple(j for j, leaf in enumerate(leaves) if owners[j] in wanted and is_inexact(leaf))

    def primal(*arrays):
        outputs = jax.tree.leaves(f(*tree.unflatten(_replaced(everything, places, arrays))))
        floating = [y for y in map(jnp.asarray, outputs) if is_inexact(y)]
        if not floating:
            raise ValueError("f, wanted a function with a floating-point output, got none")
        return floating

    def vjp(*arrays):
        return jax.vjp(lambda *picked: primal(*_replaced(arrays, chosen, picked)), *(arrays[j] for j in chosen))

    array_names = tuple(roots[paths[i][0][0].idx] + jax.tree_util.keystr(paths[i][0][1:]) for i in places)
    return Differentiable(array_names, leaves, chosen, primal, vjp)


def argument_names(f: Callable, count: int) -> list[str]:
    """The names of the first positional arguments of f; `args[0]` and so on where its signature does not tell."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # built-in functions tell no signature
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [positional[i] if i < len(positional) else f"args[{i}]" for i in range(count)]


def is_array(leaf: Any) -> bool:
    """Whether a leaf of the arguments is data, or the shape of it, and not an option."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def is_inexact(array: Any) -> bool:
    """Whether an array, or the shape of one, is of floating point, real or complex."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


def _replaced(items, places, others):
    """A list with others at some places."""
    merged = list(items)
    for place, other in zip(places, others, strict=True):
        merged[place] = other
    return merged


def _positions(wrt, roots, floating):
    """The argument positions that wrt names."""
    if not floating:
        raise ValueError("args, wanted at least one floating-point array to differentiate, got none")
    if wrt is None:
        return set(floating)
    given = [wrt] if isinstance(wrt, int | str) else wrt
    positions = {roots.index(item) if item in roots else item for item in given}
    for position in positions:
        if position not in range(len(roots)):
            raise ValueError(f"wrt, wanted names or positions among {', '.join(roots)}, got {position!r}")
        if position not in floating:
            raise ValueError(f"wrt, wanted arguments with floating-point arrays, got {position} ({roots[position]})")
    return positions
