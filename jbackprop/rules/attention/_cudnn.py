"""Attention by cuDNN, the library of NVIDIA's cards: what the tiles compute, both halves, in a fused kernel each.

They are reached through `jax.nn.dot_product_attention`: what its `jax.vjp` keeps is kept, its pull-back is the backward
half.  The kernels have no derivatives themselves.  For second ones each half is a function whose tangent is that of the
tiles, which compute the same.
"""

import math
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import zero_from_primal

from jbackprop.rules._arrays import rows, whole, within
from jbackprop.rules._meshes import varying

from ._tiles import Arguments, Window

Halves = tuple[Callable[..., jax.Array], Callable[..., tuple[jax.Array | None, ...]]]
"""The arguments -> O, and the arguments and dO -> dQ, dK, dV and dB, by the tiles."""

SHORTEST = 64
"""Shorter sequences gain nothing, and some versions of cuDNN are wrong for a single query."""
_OLDEST = (0, 11, 1)
"""Before, `jax.vmap` of the kernels failed where an argument is not mapped."""


_MOST_LOGITS = 2**29
"""So many logits may have a bias or a mask, which lies in memory for them in the query's dtype."""


def refusal(given: Arguments, is_causal: bool, window: Window, block_size: int | None) -> str:
    """Why cuDNN does not take a call, "" if it does: what is not the case."""
    query, key, value, bias, *_ = given
    device = _device()
    longest = 256 if float(getattr(device, "compute_capability", 0)) >= 9 else 128
    (time, source), logits = _matrix(given), _logits(given)
    conditions = {
        f"an NVIDIA GPU as JAX's default device, not {device.device_kind}": "NVIDIA" in device.device_kind,
        f"jax {'.'.join(map(str, _OLDEST))} or later": jax.__version_info__ >= _OLDEST,
        "query, key and value all in bfloat16, or all in float16": (
            query.dtype == key.dtype == value.dtype and query.dtype in (jnp.bfloat16, jnp.float16)
        ),
        f"equal depths of key and value, a multiple of 8 up to {longest}": (
            key.shape[-1] == value.shape[-1] and key.shape[-1] % 8 == 0 and 0 < key.shape[-1] <= longest
        ),
        f"sequences of at least {SHORTEST}": min(time, source) >= SHORTEST,
        "no empty batch axis": query.size > 0,
        "a bias in the query's dtype": bias is None or bias.dtype == query.dtype,
        "sequences of even length with a bias or mask": not logits or time % 2 == source % 2 == 0,
        f"a bias or mask for at most {_MOST_LOGITS} logits": logits <= _MOST_LOGITS,
        "no local_window_size but one to the left, in equal sequences without key lengths": (
            window is None or (_sees_no_later(is_causal, window) and time == source and given.key_lengths is None)
        ),
        "no block_size": block_size is None,
        "no explicit mesh and no shard_map": not _is_placed(query, key, value),
    }
    return next((wanted for wanted, holds in conditions.items() if not holds), "")


def _sees_no_later(is_causal, window):
    return is_causal or (not isinstance(window, int) and window is not None and window[1] == 0)


def _device():
    default = attrgetter("jax_default_device")(jax.config)  # which JAX's types do not tell
    return default if isinstance(default, jax.Device) else jax.devices(default)[0]


def _is_placed(*arrays):
    meshes = (jax.typeof(array).sharding.mesh for array in arrays)
    return bool(varying(arrays)) or any(not mesh.empty and mesh.explicit_axes for mesh in meshes)


def forward(
    given: Arguments, tiles: Halves, scale: float | None, is_causal: bool, window: Window
) -> tuple[jax.Array, Any]:
    """O, and its pull-back."""
    structures = []
    attend = partial(_attend, scale=scale, is_causal=_sees_no_later(is_causal, window), window=window)

    @jax.custom_jvp
    def both(given):
        out, pull = jax.vjp(lambda *floating: attend(Arguments(*floating, *given[4:])), *given[:4])
        leaves, structure = jax.tree.flatten(pull)
        structures.append(structure)
        return out, leaves

    @both.defjvp
    def _(arguments, tangents):
        out, leaves = both(*arguments)
        return (out, leaves), (jax.jvp(tiles[0], arguments, tangents)[1], list(map(zero_from_primal, leaves)))

    out, leaves = both(given)
    return out, jax.tree.unflatten(structures[-1], leaves)


