"""Layers of sequences without parameters: attention, and where in a sequence an entry stands.

The derivations stand with the rules.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jbackprop import rules
from jbackprop.functions import Halves, halves

from ._layer import About, Layer, Params
from ._written import layer_of

dot_product_attention = layer_of(rules.dot_product_attention, axes=3)
sinusoidal_positions = layer_of(rules.sinusoidal_positions, axes=2, says=About(output="{x} + s", input="{dy}"))


@dataclasses.dataclass(frozen=True, repr=False)
class RotaryEmbedding(Layer):
    """Queries or keys, (time, heads, features) of an example, turned by their place; `rotary_embedding` makes it.

    Attributes:
      base: the longest wave is 2π base.
    """

    base: float = 10000.0

    @property
    def _rule(self) -> Halves:
        return halves(functools.partial(rules.rotary_embedding, base=self.base), "rotary_embedding")

    def init(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        jax.eval_shape(lambda x: self.forward((), x), jax.ShapeDtypeStruct((1, *shape), jnp.result_type(float)))
        return (), shape

    def forward(self, params: Params, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, tuple]:
        """R(t) x at every place t."""
        return self._rule.forward(x, jnp.arange(x.shape[-3]))[0], ()

    def backward(self, params: Params, cache: tuple, dy: jax.Array) -> tuple[jax.Array, tuple]:
        """R(−t) dy."""
        return self._rule.backward(jnp.arange(dy.shape[-3]), dy)[0], ()

    def about(self) -> About:
        """R turns."""
        return About("rotary_embedding", "R {x}", input="Rᵀ {dy}")


def rotary_embedding(base: float = 10000.0) -> RotaryEmbedding:
    """Queries or keys, (time, heads, features) of an example, each pair of features turned by its place in time.

    Args:
      base: the longest wave is 2π base.
    """
    return RotaryEmbedding(base)
