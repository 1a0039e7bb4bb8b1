"""Layers in a row: aˡ = fˡ(aˡ⁻¹), and backpropagation itself.

    ∂C/∂aˡ⁻¹ = (∂C/∂aˡ) (∂aˡ/∂aˡ⁻¹)        from the last layer to the first, each product computed once

Every gradient of an earlier layer contains the product of all later Jacobians; going backward, that product is one row
of numbers for each example, ∂C/∂aˡ, handed from layer to layer.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax

from ._layer import Layer, Params, total


def chain(*layers: Layer) -> Layer:
    """The composition of layers, itself a layer: params, cache and deltas are tuples with one entry for each.

    Raises:
      TypeError: an argument is not a `Layer` (an activation wants its brackets: `relu()`).
      ValueError: there is no layer.
    """
    _check(layers)

    def init(key, shape):
        params = []
        for layer, layer_key in zip(layers, jax.random.split(key, len(layers)), strict=True):
            layer_params, shape = layer.init(layer_key, shape)
            params.append(layer_params)
        return tuple(params), shape

    def forward(params, a, key=None):
        cache = []
        for layer, layer_params, layer_key in in_order(layers, params, key):
            a, kept = layer.forward(layer_params, a, layer_key)
            cache.append(kept)
        return a, tuple(cache)

    def backward(params, cache, da):
        deltas = []
        for layer, layer_params, kept in reversed(list(zip(layers, params, cache, strict=True))):
            da, delta = layer.backward(layer_params, kept, da)
            deltas.append(delta)
        return da, tuple(reversed(deltas))

    def gradient(params, cache, deltas, contract=total):
        parts = zip(layers, params, cache, deltas, strict=True)
        return tuple(layer.gradient(*part, contract) for layer, *part in parts)

    def apply(params, a, key=None):
        for layer, layer_params, layer_key in in_order(layers, params, key):
            a = layer.apply(layer_params, a, layer_key)
        return a

    return Layer(init, forward, backward, gradient, apply, parts=layers)


def in_order(
    layers: Sequence[Layer], params: Sequence[Params], key: jax.Array | None
) -> Iterator[tuple[Layer, Params, Any]]:
    """Each layer of a chain with its own parameters and its own key."""
    keys = [None] * len(layers) if key is None else jax.random.split(key, len(layers))
    return zip(layers, params, keys, strict=True)


def _check(layers):
    if not layers:
        raise ValueError("chain: layers, wanted at least one, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"chain: layers[{i}], wanted a Layer, got {layer!r}")