def backward(given: Arguments, pull: Any, dout: jax.Array, tiles: Halves) -> tuple[jax.Array | None, ...]:
    """dQ, dK, dV and dB."""
    leaves, structure = jax.tree.flatten(pull)

    @jax.custom_jvp
    def gradients(leaves, given, dout):
        return jax.tree.unflatten(structure, leaves)(dout)

    @gradients.defjvp
    def _(primals, tangents):
        return gradients(*primals), jax.jvp(tiles[1], primals[1:], tangents[1:])[1]

    return gradients(leaves, given, dout)


def _attend(given, scale, is_causal, window):
    """What the kernels take: one batch axis, whole matrices, no empty sequence, and some key for each query to see.

    Where a query sees no key, or none counts, they leave what was there, or make NaN.
    """
    counted = (given.query, given.query_lengths), (given.key, given.key_lengths), (given.value, given.key_lengths)
    query, key, value = (rows(within(x, lengths, trailing=2), axes=3) for x, lengths in counted)
    bias, mask = (_matrices(array, given) for array in (given.bias, given.mask))
    lengths = [None if each is None else whole(each).reshape(-1) for each in given[5:]]
    seen = _seen(bias, mask, lengths, given, is_causal, window)
    if seen is not None:
        query = jnp.where(jnp.swapaxes(seen, 1, 2), query, 0)
        bias = None if bias is None else jnp.where(seen, bias, 0)
        mask = None if mask is None else mask | ~seen
    left = window if isinstance(window, int) or window is None else window[0]
    options = {"scale": scale, "is_causal": is_causal, "local_window_size": None if left is None else (left, 0)}
    ends = (
        None if each is None else jnp.clip(each, 1, x.shape[1]) for each, x in zip(lengths, (query, key), strict=True)
    )
    out = _kernels(query, key, value, bias, mask, *ends, **options)
    out = out if seen is None else jnp.where(jnp.swapaxes(seen, 1, 2), out, 0)
    return out.reshape(given.query.shape)


def _kernels(query, key, value, bias, mask, query_lengths, key_lengths, **options):
    lengths = (query_lengths, key_lengths)
    lengths = (None if each is None else each.astype(jnp.int32) for each in lengths)
    options |= dict(zip(("query_seq_lengths", "key_value_seq_lengths"), lengths, strict=True))
    return jax.nn.dot_product_attention(query, key, value, bias, mask, implementation="cudnn", **options)


def _matrices(array, given):
    """A bias or a mask as (batch or 1, heads or 1, time, source)."""
    if array is None:
        return None
    batch, heads = _leading(array, given)
    array = array.reshape(*[1] * (given.query.ndim - array.ndim), *array.shape)
    return rows(jnp.broadcast_to(array, (*batch, heads, *_matrix(given))), axes=3)


def _leading(array, given):
    """The batch axes and the heads that a bias or a mask has matrices for."""
    *batch, heads = (1,) * (given.query.ndim - array.ndim) + array.shape[:-2]
    return (batch if all(size == 1 for size in batch) else given.query.shape[:-3]), heads


def _matrix(given):
    return given.query.shape[-3], given.key.shape[-3]


def _logits(given):
    """How many logits have a bias or a mask of their own."""
    several = [math.prod((*batch, heads)) for batch, heads in (_leading(a, given) for a in given[3:5] if a is not None)]
    return max(several, default=0) * math.prod(_matrix(given))


def _seen(bias, mask, lengths, given, is_causal, window):
    """Which queries count and see a key, (batch or 1, heads or 1, time, 1); None where all do."""
    if all(array is None for array in (bias, mask, *lengths)):
        return None
    query_lengths, key_lengths = lengths
    i, j = jnp.arange(given.query.shape[-3])[:, None], jnp.arange(given.key.shape[-3])
    pairs = jnp.ones((1, 1, 1, 1), bool)
    if key_lengths is not None:
        pairs &= j < key_lengths[:, None, None, None]
    if bias is not None or mask is not None:
        pairs &= (j <= i) | (not is_causal)
        pairs &= True if window is None else j >= i - (window if isinstance(window, int) else window[0])
        pairs &= True if mask is None else mask
        pairs &= True if bias is None else bias > -jnp.inf
    seen = pairs.any(axis=-1, keepdims=True)
    seen = seen if query_lengths is None else seen & (i < query_lengths[:, None, None, None])
    return jnp.broadcast_to(seen, (*seen.shape[:2], len(i), 1))
