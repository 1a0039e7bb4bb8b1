"""Training steps in Flax NNX and optax, written as their users write them; each function makes one for a batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def mlp(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """784-512-512-10."""
    rngs = nnx.Rngs(0)
    hidden = nnx.Linear(784, 512, rngs=rngs), nnx.relu, nnx.Linear(512, 512, rngs=rngs), nnx.relu
    return _step(nnx.Sequential(*hidden, nnx.Linear(512, 10, rngs=rngs)), x, y, rate)


def cnn(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """Two convolutions and two linear layers."""
    rngs, pool = nnx.Rngs(0), partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    blocks = [nnx.Conv(1, 32, (3, 3), rngs=rngs), nnx.relu, pool, nnx.Conv(32, 64, (3, 3), rngs=rngs), nnx.relu, pool]
    head = nnx.Linear(64 * 49, 128, rngs=rngs), nnx.relu, nnx.Linear(128, 10, rngs=rngs)
    return _step(nnx.Sequential(*blocks, lambda x: x.reshape(len(x), -1), *head), x, y, rate)


def lstm(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """A label for every step."""
    rngs, size = nnx.Rngs(0), x.shape[-1]
    inside = nnx.RNN(nnx.OptimizedLSTMCell(size, size, rngs=rngs))
    return _step(nnx.Sequential(inside, nnx.Linear(size, 10, rngs=rngs)), x, y, rate)


def gpt(
    x: Any, y: Any, rate: float, width: int = 256, depth: int = 4, heads: int = 4, vocabulary: int = 4096
) -> Callable[[], Any]:
    """Blocks of attention and a gated MLP between one table, used at both ends."""
    rngs, half = nnx.Rngs(0), width // heads // 2
    angles = jnp.arange(x.shape[1])[:, None] * 10000.0 ** (-jnp.arange(half) / half)
    turned = partial(_turned, cos=jnp.cos(angles)[:, None], sin=jnp.sin(angles)[:, None])

    class Net(nnx.Module):
        def __init__(self) -> None:
            self.table = nnx.Embed(vocabulary, width, rngs=rngs)
            self.blocks = nnx.Sequential(*(_Block(width, heads, turned, rngs) for _ in range(depth)))
            self.norm = nnx.RMSNorm(width, rngs=rngs)

        def __call__(self, ids):
            return self.table.attend(self.norm(self.blocks(self.table(ids))))

    return _step(Net(), x, y, rate)


class _Block(nnx.Module):
    """Causal attention with rotary positions, and a gated MLP."""

    def __init__(self, width: int, heads: int, turned: Callable[[jax.Array], jax.Array], rngs: nnx.Rngs) -> None:
        inner, linear = -(-width // 3) * 8, partial(nnx.Linear, use_bias=False, rngs=rngs)
        self.attention_norm, self.norm = nnx.RMSNorm(width, rngs=rngs), nnx.RMSNorm(width, rngs=rngs)
        self.projections, self.out = linear(width, 3 * width), linear(width, width)
        self.up, self.down = linear(width, 2 * inner), linear(inner, width)
        self.heads, self.turned = heads, turned

    def __call__(self, x):
        parts = jnp.split(self.projections(self.attention_norm(x)), 3, axis=-1)
        q, k, v = (part.reshape(*part.shape[:-1], self.heads, -1) for part in parts)
        y = jax.nn.dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True)
        x = x + self.out(y.reshape(x.shape))
        gate, value = jnp.split(self.up(self.norm(x)), 2, axis=-1)
        return x + self.down(nnx.silu(gate) * value)


def _turned(x, cos, sin):
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


STEPS: dict[str, Callable[..., Callable[[], Any]]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}


def _step(net, x, y, rate):
    """Forward, backward and Adam; the mean cross-entropy of every label."""
    optimizer = nnx.Optimizer(net, optax.adam(rate), wrt=nnx.Param)

    @nnx.jit
    def step(net, optimizer, x, y):
        def cost(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        cost, gradients = nnx.value_and_grad(cost)(net)
        optimizer.update(net, gradients)
        return cost

    return lambda: jax.block_until_ready(step(net, optimizer, x, y))
