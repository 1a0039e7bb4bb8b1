"""Attention by cuDNN, the library of NVIDIA's cards: what the tiles compute, both halves, in a fused kernel each.

They are reached through `jax.nn.dot_product_attention`: what its `jax.vjp` keeps is kept, its pull-back is the backward
half.  The kernels have no derivatives themselves.  For second ones each half is a function whose tangent is that of the
tiles, which compute the same.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal

from jbackprop.rules._meshes import varying

from ._tiles import Arguments

Halves = tuple[Callable[..., jax.Array], Callable[..., tuple[jax.Array, ...]]]
"""(query, key, value) -> O, and (query, key, value, dO) -> dQ, dK and dV, by the tiles."""

SHORTEST = 64
"""Shorter sequences gain nothing, and some versions of cuDNN are wrong for a single query."""
_OLDEST = (0, 11, 1)
"""Before, `jax.vmap` of the kernels failed where an argument is not mapped."""


def refusal(given: Arguments, window: Any, block_size: int | None) -> str:
    """Why cuDNN does not take a call, "" if it does: what is not the case."""
    query, key, value, *others = given
    device = _device()
    longest = 256 if float(getattr(device, "compute_capability", 0)) >= 9 else 128
    conditions = {
        f"an NVIDIA GPU as JAX's default device, not {device.device_kind}": "NVIDIA" in device.device_kind,
        f"jax {'.'.join(map(str, _OLDEST))} or later": jax.__version_info__ >= _OLDEST,
        "query, key and value all in bfloat16, or all in float16": (
            query.dtype == key.dtype == value.dtype and query.dtype in (jnp.bfloat16, jnp.float16)
        ),
        f"equal depths of key and value, a multiple of 8 up to {longest}": (
            key.shape[-1] == value.shape[-1] and key.shape[-1] % 8 == 0 and 0 < key.shape[-1] <= longest
        ),
        f"sequences of at least {SHORTEST}": min(query.shape[-3], key.shape[-3]) >= SHORTEST,
        "no empty batch axis": query.size > 0,
        "no bias, mask or lengths": all(array is None for array in others),
        "no local_window_size": window is None,
        "no block_size": block_size is None,
        "no explicit mesh and no shard_map": not _is_placed(query, key, value),
    }
    return next((wanted for wanted, holds in conditions.items() if not holds), "")


def _device():
    default = attrgetter("jax_default_device")(jax.config)  # which JAX's types do not tell
    return default if isinstance(default, jax.Device) else jax.devices(default)[0]


def _is_placed(*arrays):
    meshes = (jax.typeof(array).sharding.mesh for array in arrays)
    return bool(varying(arrays)) or any(not mesh.empty and mesh.explicit_axes for mesh in meshes)


def forward(given: Arguments, tiles: Halves, scale: float | None, is_causal: bool) -> tuple[jax.Array, Any]:
    """O, and its pull-back."""
    structures = []
    attend = partial(_attend, scale=scale, is_causal=is_causal)

    @jax.custom_jvp
    def both(*arrays):
        out, pull = jax.vjp(attend, *arrays)
        leaves, structure = jax.tree.flatten(pull)
        structures.append(structure)
        return out, leaves

    @both.defjvp
    def _(arrays, tangents):
        out, leaves = both(*arrays)
        return (out, leaves), (jax.jvp(tiles[0], arrays, tangents)[1], list(map(zero_from_primal, leaves)))

    out, leaves = both(*given[:3])
    return out, jax.tree.unflatten(structures[-1], leaves)


def backward(given: Arguments, pull: Any, dout: jax.Array, tiles: Halves) -> tuple[jax.Array, ...]:
    """dQ, dK and dV."""
    leaves, structure = jax.tree.flatten(pull)

    @jax.custom_jvp
    def gradients(leaves, *arrays):
        return jax.tree.unflatten(structure, leaves)(arrays[-1])

    @gradients.defjvp
    def _(primals, tangents):
        return gradients(*primals), jax.jvp(tiles[1], primals[1:], tangents[1:])[1]

    return gradients(leaves, *given[:3], dout)


def _attend(query, key, value, **options):
    """cuDNN wants one batch axis."""
    flat = (array.reshape(-1, *array.shape[-3:]) for array in (query, key, value))
    return jax.nn.dot_product_attention(*flat, implementation="cudnn", **options).reshape(query.shape)
