"""The arguments of `compare`, checked and made ready."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jbackprop.functions import cast, draw_arguments, function_name

from ._device import on_device
from ._targets import TARGETS

Transform = Callable[[Callable], Callable]


def check_options(f: Any, reference: Any, repeats: int, targets: Sequence[str]) -> None:
    """Refuses what cannot be measured, before anything is compiled."""
    for name, function in {"f": f, "reference": reference}.items():
        if not callable(function) and (function is not None or name == "f"):
            raise TypeError(f"{name}, wanted a function, got {function!r}")
    if repeats < 1:
        raise ValueError(f"repeats, wanted a positive number, got {repeats}")
    for target in targets:
        if target not in TARGETS:
            raise ValueError(f"targets, wanted some of {', '.join(TARGETS)}, got {target!r}")


def transformation(transform: str | Transform | None) -> tuple[Transform, str]:
    """The function of functions, and what to call it."""
    if transform is None:
        return lambda f: f, ""
    if callable(transform):
        return transform, function_name(transform)
    if transform not in TRANSFORMS:
        raise ValueError(f"transform, wanted {', '.join(TRANSFORMS)}, a function or None, got {transform!r}")
    return TRANSFORMS[transform], transform


def dtypes(args: Any) -> list[Any]:
    """Those of JAX's arrays among the arguments, which it has 64 bits of only where these are switched on."""
    return [x.dtype for x in jax.tree.leaves(args) if isinstance(x, jax.Array)]


def made_ready(args: Any, dtype: DTypeLike | None) -> Any:
    """Shapes as random arrays and NumPy's arrays as JAX's, in a dtype if one is given.  Options stay."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"dtype, wanted a floating-point type, got {jnp.dtype(dtype)}")
    args = draw_arguments(args)
    return on_device(args if dtype is None else cast(dtype, args))


def _scan(f):
    """f along the leading axis of every argument, one step at a time."""

    @functools.wraps(f)
    def scanned(*args):
        return jax.lax.scan(lambda carry, slices: (carry, f(*slices)), None, args)[1]

    return scanned


TRANSFORMS: dict[str, Transform] = {"vmap": jax.vmap, "scan": _scan, "checkpoint": jax.checkpoint}
"""The transformations that have a name of their own."""
