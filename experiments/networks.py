"""Small networks of the gallery's blocks, each explained layer by layer: its backward pass beside the automatic one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.layers import Layer


@dataclass(frozen=True)
class Network:
    """A network, one mini-batch and what its output should be.

    Attributes:
      like: the example of the gallery that shows the same block as a graph.
      draws: whether it needs a key.
    """

    title: str
    like: str
    net: Layer
    loss: Callable[..., jax.Array]
    x: jax.Array
    y: jax.Array
    draws: bool = False

    def explain(self) -> Any:
        """The table of its values and gradients."""
        params, _ = self.net.init(jax.random.key(0), self.x.shape[1:])
        return jb.explain(self.net, self.loss)(params, self.x, self.y, jax.random.key(1) if self.draws else None)


def _drawn(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(2), shape).round(2)


def _through_time(title: str, like: str, recurrence: Layer) -> Network:
    """A label for every step of two sequences."""
    net, labels = layers.chain(recurrence, layers.linear(2)), jnp.array([[0, 1, 1, 0], [1, 1, 0, 0]])
    return Network(title, like, net, rules.softmax_cross_entropy, _drawn(2, 4, 1), labels)


_WORDS = jnp.array([[2, 0, 3], [1, 3, 0]])
_HEADS = layers.chain(layers.linear(4), layers.reshape(3, 2, 2))

NETWORKS = {
    "softmax-cross-entropy": Network(
        "Softmax and cross-entropy",
        "softmax-regression",
        layers.chain(layers.linear(4), layers.tanh(), layers.linear(3)),
        rules.softmax_cross_entropy,
        _drawn(4, 2),
        jnp.array([0, 2, 1, 1]),
    ),
    "convolution": Network(
        "A convolution and max pooling",
        "convolution",
        layers.chain(
            layers.conv(2, (3, 2)), layers.relu(), layers.max_pool((2, 2)), layers.flatten(), layers.linear(3)
        ),
        rules.softmax_cross_entropy,
        _drawn(3, 4, 6, 1),
        jnp.array([0, 2, 1]),
    ),
    "layer-norm": Network(
        "Layer normalisation",
        "layer-norm",
        layers.chain(layers.linear(4), layers.layer_norm(), layers.tanh(), layers.linear(2)),
        rules.squared_error,
        _drawn(3, 5),
        jnp.ones((3, 2)),
    ),
    "rnn": _through_time("A recurrence through time", "rnn", layers.rnn(3)),
    "lstm": _through_time("An LSTM through time", "lstm", layers.lstm(3)),
    "attention": Network(
        "Attention",
        "attention",
        layers.chain(layers.parallel(_HEADS, _HEADS, _HEADS), layers.dot_product_attention(), layers.reshape(3, 4)),
        rules.squared_error,
        _drawn(2, 3, 4),
        jnp.ones((2, 3, 4)),
    ),
    "transformer-block": Network(
        "A transformer block",
        "attention",
        layers.transformer_block(4, heads=2, kv_heads=1, inner=6, dropout=0.5, keep="inputs"),
        rules.squared_error,
        _drawn(2, 3, 4),
        jnp.ones((2, 3, 4)),
        draws=True,
    ),
    "dropout": Network(
        "Dropout",
        "dropout",
        layers.chain(layers.linear(5), layers.dropout(0.5), layers.linear(2)),
        rules.squared_error,
        _drawn(3, 4),
        jnp.ones((3, 2)),
        draws=True,
    ),
    "residual": Network(
        "Round a block",
        "residual",
        layers.chain(layers.residual(layers.linear(3), layers.tanh()), layers.linear(2)),
        rules.squared_error,
        _drawn(4, 3),
        jnp.ones((4, 2)),
    ),
    "tied-table": Network(
        "A tied table",
        "tied-table",
        layers.shared(
            layers.chain(layers.embedding(4, 2), layers.tanh(), layers.linear(4, bias=False)), ("0.table", "2.w.T")
        ),
        rules.softmax_cross_entropy,
        _WORDS,
        jnp.array([[0, 3, 1], [3, 0, 2]]),
    ),
}
