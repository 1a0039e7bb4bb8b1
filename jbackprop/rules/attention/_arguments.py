"""What attention asks of its arguments."""

import inspect
import math

from jbackprop.rules._arrays import check_floating, check_numbers, given, widen
from jbackprop.rules._options import check_number, number

_NAME = "dot_product_attention"
_TILES = 2**20
"""So many may be listed for a given block size: T² of size 1."""


def check_attention(arguments, window, block_size):
    """Raises what `dot_product_attention` says that it raises."""
    query, key, value, bias, mask, *lengths = arguments
    check_floating(_NAME, query=query, key=key, value=value, **given(bias=bias))
    _check_heads(query, key, value)
    wanted = (*query.shape[:-3], query.shape[-2], query.shape[-3], key.shape[-3])
    for name, array in given(bias=bias, mask=mask).items():
        _check_broadcast(name, array.shape, wanted)
    if mask is not None and mask.dtype != bool:
        raise TypeError(f"{_NAME}: mask, wanted booleans, got {mask.dtype}")
    for name, array, size in zip(("query_seq_lengths", "key_value_seq_lengths"), lengths, wanted[-2:], strict=True):
        if array is not None:
            _check_lengths(name, array, query.shape[:-3], size)
    _check_options(window, block_size, *wanted[-2:])


def scaled_before(rule, *arguments, **named):
    """A call with a scale that is an array: as one with the query times that, in its dtype."""
    bound = inspect.signature(rule.fun).bind(*arguments, **named)
    query, scale = bound.arguments["query"], bound.arguments["scale"]
    check_floating(_NAME, query=query)
    check_number(_NAME, scale=scale)
    wide = widen(query)
    bound.arguments |= {"query": (wide * number(scale, wide)).astype(query.dtype), "scale": 1.0}
    return rule(*bound.args, **bound.kwargs)


def check_implementation(implementation, refusal):
    """Raises where it is none, or one that cannot take the call, for a reason that is given."""
    if implementation not in (None, "xla", "cudnn"):
        raise ValueError(f"{_NAME}: implementation, wanted 'xla', 'cudnn' or None, got {implementation!r}")
    if implementation == "cudnn" and refusal:
        raise ValueError(f"{_NAME}: implementation, wanted {refusal} for 'cudnn' (None takes 'xla' here), got 'cudnn'")


def _check_heads(query, key, value):
    if query.ndim < 3:
        raise ValueError(f"{_NAME}: query, wanted shape (*batch, time, heads, depth), got {query.shape}")
    if key.ndim != query.ndim or key.shape[:-3] != query.shape[:-3] or key.shape[-1] != query.shape[-1]:
        raise ValueError(
            f"{_NAME}: key, wanted the batch axes and the depth of the query {query.shape}, got {key.shape}"
        )
    if value.shape[:-1] != key.shape[:-1]:
        raise ValueError(f"{_NAME}: value, wanted shape {key.shape[:-1]} (of key) and a depth, got {value.shape}")
    if query.shape[-2] % max(key.shape[-2], 1) or not key.shape[-2]:
        raise ValueError(
            f"{_NAME}: query, wanted a multiple of {key.shape[-2]} heads (those of key), got {query.shape[-2]}"
        )


def _check_broadcast(name, shape, wanted):
    sizes = zip(reversed(shape), reversed(wanted), strict=False)
    if math.prod(shape[: -len(wanted)]) != 1 or any(size not in (1, full) for size, full in sizes):
        raise ValueError(
            f"{_NAME}: {name}, wanted a shape that broadcasts to {wanted} (*batch, heads, time, source), got {shape}"
        )


def _check_lengths(name, lengths, batch, size):
    check_numbers(_NAME, name, lengths, size, f"lengths in [0, {size}]")
    if lengths.shape != batch:
        raise ValueError(f"{_NAME}: {name}, wanted shape {batch} (batch axes of query), got {lengths.shape}")


def _check_options(window, block_size, time, source):
    sides = (window,) if isinstance(window, int) else window or ()
    if any(side < 0 for side in sides):
        raise ValueError(f"{_NAME}: local_window_size, wanted numbers that are not negative, got {window}")
    if block_size is not None and block_size < 1:
        raise ValueError(f"{_NAME}: block_size, wanted at least 1, got {block_size}")
    tiles = 0 if block_size is None else -(-time // block_size) * -(-source // block_size)
    if tiles > _TILES:
        least = math.ceil(math.sqrt(time * source / _TILES))
        raise ValueError(
            f"{_NAME}: block_size, wanted at least some {least} (at most {_TILES} tiles), got {block_size}"
        )
