"""The arguments of `compare`, checked and made ready."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jbackprop.functions import is_array, is_inexact, is_wide

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


def function_name(f: Callable) -> str:
    """The name of a function, of the function in a partial, or of a callable object's class."""
    inner = f.func if isinstance(f, functools.partial) else f
    return getattr(inner, "__name__", type(inner).__name__)


def precision(dtype: DTypeLike | None, args: Any) -> contextlib.AbstractContextManager:
    """64 bits where the dtype or a JAX array among the arguments has them, or the user has turned them on."""
    dtypes = [x.dtype for x in jax.tree.leaves(args) if isinstance(x, jax.Array)]
    wide = any(map(is_wide, [*dtypes, *([] if dtype is None else [jnp.dtype(dtype)])]))
    return jax.enable_x64(wide or jax.config.read("jax_enable_x64"))


def cast(args: Any, dtype: DTypeLike | None) -> Any:
    """NumPy's arrays as JAX's; with a dtype, those of floating point are cast to it.  Options stay."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"dtype, wanted a floating-point type, got {jnp.dtype(dtype)}")

    def array(x):
        if not is_array(x):
            return x
        x = jnp.asarray(x)
        return x.astype(dtype) if dtype is not None and is_inexact(x) else x

    return jax.tree.map(array, args)


def _scan(f):
    """f along the leading axis of every argument, one step at a time."""

    @functools.wraps(f)
    def scanned(*args):
        return jax.lax.scan(lambda carry, slices: (carry, f(*slices)), None, args)[1]

    return scanned


TRANSFORMS: dict[str, Transform] = {"vmap": jax.vmap, "scan": _scan, "checkpoint": jax.checkpoint}
"""The transformations that have a name of their own."""
