"""Layers that a user may write, for several tests."""

import jax
import jax.numpy as jnp

from jbackprop import layers
from jbackprop.layers import Layer


def dropout(rate):
    """y = x ⊙ mask / (1 − rate) with a key, y = x without one."""

    def forward(params, x, key=None):
        mask = jnp.ones_like(x) if key is None else jax.random.bernoulli(key, 1 - rate, x.shape) / (1 - rate)
        return x * mask, mask

    return layers.define(forward, lambda params, mask, dy: (dy * mask, ()))


def residual(layer):
    """y = x + f(x)."""

    def forward(params, x, key=None):
        y, cache = layer.forward(params, x, key)
        return x + y, cache

    def backward(params, cache, dy):
        dx, delta = layer.backward(params, cache, dy)
        return dy + dx, delta

    def apply(params, x, key=None):
        return x + layer.apply(params, x, key)

    return Layer(layer.init, forward, backward, layer.gradient, apply)
