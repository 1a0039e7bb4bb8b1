"""Complex numbers are proved as their two parts: f(x + i y) = u + i v is a function of x and y, with outputs u and v.

A rule of f is handed ∂C/∂u − i ∂C/∂v and gives ∂C/∂x − i ∂C/∂y, as everything in JAX does: its real part is held
against ∂C/∂x, and its imaginary part against −∂C/∂y.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop.functions import is_array


class Parts(NamedTuple):
    """A complex array, taken apart.

    Attributes:
      real: its real part.
      imag: its imaginary part.
    """

    real: Any
    imag: Any


def taken_apart(tree: Any) -> Any:
    """A tree with `Parts` in place of its complex arrays."""
    return jax.tree.map(lambda leaf: Parts(leaf.real, leaf.imag) if _is_complex(leaf) else leaf, tree)


def of_parts(f: Callable) -> Callable:
    """f of arguments that are taken apart, with its outputs so too."""

    @functools.wraps(f)
    def taken(*args: Any) -> Any:
        return taken_apart(f(*jax.tree.map(_put_together, args, is_leaf=_is_parts)))

    return taken


def _put_together(node):
    return jax.lax.complex(*node) if _is_parts(node) else node


def _is_parts(node):
    return isinstance(node, Parts)


def _is_complex(leaf):
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.complexfloating)
