"""Parameters that are not a layer's, keys that are none: said before Python or JAX says it in words of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.rules import check_key

from ._layer import Params


def keys_for(who: str, key: Any, count: int | tuple[int, ...]) -> jax.Array:
    """So many keys of one; TypeError where it is none, such as a seed."""
    check_key(who, key)
    return jax.random.split(key, count)


def check_named_params(layer: str, params: Params, names: Iterable[str]) -> None:
    """Raises ValueError unless the parameters have these names; () has none."""
    wanted = tuple(names)
    found = [name for name, value in params.items() if value is not None] if isinstance(params, Mapping) else []
    if set(found) != set(wanted) or not (isinstance(params, Mapping) or _is_empty(params)):
        raise ValueError(f"{layer}: params, wanted {', '.join(wanted) or '()'}, got {_told(params)}")


def check_entries(layer: str, params: Params, count: int) -> None:
    """Raises ValueError unless the parameters are a tuple or a list with so many entries."""
    if not isinstance(params, tuple | list) or len(params) != count or _is_pair(params, int):
        raise ValueError(f"{layer}: params, wanted {_entries(count)}, got {_told(params)}")


def check_blocks(layer: str, params: Params, count: int) -> None:
    """Raises ValueError unless every parameter has an axis of so many blocks in front."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jnp.shape(leaf)[:1] != (count,):
            got = f"{jax.tree_util.keystr(path, simple=True, separator='.')} of shape {jnp.shape(leaf)}"
            raise ValueError(f"{layer}: params, wanted arrays of {count} blocks, the first axis theirs, got {got}")


def _told(params: Any) -> str:
    if _is_pair(params, int | jax.Array):
        return "a pair (params, shape), as init returns"
    if isinstance(params, Mapping):
        return ", ".join(sorted(f"{name}=None" if params[name] is None else f"{name}" for name in params)) or "{}"
    if isinstance(params, tuple | list):
        return _entries(len(params)) if params else "()"
    return f"an array of shape {params.shape}" if isinstance(params, jax.Array) else repr(params)


def _entries(count):
    return "1 entry" if count == 1 else f"{count} entries"


def _is_empty(params):
    return isinstance(params, tuple | list) and not params


def _is_pair(params, size):
    """Whether these are two, the second a shape of such sizes, which under `jit` are arrays."""
    if not isinstance(params, tuple) or len(params) != 2 or not isinstance(params[1], tuple) or not params[1]:
        return False
    return all(isinstance(each, size) and jnp.ndim(each) == 0 for each in params[1])
