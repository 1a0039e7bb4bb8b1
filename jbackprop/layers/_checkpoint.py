"""A layer that keeps its input alone, and computes the rest again where the backward pass needs it.

Memory for time: one more forward pass of the layer.  The backward pass starts from dy, so the second forward pass is
tied to it (`optimization_barrier`): a compiler that saw that both compute the same would keep the first.

T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", arXiv:1604.06174, 2016.
"""

import dataclasses
from typing import Any

import jax

from ._chain import chain, check_layers
from ._layer import Layer, Params, Shape


@dataclasses.dataclass(frozen=True, repr=False)
class Checkpoint(Layer):
    """A recomputed layer; `checkpoint` makes it.

    Attributes:
      inner: the layer, whose parameters, δ and factors are those of the whole.
    """

    inner: Layer

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of the layer."""
        return self.inner.init(key, shape)

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The layer's output; kept are its input, its key, and statistics that somebody may want."""
        y, cache = self.inner.forward(params, x, key)
        return y, (x, key, self.inner.statistics(params, cache))

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The layer's, after its forward pass once more."""
        again, dy = self._again(params, cache, dy)
        return self.inner.backward(params, again, dy)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The same, with the layer's gradients from the same forward pass."""
        again, dy = self._again(params, cache, dy)
        return self.inner.backpropagate(params, again, dy)

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The layer's, after its forward pass once more."""
        again, delta = self._again(params, cache, delta)
        return self.inner.factors(params, again, delta)

    def statistics(self, params: Params, cache: Any) -> Any:
        """The layer's."""
        return cache[2]

    def _again(self, params, cache, after):
        x, key, _ = cache
        x, after = jax.lax.optimization_barrier((x, after))
        return self.inner.forward(params, x, key)[1], after


def checkpoint(*layers: Layer) -> Checkpoint:
    """One layer or a chain of several, of which only the input is kept.

    Raises:
      TypeError: an argument is not a `Layer`.
      ValueError: there is no layer.
    """
    check_layers("checkpoint", layers)
    return Checkpoint(layers[0] if len(layers) == 1 else chain(*layers))
