"""A layer of single examples on every step of a sequence, the same parameters at each.

    y_nt = f(p, x_nt)        ∂C_n/∂p = Σ_t of what step t gets

Every step is an example to f, so that it is one call and each gradient one product; the factored gradient knows which
steps are one example's.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jbackprop.rules import Factored, Mixed, Product, factored, static

from ._layer import Layer, Params, Shape, check_layer, is_factored, is_shape
from ._shared import Uses
from ._stack import Stacked

Pass = Literal["backward", "backpropagate"]


@factored
class Grouped(Factored):
    """What a parameter gets from rows of which several are one example's.

    Attributes:
      factor: that of the rows, whose arrays have the axis of an example's rows behind that of the examples.
      axes: of each array in order; with one less, it is that of one example.
    """

    factor: Factored
    axes: tuple[int, ...] = static()

    @classmethod
    def of(cls, factor: Factored, count: int) -> Factored:
        """The factor of rows, so many of them an example; one that mixes its rows stays as it is."""
        match factor:
            case Mixed():
                return factor
            case Stacked():
                return Stacked.of(jax.vmap(lambda block: cls.of(block, count))(factor.blocks()))
            case Uses():
                return Uses(tuple(cls.of(use, count) for use in factor.factors))
        grouped = _apart(factor, count)
        return cls(grouped, tuple(leaf.ndim for leaf in jax.tree.leaves(grouped)))

    def total(self) -> jax.Array:
        """The gradient of all rows; under `jax.vmap` of those of one example."""
        if tuple(leaf.ndim for leaf in jax.tree.leaves(self.factor)) == self.axes:
            return merged(self.factor).total()
        return self.factor.total()

    def weighted(self, weights: jax.Array) -> jax.Array:
        """That of the rows, which have their example's weight."""
        count = jax.tree.leaves(self.factor)[0].shape[1]
        return merged(self.factor).weighted(merged(jnp.repeat(weights[:, None], count, axis=1)))

    def products(self) -> tuple[Product, ...] | None:
        """The factor's: a row is one more position."""
        return self.factor.products()


@dataclasses.dataclass(frozen=True)
class Arrays:
    """What a tree of arrays looks like, to be looked up by.

    Attributes:
      leaves: the shape and dtype of each array.
      tree: its structure.
    """

    leaves: tuple[jax.ShapeDtypeStruct, ...]
    tree: jax.tree_util.PyTreeDef

    @classmethod
    def of(cls, arrays: Any, axis: int = 0) -> "Arrays":
        """Those of the arrays, from an axis on."""
        leaves, tree = jax.tree.flatten(arrays)
        return cls(tuple(jax.ShapeDtypeStruct(leaf.shape[axis:], leaf.dtype) for leaf in leaves), tree)

    def times(self, *sizes: int) -> Any:
        """The tree of them, with more axes in front."""
        return self.tree.unflatten([jax.ShapeDtypeStruct((*sizes, *leaf.shape), leaf.dtype) for leaf in self.leaves])


@factored
class Steps:
    """What a layer on every step keeps.

    Attributes:
      kept: the layer's cache, every step an example.
      count: how many steps a sequence has.
      x: the shape and dtype of one step of each input.
    """

    kept: Any
    count: int = static()
    x: "Arrays" = static()


