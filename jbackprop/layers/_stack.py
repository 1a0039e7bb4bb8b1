"""n equal blocks one after the other, as one scan forward and one scan backward.

    aˡ = f(pˡ, aˡ⁻¹), l = 1 … n        ∂C/∂aˡ⁻¹ = the dx of f at pˡ, from the last block to the first

The program is as long as one block's.  Parameters, cache, deltas and gradients have an axis of blocks in front.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.rules import Factored, factored, static

from ._blocks import over_blocks
from ._chain import with_gradients, without_gradients
from ._given import check_blocks, keys_for
from ._layer import Layer, Params, Shape, check_layer, check_positive, is_factored


@factored
class Stacked(Factored):
    """What a parameter gets that every block has one of.

    Attributes:
      factor: that of a block, whose arrays have an axis of blocks behind that of the examples.
      axes: where that axis is in each array, counted from the end.
    """

    factor: Factored
    axes: tuple[int, ...] = static()

    @classmethod
    def of(cls, factor: Factored) -> "Stacked":
        """A factor whose arrays have the axis of blocks in front."""
        swapped = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), factor)
        return cls(swapped, tuple(1 - leaf.ndim for leaf in jax.tree.leaves(swapped)))

    def blocks(self) -> Factored:
        """The factor with the axis of blocks in front again."""
        leaves, tree = jax.tree.flatten(self.factor)
        return tree.unflatten([jnp.moveaxis(leaf, axis, 0) for leaf, axis in zip(leaves, self.axes, strict=True)])

    def total(self) -> jax.Array:
        """The gradients of all blocks, one after the other."""
        return jax.vmap(lambda factor: factor.total())(self.blocks())

    def per_example(self) -> jax.Array:
        """The gradients of all blocks, of each example: (examples, blocks, *shape)."""
        return jax.vmap(lambda factor: factor.per_example(), out_axes=1)(self.blocks())

    def weighted(self, weights: jax.Array) -> jax.Array:
        """Those of all blocks, one after the other."""
        return jax.vmap(lambda factor: factor.weighted(weights))(self.blocks())


@dataclasses.dataclass(frozen=True, repr=False)
class Stack(Layer):
    """n equal blocks in a row; `stack` makes it.

    Attributes:
      block: the layer.
      n: how many.
      unroll: how many steps of the scan are written out.
    """

    block: Layer
    n: int
    unroll: int = 1

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """The parameters of n blocks; ValueError where a block changes the shape."""
        _, out_shape = self.block.init(key, shape)
        if out_shape != shape:
            raise ValueError(
                f"stack: block, wanted one that keeps the shape {shape}, got {out_shape} from {self.block}"
            )
        return jax.vmap(lambda key: self.block.init(key, shape)[0])(keys_for("stack", key, self.n)), out_shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """From the first block to the last."""
        check_blocks("stack", params, self.n)
        keys = None if key is None else keys_for("stack", key, self.n)
        return over_blocks(_forward, self.block, x, (params, keys), self.n, unroll=self.unroll)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """From the last block to the first."""
        return self._recursion(without_gradients, params, cache, dy)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The same, with each block's gradients before the next."""
        dx, (deltas, gradients) = self._recursion(with_gradients, params, cache, dy)
        return dx, deltas, gradients

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """Those of the blocks, each with an axis of blocks."""
        blocks = jax.vmap(self.block.factors, axis_size=self.n)(params, cache, delta)
        return jax.tree.map(Stacked.of, blocks, is_leaf=is_factored)

    def statistics(self, params: Params, cache: Any) -> Any:
        """Those of the blocks."""
        return jax.vmap(self.block.statistics, axis_size=self.n)(params, cache)

    def _recursion(self, step, params, cache, dy):
        blocks = params, cache
        return over_blocks(_backward, (step, self.block), dy, blocks, self.n, reverse=True, unroll=self.unroll)


_WRITTEN_OUT = 512
"""Steps; the program grows with each, and so does the time that it takes to compile."""


def _forward(block, x, one):
    params, key = one
    return block.forward(params, x, key)


def _backward(of, dy, one):
    step, block = of
    return step(block, *one, dy)


def stack(block: Layer, n: int, *, unroll: int = 1) -> Stack:
    """n equal blocks in a row, each with its own parameters, by `jax.lax.scan`.

    Args:
      block: a layer that keeps the shape.
      n: how many.
      unroll: how many steps of the scan are written out; n makes the program as long as a chain's.

    Raises:
      TypeError: block is not a `Layer`.
      ValueError: n or unroll is not positive, or unroll above 512; `init` raises it where the block changes the shape.
    """
    check_layer("stack", block=block)
    check_positive("stack", n=n, unroll=unroll)
    if unroll > _WRITTEN_OUT:
        raise ValueError(f"stack: unroll, wanted at most {_WRITTEN_OUT} steps, got {unroll}")
    return Stack(block, n, unroll)
