"""One value and gradient of a language model of GPT-2's size: plain functions over the rules, and over JAX alone.

Twelve blocks of causal attention and a gated MLP of 2048 between one table, used at both ends, in bfloat16; a batch of
16 × 1024 tokens.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop import rules

from . import plain
from .arrays import BFLOAT16, Array

DEPTH, WIDTH, INNER, HEADS, TIME, BATCH, VOCABULARY = 12, 768, 2048, 12, 1024, 16, 50304

_WEIGHTS = {
    "before": (WIDTH,),
    "queries_keys_values": (WIDTH, 3 * WIDTH),
    "out": (WIDTH, WIDTH),
    "between": (WIDTH,),
    "up": (WIDTH, 2 * INNER),
    "down": (INNER, WIDTH),
}
_BLOCK = {name: Array(shape, BFLOAT16) for name, shape in _WEIGHTS.items()}
_PARAMETERS = {
    "table": Array((VOCABULARY, WIDTH), BFLOAT16),
    "positions": Array((TIME, WIDTH), BFLOAT16),
    "blocks": [_BLOCK] * DEPTH,
    "after": Array((WIDTH,), BFLOAT16),
}
ARGUMENTS = (_PARAMETERS, Array((BATCH, TIME), below=VOCABULARY), Array((BATCH, TIME), below=VOCABULARY))


class Parts(NamedTuple):
    """The functions that a model is made of."""

    embedding: Callable[..., jax.Array]
    linear: Callable[..., jax.Array]
    norm: Callable[..., jax.Array]
    attention: Callable[..., jax.Array]
    gate: Callable[[jax.Array], jax.Array]
    losses: Callable[..., jax.Array]


def linear(x, w):
    """Without a bias."""
    return rules.linear(x, w, None)


def output_layer(x, w, labels, keep=None):
    """The last layer and its loss."""
    return rules.linear_softmax_cross_entropy(x, w, None, labels, keep=keep)


def cost(parts: Parts, parameters: Any, ids: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean cross-entropy of the next token."""
    with jax.named_scope("embedding"):
        x = parts.embedding(parameters["table"], ids) + parameters["positions"]
    for weights in parameters["blocks"]:
        x = _block(parts, weights, x)
    with jax.named_scope("head"):
        x = parts.norm(x, parameters["after"])
        return parts.losses(x, parameters["table"].T, labels).astype(jnp.float32).mean()


def _block(parts, weights, x):
    batch, time, width = x.shape
    with jax.named_scope("attention"):
        z = parts.linear(parts.norm(x, weights["before"]), weights["queries_keys_values"])
        heads = jnp.split(z.reshape(batch, time, 3 * HEADS, width // HEADS), 3, axis=2)
        x = x + parts.linear(parts.attention(*heads).reshape(x.shape), weights["out"])
    with jax.named_scope("mlp"):
        z = parts.linear(parts.norm(x, weights["between"]), weights["up"])
        return x + parts.linear(parts.gate(z), weights["down"])


def _plain_gate(z):
    gate, value = jnp.split(z, 2, axis=-1)
    return jax.nn.silu(gate) * value


_ATTENTION = partial(rules.dot_product_attention, is_causal=True)
_RULES = Parts(rules.embedding, linear, rules.rms_norm, _ATTENTION, rules.swiglu, output_layer)
_PLAIN = Parts(
    lambda table, ids: table[ids],
    jnp.matmul,
    plain.rms_norm,
    partial(jax.nn.dot_product_attention, is_causal=True, implementation="cudnn"),
    _plain_gate,
    plain.output_layer,
)

WAYS = {
    "by hand": partial(cost, _RULES),
    "by hand, nothing kept": partial(cost, _RULES._replace(losses=partial(output_layer, keep="nothing"))),
    "plain, cuDNN": partial(cost, _PLAIN),
}
