"""Blocks whose inputs are computed again from their outputs: memory does not grow with depth.

    y₁ = x₁ + f(x₂)        x₂ = y₂ − g(y₁)        dy₁ ← dy₁ + the dx of g at dy₂
    y₂ = x₂ + g(y₁)        x₁ = y₁ − f(x₂)        dy₂ ← dy₂ + the dx of f at dy₁,   and then (dx₁, dx₂) = (dy₁, dy₂)

Kept are the two outputs of the last block.  Going backward, a block's inputs come from its outputs, and with them what
f and g keep: one more forward pass in all.  A difference of sums loses digits: in float32 the gradient is off by some
units of rounding a block, and half precision is not for this.

A. N. Gomez, M. Ren, R. Urtasun, R. B. Grosse, "The reversible residual network: backpropagation without storing
activations", NeurIPS, 2017.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from ._blocks import over_blocks
from ._branches import added
from ._chain import with_gradients, without_gradients
from ._given import check_blocks, check_entries, keys_for
from ._layer import Layer, Params, Shape, check_layer, check_positive, is_factored
from ._stack import Stacked

Pair = tuple[Any, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class Reversible(Layer):
    """n blocks of f and g on a pair; `reversible` makes it.

    Attributes:
      f: what the first of the pair gets from the second.
      g: what the second gets from the first.
      n: how many blocks there are.
    """

    f: Layer
    g: Layer
    n: int

    def __repr__(self) -> str:
        return f"reversible({self.f}, {self.g}, {self.n})"

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """The parameters of f and of g, each with an axis of blocks in front."""
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise ValueError(f"reversible: shape, wanted two shapes (those of the pair), got {shape}")
        first, second = shape
        for name, layer, into, out in ("f", self.f, second, first), ("g", self.g, first, second):
            _, found = layer.init(key, into)
            if found != out:
                raise ValueError(f"reversible: {name}, wanted one that makes {out} of {into}, got {found} from {layer}")

        def draw(key):
            one, other = jax.random.split(key)
            return self.f.init(one, second)[0], self.g.init(other, first)[0]

        return jax.vmap(draw)(keys_for("reversible", key, self.n)), shape

    def forward(self, params: Params, x: Pair, key: jax.Array | None = None) -> tuple[Pair, Any]:
        """From the first block to the last; kept are the outputs, the keys, and statistics that somebody may want."""
        check_entries("reversible", params, 2)
        check_blocks("reversible", params, self.n)
        keys = None if key is None else keys_for("reversible", key, (self.n, 2))
        y, statistics = over_blocks(_forward, self, x, (params, keys), self.n)
        return y, (y, keys, statistics)

    def backward(self, params: Params, cache: Any, dy: Pair) -> tuple[Pair, Any]:
        """From the last block to the first."""
        return self._recursion(params, cache, dy, without_gradients)

    def backpropagate(self, params: Params, cache: Any, dy: Pair) -> tuple[Pair, Any, Params]:
        """The same, with each block's gradients before the next."""
        dx, ((f_delta, f_gradients), (g_delta, g_gradients)) = self._recursion(params, cache, dy, with_gradients)
        return dx, (f_delta, g_delta), (f_gradients, g_gradients)

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """Those of the blocks, after what f and g keep in all of them is computed again."""
        y, keys, _ = cache
        _, kept = over_blocks(_undone, self, y, (params, keys), self.n, reverse=True)
        blocks = (
            jax.vmap(layer.factors, axis_size=self.n)(*rest)
            for layer, *rest in zip((self.f, self.g), params, kept, delta, strict=True)
        )
        return tuple(jax.tree.map(Stacked.of, each, is_leaf=is_factored) for each in blocks)

    def statistics(self, params: Params, cache: Any) -> Any:
        """Those of the blocks."""
        return cache[2]

    def _recursion(self, params, cache, dy, step: Callable):
        y, keys, _ = cache
        (_, dx), found = over_blocks(_backward, (step, self), (y, dy), (params, keys), self.n, reverse=True)
        return dx, found


def _forward(net, pair, block):
    (p_f, p_g), (key_f, key_g) = block[0], _two(block[1])
    more, f_kept = net.f.forward(p_f, pair[1], key_f)
    first = added(pair[0], more)
    more, g_kept = net.g.forward(p_g, first, key_g)
    return (first, added(pair[1], more)), (net.f.statistics(p_f, f_kept), net.g.statistics(p_g, g_kept))


def _backward(of, carry, block):
    (step, net), (pair, (d_first, d_second)), (p_f, p_g) = of, carry, block[0]
    before, (f_kept, g_kept) = _undone(net, pair, block)
    dx, of_g = step(net.g, p_g, g_kept, d_second)
    d_first = added(d_first, dx)
    dx, of_f = step(net.f, p_f, f_kept, d_first)
    return (before, (d_first, added(d_second, dx))), (of_f, of_g)


def _undone(net, y, block):
    """A block's inputs from its outputs, and what f and g keep on the way there."""
    (p_f, p_g), (key_f, key_g) = block[0], _two(block[1])
    less, g_kept = net.g.forward(p_g, y[0], key_g)
    second = _subtracted(y[1], less)
    less, f_kept = net.f.forward(p_f, second, key_f)
    return (_subtracted(y[0], less), second), (f_kept, g_kept)


def reversible(f: Layer, g: Layer, n: int) -> Reversible:
    """n blocks y₁ = x₁ + f(x₂), y₂ = x₂ + g(y₁) on a pair (x₁, x₂), of which only the last outputs are kept.

    Args:
      f: a layer from the second's shape to the first's, such as `chain(rms_norm(), self_attention(…))`.
      g: a layer from the first's shape to the second's, such as `chain(rms_norm(), gated_mlp(…))`.
      n: how many blocks.

    Raises:
      TypeError: f or g is not a `Layer`.
      ValueError: n is not positive; `init` raises it where f or g changes the shape.

    Example: a network of one input that goes into both, and whose two outputs are added up.

      >>> from jbackprop import layers
      >>> part = layers.chain(layers.layer_norm(), layers.linear(8), layers.gelu(), layers.linear(8))
      >>> both = layers.parallel(layers.identity(), layers.identity())
      >>> together = layers.parallel(layers.identity(), layers.identity(), join="sum", split=True)
      >>> net = layers.chain(both, layers.reversible(part, part, 12), together)
    """
    check_layer("reversible", f=f, g=g)
    check_positive("reversible", n=n)
    return Reversible(f, g, n)


def _two(keys):
    return (None, None) if keys is None else keys


def _subtracted(one, other):
    return jax.tree.map(lambda a, b: a - b, one, other)
