"""cuDNN's attention for each option that it takes: as far from the tiles in float32 as the tiles in bfloat16 are."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import rules

_BATCH, _TIME, _HEADS, _DEPTH = 4, 192, 4, 64
_RANDOM = np.random.default_rng(0)
_BIAS = _RANDOM.normal(size=(_BATCH, _HEADS, _TIME, _TIME)).astype(jnp.bfloat16)
_MASK = _RANDOM.random(_BIAS.shape) < 0.6
_MASK[0, :, 5] = False
_HIDING = np.where(np.arange(_TIME)[:, None] == 3, -np.inf, _BIAS).astype(_BIAS.dtype)
_KEYS = {"key_value_seq_lengths": np.array([_TIME, _TIME // 3, 1, 0])}
_QUERIES = {"query_seq_lengths": np.array([_TIME // 2, _TIME, 7, 0])}
_CAUSAL = {"is_causal": True}

ATTENTION: dict[str, dict[str, Any]] = {
    f"cuDNN's attention, {name}": options
    for name, options in {
        "plain": {},
        "causal": _CAUSAL,
        "lengths": _KEYS | _QUERIES,
        "lengths, causal": _KEYS | _CAUSAL,
        "window to the left": {"local_window_size": (32, 0)},
        "window, query lengths, causal": {"local_window_size": 32} | _QUERIES | _CAUSAL,
        "window, mask": {"local_window_size": (9, 0), "mask": _MASK[:1, :1]},
        "bias": {"bias": _BIAS},
        "bias of each head, causal": {"bias": _BIAS[0]} | _CAUSAL,
        "bias of each key": {"bias": _BIAS[:, :1, :1]},
        "bias that hides all keys": {"bias": _HIDING},
        "mask that hides all keys": {"mask": _MASK},
        "mask, bias, lengths, causal": {"mask": _MASK[:, :1], "bias": _BIAS[:1]} | _KEYS | _CAUSAL,
    }.items()
}
"""The options, by what is checked."""


def attention_fault(name: str) -> str:
    """What is wrong with it, "" for nothing.

    Raises:
      ValueError: there is no cuDNN that takes it.
    """
    options = dict(ATTENTION[name])
    floating = {**_arrays(options), **{key: options.pop(key) for key in ("bias",) if key in options}}
    shape = floating["query"].shape
    cotangent = _RANDOM.normal(size=shape).astype(jnp.bfloat16)
    kernels, tiles = (_pulled(each, floating, cotangent, options) for each in ("cudnn", "xla"))
    wide = {key: np.asarray(array, np.float32) for key, array in floating.items()}
    with jax.default_matmul_precision("highest"):
        exact = _pulled("xla", wide, np.asarray(cotangent, np.float32), options)
    for key, wanted in exact.items():
        found, usual = (_distance(arrays[key], wanted) for arrays in (kernels, tiles))
        if not found <= 4 * max(usual, float(jnp.finfo(jnp.bfloat16).eps)):
            return f"{key} is {found:.1e} of its size from that in float32, which the tiles' is {usual:.1e} from"
    return ""


def _arrays(options):
    """Query, key and value, NaN where a length says that nothing counts."""
    arrays = {}
    lengths = {"query": "query_seq_lengths", "key": "key_value_seq_lengths", "value": "key_value_seq_lengths"}
    for name, of in lengths.items():
        drawn = _RANDOM.normal(size=(_BATCH, _TIME, _HEADS, _DEPTH))
        ends = options.get(of, np.full(_BATCH, _TIME))
        drawn[np.arange(_TIME) >= ends[:, None]] = np.nan
        arrays[name] = drawn.astype(jnp.bfloat16)
    return arrays


def _pulled(implementation, floating, cotangent, options):
    """The output and the gradients, by name."""

    @jax.jit
    def run(floating, cotangent):
        attention = partial(rules.dot_product_attention, implementation=implementation, **options)
        out, pull = jax.vjp(lambda floating: attention(**floating), floating)
        return {"output": out, **{f"gradient of {name}": array for name, array in pull(cotangent)[0].items()}}

    return run(floating, cotangent)


def _distance(array, wanted):
    difference = np.asarray(array, np.float64) - np.asarray(wanted, np.float64)
    return np.linalg.norm(difference) / max(np.linalg.norm(np.asarray(wanted, np.float64)), 1e-30)