@dataclasses.dataclass(frozen=True, repr=False)
class MapOverTime(Layer):
    """A layer on every step; `map_over_time` makes it.

    Attributes:
      inner: the layer, whose parameters are those of the whole.
    """

    inner: Layer

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of the layer for a step."""
        (count, *_) = jax.tree.leaves(shape) or [None]
        if count is None:
            raise ValueError(f"map_over_time: shape, wanted (time, …), got {shape}")
        params, out_shape = self.inner.init(key, jax.tree.map(lambda sizes: sizes[1:], shape, is_leaf=is_shape))
        return params, jax.tree.map(lambda sizes: (count, *sizes), out_shape, is_leaf=is_shape)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Steps]:
        """The layer on all steps at once."""
        count = jax.tree.leaves(x)[0].shape[1]
        y, kept = self.inner.forward(params, merged(x), key)
        return _apart(y, count), Steps(kept, count, Arrays.of(x, 2))

    def backward(self, params: Params, cache: Steps, dy: Any) -> tuple[Any, Any]:
        """The layer's on all steps at once; δ has the axis of steps behind that of the examples."""
        dx, delta = self.inner.backward(params, cache.kept, merged(dy))
        return _apart(dx, cache.count), self._apart("backward", params, cache, delta)

    def backpropagate(self, params: Params, cache: Steps, dy: Any) -> tuple[Any, Any, Params]:
        """The same with the gradients."""
        dx, delta, gradients = self.inner.backpropagate(params, cache.kept, merged(dy))
        return _apart(dx, cache.count), self._apart("backpropagate", params, cache, delta), gradients

    def factors(self, params: Params, cache: Steps, delta: Any) -> Any:
        """The layer's, the steps of a sequence together."""
        rows = _along(_joined, delta, self._axes("backward", params, cache))
        factors = self.inner.factors(params, cache.kept, rows)
        return jax.tree.map(lambda factor: Grouped.of(factor, cache.count), factors, is_leaf=is_factored)

    def statistics(self, params: Params, cache: Steps) -> Any:
        """The layer's, over the steps of all examples."""
        return self.inner.statistics(params, cache.kept)

    def _apart(self, of: Pass, params, cache, delta):
        return _along(lambda array, axis: _split(array, axis, cache.count), delta, self._axes(of, params, cache))

    def _axes(self, of: Pass, params, cache):
        return _axes_of_examples(self.inner, of, Arrays.of(params), cache.x)


def map_over_time(layer: Layer) -> MapOverTime:
    """A layer for one step, such as a convolution of a frame, on every step of a sequence (time, …).

    A layer of features, as `linear` is, takes sequences by itself.

    Raises:
      TypeError: layer is not a `Layer`.
    """
    check_layer("map_over_time", layer=layer)
    return MapOverTime(layer)


def merged(tree: Any) -> Any:
    """The steps of all sequences, one after the other."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def _apart(tree, count):
    return jax.tree.map(lambda leaf: _split(leaf, 0, count), tree)


def _split(array, axis, count):
    """An axis of the steps of all sequences as two; a negative one is none."""
    if axis < 0:
        return array
    return array.reshape(*array.shape[:axis], array.shape[axis] // count, count, *array.shape[axis + 1 :])


def _joined(array, axis):
    """Its inverse."""
    if axis < 0:
        return array
    examples, count = array.shape[axis : axis + 2]
    return array.reshape(*array.shape[:axis], examples * count, *array.shape[axis + 2 :])


@functools.lru_cache
def _axes_of_examples(layer: Layer, of: Pass, params: Arrays, x: Arrays) -> Any:
    """Which axis of each array of a layer's δ is that of the examples, −1 for none: a stack has its blocks in front.

    It is the axis that is longer for more examples; None, for the first of each, where they cannot be more.
    """

    def delta(params, x):
        y, cache = layer.forward(params, x)
        return getattr(layer, of)(params, cache, y)[1]

    try:
        few, more = (jax.eval_shape(delta, params.times(), x.times(examples)) for examples in (2, 4))
    except Exception:  # whatever a rule says that takes so many examples and no others
        return None
    return jax.tree.map(_where_different, few, more)


def _along(change, delta, axes):
    if axes is None:
        return jax.tree.map(lambda array: change(array, 0), delta)
    return jax.tree.map(change, delta, axes)


def _where_different(one, other):
    sizes = enumerate(zip(one.shape, other.shape, strict=True))
    return next((axis for axis, (size, found) in sizes if size != found), -1)
