"""The rules as Flax has them, under our names and options."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen


def linear(x, w, b=None) -> Any:
    kernel = {"kernel": w} if b is None else {"kernel": w, "bias": b}
    return linen.Dense(w.shape[-1], use_bias=b is not None).apply({"params": kernel}, x)


def mlp_block(x, w1, b1, w2, b2):
    return linear(linen.gelu(linear(x, w1, b1)), w2, b2)


def _affine(scale, offset):
    parameters = {"scale": scale, "bias": offset}
    return {"params": {name: value for name, value in parameters.items() if value is not None}}


def layer_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    norm = linen.LayerNorm(eps, use_scale=scale is not None, use_bias=offset is not None)
    return norm.apply(_affine(scale, offset), x)


def rms_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    y = linen.RMSNorm(eps, use_scale=scale is not None).apply(_affine(scale, None), x)
    return y if offset is None else y + offset


def group_norm(x, scale=None, offset=None, groups=1, spatial=2, eps=1e-5, keep=None):
    norm = linen.GroupNorm(groups, epsilon=eps, use_scale=scale is not None, use_bias=offset is not None)
    return norm.apply(_affine(scale, offset), x)


def instance_norm(x, scale=None, offset=None, spatial=2, eps=1e-5, keep=None):
    return group_norm(x, scale, offset, groups=x.shape[-1], eps=eps)


def batch_norm_evaluation(x, mean, variance, scale=None, offset=None, eps=1e-5, keep=None):
    norm = linen.BatchNorm(True, epsilon=eps, use_scale=scale is not None, use_bias=offset is not None)
    return norm.apply({**_affine(scale, offset), "batch_stats": {"mean": mean, "var": variance}}, x)


def embedding(table, ids, padding_index=None):
    return linen.Embed(*table.shape).apply({"params": {"embedding": table}}, ids)


def max_pool(x, **options):
    return linen.max_pool(x, **options)


def avg_pool(x, **options):
    return linen.avg_pool(x, **options)


def conv(x, kernel, bias=None, window_strides=1, padding="SAME", rhs_dilation=1, **options):
    layer = linen.Conv(
        kernel.shape[-1],
        kernel.shape[:-2],
        strides=window_strides,
        padding=padding,
        kernel_dilation=rhs_dilation,
        feature_group_count=x.shape[-1] // kernel.shape[-2],
        use_bias=bias is not None,
    )
    return layer.apply({"params": {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}}, x)


def lstm(x, w, u, b, c, h):
    """Flax holds the gates' weights apart, and its biases with those of the state."""
    gates = zip("ifgo", *(jnp.split(array, 4, axis=-1) for array in (w, u, b)), strict=True)
    params = {}
    for gate, w_gate, u_gate, b_gate in gates:
        params |= {f"i{gate}": {"kernel": w_gate}, f"h{gate}": {"kernel": u_gate, "bias": b_gate}}
    layer = linen.RNN(linen.OptimizedLSTMCell(len(u)), return_carry=True)
    return layer.apply({"params": {"cell": params}}, x, initial_carry=(c, h))


TWINS: dict[str, Callable] = {
    "embedding": embedding,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "conv": conv,
    "lstm": lstm,
    "linear": linear,
    "mlp_block": mlp_block,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "batch_norm_evaluation": batch_norm_evaluation,
}
