"""Cases of attention: each option alone and together, tiles that do not divide the sequences, heads that share keys."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, Draw, fixed, float32, normal


def _reference(
    query,
    key,
    value,
    bias=None,
    mask=None,
    query_seq_lengths=None,
    key_value_seq_lengths=None,
    scale=None,
    is_causal=False,
    local_window_size=None,
):
    """By the whole matrix of logits.  t is a query, s a key, k a key head, g a query head that uses it, d a feature.

    `jax.nn.dot_product_attention` takes its softmax in float32 alone, and the mean of all values where none is seen.
    """
    (time, heads, depth), (source, shared) = query.shape[-3:], key.shape[-3:-1]
    grouped = query.reshape(*query.shape[:-2], shared, heads // shared, depth)
    logits = jnp.einsum("...tkgd,...skd->...kgts", grouped, key) * (depth**-0.5 if scale is None else scale)
    logits = logits.reshape(*query.shape[:-3], heads, time, source)
    logits = logits if bias is None else logits + bias
    seen = jnp.ones(logits.shape, bool) if mask is None else jnp.broadcast_to(mask, logits.shape)
    left, right = (local_window_size,) * 2 if isinstance(local_window_size, int) else local_window_size or (99, 99)
    ahead = jnp.arange(source) - jnp.arange(time)[:, None]
    seen &= (-left <= ahead) & (ahead <= (0 if is_causal else right))
    if query_seq_lengths is not None:
        seen &= jnp.arange(time)[:, None] < query_seq_lengths[..., None, None, None]
    if key_value_seq_lengths is not None:
        seen &= jnp.arange(source) < key_value_seq_lengths[..., None, None, None]
    p = jax.nn.softmax(logits, axis=-1, where=seen)
    p = jnp.where(seen.any(-1, keepdims=True), p, 0).reshape(*query.shape[:-3], shared, -1, time, source)
    return jnp.einsum("...kgts,...skd->...tkgd", p, value).reshape(*query.shape[:-1], value.shape[-1])


def _mask(*shape: int) -> Draw:
    return lambda key, dtype: jax.random.bernoulli(key, 0.6, shape)


def _named(function, names, query, key, value, *more, **options):
    """The function with what comes after the value by name, since any of it may be absent."""
    return function(query, key, value, **dict(zip(names, more, strict=True)), **options)


def _case(name, query, key, value_depth, more=None, kept=(), block_size=None, at_scale=(), **options):
    """query: (*batch, time, heads, depth); key: (*batch, source, key heads, depth).

    `more` draws the bias, mask and lengths, of which `kept` are the shapes.
    """
    value, out, more = (*key[:-1], value_depth), (*query[:-1], value_depth), more or {}
    side = block_size or query[-3]
    numbers = *query[:-3], query[-2], math.ceil(query[-3] / side) * side
    kept = (*float32(query, key, value, out, numbers, numbers), *kept)
    return Case(
        name,
        partial(_named, rules.dot_product_attention, tuple(more), block_size=block_size, **options),
        partial(_named, _reference, tuple(more), **options),
        (normal(*query), normal(*key), normal(*value), *more.values()),
        kept,
        at_scale,
    )


_LONG, _SHORT = ((normal(*shape),) * 3 for shape in [(1, 4096, 8, 64), (4, 1024, 8, 64)])

ATTENTION = (
    _case("attention, causal", (3, 7, 2, 4), (3, 5, 2, 4), 6, is_causal=True, at_scale=_SHORT),
    _case("attention, causal, no batch axis", (7, 3, 4), (8, 3, 4), 5, is_causal=True, at_scale=_LONG),
    _case(
        "attention, window, two batch axes",
        (1, 2, 7, 3, 4),
        (1, 2, 5, 3, 4),
        6,
        block_size=2,
        local_window_size=(2, 1),
        scale=0.3,
    ),
    _case(
        "attention, bias for all examples, mask",
        (3, 5, 2, 4),
        (3, 7, 1, 4),
        6,
        {"bias": normal(2, 1, 7), "mask": _mask(3, 1, 5, 7)},
        ("float32[2,1,7]", "bool[3,1,5,7]"),
        block_size=3,
        local_window_size=1,
    ),
    _case(
        "attention, lengths",
        (3, 5, 2, 4),
        (3, 7, 2, 4),
        6,
        {"query_seq_lengths": fixed([5, 0, 3]), "key_value_seq_lengths": fixed([7, 4, 0])},
        ("int32[3]", "int32[3]"),
        block_size=2,
    ),
)
