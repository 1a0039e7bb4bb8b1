"""Cases of the layers: each with the shape of one example, the batch left out.

Sizes are pairwise distinct where a shape allows it, so that a transpose cannot hide.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jbackprop import layers


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """A layer or a network, and what to try it on.

    Attributes:
      name: what a report calls it.
      layer: the layer.
      shape: of one example; of several inputs a tuple of shapes.
      numbers: for an input of integers, how many there are; of several inputs one for each, 0 for one of floats.
      mixes_examples: whether an example's output depends on the others.
      draws: whether the layer draws random numbers where it is given a key.
    """

    name: str
    layer: layers.Layer
    shape: Any
    numbers: int | tuple[int, ...] = 0
    mixes_examples: bool = False
    draws: bool = False

    def inputs(self, seed: int, examples: int, dtype: DTypeLike = jnp.float32) -> Any:
        """Random inputs of so many examples."""
        rng = np.random.default_rng(seed)
        several = not _is_shape(self.shape)
        shapes = self.shape if several else (self.shape,)
        numbers = self.numbers if isinstance(self.numbers, tuple) else (self.numbers,) * len(shapes)
        drawn = tuple(_drawn(rng, (examples, *shape), n, dtype) for shape, n in zip(shapes, numbers, strict=True))
        return drawn if several else drawn[0]


def _drawn(rng, shape, numbers, dtype):
    return jax.device_put(rng.integers(numbers, size=shape) if numbers else rng.normal(size=shape).astype(dtype))


def _is_shape(node):
    return isinstance(node, tuple) and all(isinstance(size, int) for size in node)


_ENTRIES = [
    layers.celu(),
    layers.elu(1.5),
    layers.gelu(),
    layers.gelu(approximate=False),
    layers.hard_sigmoid(),
    layers.hard_silu(),
    layers.hard_tanh(),
    layers.leaky_relu(0.3),
    layers.log_sigmoid(),
    layers.log_softmax(),
    layers.mish(),
    layers.prelu(),
    layers.prelu(per_feature=False),
    layers.relu(),
    layers.relu6(),
    layers.relu_squared(),
    layers.selu(),
    layers.sigmoid(),
    layers.silu(),
    layers.soft_sign(),
    layers.softmax(),
    layers.softplus(),
    layers.sparse_plus(),
    layers.sparse_sigmoid(),
    layers.squareplus(),
    layers.tanh(),
    layers.clip_gradient(0.5),
    layers.clip_gradient_norm(0.5),
    layers.reverse_gradient(),
    layers.scale_gradient(0.3),
    layers.stop_gradient(),
    layers.straight_through(),
    layers.identity(),
    layers.flatten(),
    layers.reshape(3, -1),
    layers.layer_norm(),
    layers.layer_norm(offset=False, keep="normalised"),
    layers.layer_norm(scale=False, offset=False),
    layers.rms_norm(),
    layers.linear(5),
    layers.linear(5, bias=False),
    layers.learned_positions(7),
    layers.logsumexp(-1),
    layers.sinusoidal_positions(),
    layers.glu(),
    layers.split(1, 3, 2),
]

_IMAGES = [
    layers.conv(5, (3, 2)),
    layers.conv(6, (2, 3), strides=(2, 1), padding="VALID", groups=2, bias=False),
    layers.conv_transpose(5, (3, 2), strides=(2, 1)),
    layers.group_norm(2),
    layers.instance_norm(),
    layers.max_pool((2, 3)),
    layers.avg_pool((2, 2), strides=(1, 2), padding="SAME", count_include_pad=False),
    layers.global_avg_pool(),
]

_SEQUENCES = [
    layers.rnn(4),
    layers.rnn(4, activation="relu", reverse=True),
    layers.gru(4),
    layers.lstm(4),
    layers.bidirectional(layers.gru(4)),
    layers.rnn(4, output="last", reverse=True),
    layers.lstm(4, output="last"),
]


def _block(features):
    return layers.chain(layers.layer_norm(), layers.linear(7), layers.gelu(), layers.linear(features))


_HEAD = layers.linear(11, bias=False)

LAYERS = (
    *(LayerCase(repr(layer), layer, (3, 6)) for layer in _ENTRIES),
    *(LayerCase(repr(layer), layer, (5, 6, 4)) for layer in _IMAGES),
    *(LayerCase(repr(layer), layer, (5, 3)) for layer in _SEQUENCES),
    LayerCase("batch_norm", layers.batch_norm(), (3, 6), mixes_examples=True),
    LayerCase("dropout", layers.dropout(0.3), (3, 6), draws=True),
    LayerCase("embedding", layers.embedding(11, 4), (5,), numbers=11),
    LayerCase("rotary_embedding", layers.rotary_embedding(), (5, 3, 4)),
    LayerCase("swiglu", layers.swiglu(), ((3, 6), (3, 6))),
    LayerCase("geglu", layers.geglu(), ((3, 6), (3, 6))),
    LayerCase("reglu", layers.reglu(), ((3, 6), (3, 6))),
    LayerCase("cosine_similarity", layers.cosine_similarity(), ((6,), (6,))),
    LayerCase("cosine_distance", layers.cosine_distance(), ((6,), (6,))),
    LayerCase("linear_solve", layers.linear_solve(), ((4, 4), (4,))),
    LayerCase("lengths", layers.rnn(4, lengths=True), ((5, 3), ()), numbers=(0, 6)),
    LayerCase(
        "last of lengths", layers.gru(4, reverse=True, output="last", lengths=True), ((5, 3), ()), numbers=(0, 6)
    ),
    LayerCase("attention", layers.dot_product_attention(is_causal=True), ((5, 2, 4), (5, 2, 4), (5, 2, 3))),
)
"""Every layer that is no combinator."""

NETWORKS = (
    LayerCase("chain", layers.chain(layers.linear(5), layers.tanh(), layers.chain(layers.linear(3))), (6,)),
    LayerCase("residual", layers.residual(_block(6)), (4, 6)),
    LayerCase(
        "parallel, tuple, gated",
        layers.chain(layers.parallel(layers.linear(5), layers.linear(5)), layers.swiglu(), layers.linear(4)),
        (3, 6),
    ),
    LayerCase("parallel, sum", layers.parallel(layers.linear(5), layers.linear(5, bias=False), join="sum"), (6,)),
    LayerCase("parallel, concatenate", layers.parallel(layers.linear(5), layers.tanh(), join="concatenate"), (3, 6)),
    LayerCase(
        "parallel, split, sum",
        layers.parallel(layers.linear(5), layers.linear(5, bias=False), join="sum", split=True),
        ((6,), (4,)),
    ),
    LayerCase("stack", layers.chain(layers.stack(layers.residual(_block(6)), 3), layers.linear(4)), (5, 6)),
    LayerCase("stack in a stack", layers.stack(layers.stack(layers.residual(_block(6)), 2), 3, unroll=3), (5, 6)),
    LayerCase("checkpoint", layers.checkpoint(layers.linear(5), layers.tanh(), layers.linear(4)), (3, 6)),
    LayerCase("stack of checkpoints", layers.stack(layers.checkpoint(layers.residual(_block(6))), 3), (5, 6)),
    LayerCase("shared twice", layers.shared(layers.chain(_block(6), layers.tanh(), _block(6)), ("0", "2")), (5, 6)),
    LayerCase(
        "shared, a tied table",
        layers.shared(
            layers.chain(layers.embedding(11, 6), layers.stack(layers.residual(_block(6)), 2), _HEAD),
            ("0.table", "2.w.T"),
        ),
        (5,),
        numbers=11,
    ),
    LayerCase(
        "dropout in a stack", layers.stack(layers.residual(layers.linear(6), layers.dropout(0.4)), 3), (6,), draws=True
    ),
    LayerCase(
        "convolutional",
        layers.chain(
            layers.conv(4, (3, 3)),
            layers.relu(),
            layers.max_pool((2, 2)),
            layers.residual(layers.group_norm(2), layers.silu(), layers.conv(4, (3, 3))),
            layers.flatten(),
            layers.linear(7),
        ),
        (6, 8, 3),
    ),
    LayerCase(
        "batch norm in a stack",
        layers.chain(
            layers.stack(layers.residual(layers.batch_norm(), layers.linear(6), layers.relu()), 2), layers.linear(3)
        ),
        (6,),
        mixes_examples=True,
    ),
    LayerCase(
        "both directions of lengths",
        layers.chain(layers.bidirectional(layers.lstm(4, output="last", lengths=True)), layers.linear(3)),
        ((5, 3), ()),
        numbers=(0, 6),
    ),
    LayerCase("self-attention", layers.self_attention(12, 3, is_causal=True, bias=True), (5, 12)),
    LayerCase("transformer block", layers.transformer_block(12, 6, 7, kv_heads=2), (5, 12)),
    LayerCase(
        "stack of transformer blocks, attention kept",
        layers.stack(layers.transformer_block(8, 2, keep="attention", rotary=False, norm=layers.layer_norm), 2),
        (5, 8),
    ),
    LayerCase("transformer block, inputs kept", layers.transformer_block(8, 2, keep="inputs"), (5, 8)),
    LayerCase(
        "map over time",
        layers.chain(
            layers.map_over_time(layers.chain(layers.conv(4, (3, 2)), layers.relu(), layers.flatten())),
            layers.gru(5, output="last"),
        ),
        (5, 3, 4, 2),
    ),
    LayerCase("map over time, mixing", layers.map_over_time(layers.batch_norm()), (3, 6), mixes_examples=True),
    LayerCase(
        "map over time of two inputs", layers.map_over_time(layers.chain(layers.swiglu(), _block(6))), ((3, 6), (3, 6))
    ),
    LayerCase("reversible", layers.reversible(_block(6), layers.linear(6), 3), ((4, 6), (4, 6))),
    LayerCase(
        "reversible, mixing",
        layers.reversible(layers.chain(layers.batch_norm(), layers.tanh()), layers.linear(6), 2),
        ((6,), (6,)),
        mixes_examples=True,
    ),
    LayerCase(
        "reversible, with dropout",
        layers.reversible(layers.dropout(0.4), layers.linear(6), 2),
        ((6,), (6,)),
        draws=True,
    ),
    LayerCase("recurrent", layers.chain(layers.lstm(5), layers.residual(layers.gru(5)), layers.linear(3)), (4, 6)),
)
"""Every combinator, and networks of several."""
