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
      function: (*leaves) -> every output as a list of arrays.
      primal: (*leaves) -> the floating-point ones among them.
      vjp: (*leaves) -> the same, pullback; the pullback takes a list of cotangents, one for each output, and gives a
        tuple with one gradient for each chosen array.
    """

    names: tuple[str, ...]
    leaves: tuple[Any, ...]
    chosen: tuple[int, ...]
    function: Callable[..., list]
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
      TypeError: there is no floating array.
      ValueError: wrt names no argument, or one without floating arrays; no output is a floating array (once `primal` or
        `vjp` runs).
    """
    paths, tree = jax.tree_util.tree_flatten_with_path(args)
    everything = [leaf for _, leaf in paths]
    places = [i for i, leaf in enumerate(everything) if is_array(leaf)]
    roots = argument_names(f, len(args)) if names is None else names
    owners = [paths[i][0][0].idx for i in places]
    leaves = tuple(everything[i] for i in places)
    floating = {j: owner for j, (owner, leaf) in enumerate(zip(owners, leaves, strict=True)) if is_inexact(leaf)}
    if not floating:
        raise TypeError(f"args, wanted a floating-point array to differentiate by, got {_kinds(everything)}")
    wanted = _positions(wrt, roots, list(floating.values()))
    chosen = tuple(j for j, owner in floating.items() if owner in wanted)

    def function(*arrays):
        return list(map(jnp.asarray, jax.tree.leaves(f(*tree.unflatten(replaced(everything, places, arrays))))))

    def primal(*arrays):
        outputs = [y for y in function(*arrays) if is_inexact(y)]
        if not outputs:
            raise ValueError("f, wanted a function with a floating-point output, got none")
        return outputs

    def vjp(*arrays):
        return jax.vjp(lambda *picked: primal(*replaced(arrays, chosen, picked)), *(arrays[j] for j in chosen))

    array_names = tuple(roots[paths[i][0][0].idx] + jax.tree_util.keystr(paths[i][0][1:]) for i in places)
    return Differentiable(array_names, leaves, chosen, function, primal, vjp)


def argument_names(f: Callable, count: int) -> list[str]:
    """The names of the first positional arguments of f; `rest[0]` of *rest, and `args[0]` where no signature tells."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # built-in functions tell no signature
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    return names + [f"{rest}[{i}]" for i in range(count - len(names))]


def function_name(f: Callable) -> str:
    """The name of a function, of the function in a partial, or of a callable object's class."""
    return getattr(f, "__name__", None) or function_name(getattr(f, "func", None) or type(f))


def is_array(leaf: Any) -> bool:
    """Whether a leaf of the arguments is data, or the shape of it, and not an option."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def is_inexact(array: Any) -> bool:
    """Whether an array, or the shape of one, is of floating point, real or complex."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


def described(array: Any) -> str:
    """The dtype and shape of an array, or of anything that has both: float32[8,1]."""
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"


def replaced(items: Sequence[Any], places: Sequence[int], others: Sequence[Any]) -> tuple[Any, ...]:
    """The items with others at some places."""
    placed = dict(zip(places, others, strict=True))
    return tuple(placed.get(i, item) for i, item in enumerate(items))


def _kinds(leaves):
    return ", ".join(str(getattr(leaf, "dtype", type(leaf).__name__)) for leaf in leaves) or "none"


def _positions(wrt, roots, floating):
    """The argument positions that wrt names."""
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
