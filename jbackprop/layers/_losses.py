"""The output layer and its loss in one, for a network that ends in its losses.

The backward pass holds δ of the output layer, of all classes: here it is a value, which the weight's factored gradient
keeps.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax

from jbackprop import rules
from jbackprop.functions import Halves, halves

from ._given import check_named_params
from ._kept import Kept
from ._layer import About, Layer, Params, Shape, Swept, check_positive
from ._parameters import FEATURES, Initialize, Parameter, he_normal, zeros

_NAME = "linear_softmax_cross_entropy"

Keep = Literal["nothing", "delta", "gradients"] | None


@dataclasses.dataclass(frozen=True, repr=False)
class LinearSoftmaxCrossEntropy(Layer):
    """The losses of pairs (x, labels); `linear_softmax_cross_entropy` makes it, and tells its settings."""

    classes: int
    bias: bool = True
    ignore_index: int | None = None
    chunk: int | None = None
    keep: Keep = None
    weights: Initialize = he_normal()

    @property
    def _rule(self) -> Halves:
        keep = "nothing" if self.sweeps else self.keep
        options = {"ignore_index": self.ignore_index, "chunk": self.chunk, "keep": keep}
        return halves(functools.partial(rules.linear_softmax_cross_entropy, **options), _NAME)

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Those of the output layer; ValueError where the shapes of the pair do not belong together."""
        features, labels = map(tuple, shape)
        if not features or features[:-1] != labels:
            raise ValueError(f"{_NAME}: shape, wanted labels for the rows of {features}, got {labels}")
        rules.check_key(_NAME, key)
        params = {"w": Parameter(self.weights, (FEATURES, self.classes)).draw(key, features[-1])}
        return {**params, "b": zeros(key, (self.classes,))} if self.bias else params, labels

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[jax.Array, Kept]:
        """The losses, one for each label."""
        self._check(params)
        features, labels = x
        losses, residuals = self._rule.forward(features, params["w"], params.get("b"), labels)
        return losses, Kept.of(residuals, params)

    def backward(self, params: Params, cache: Kept, dy: jax.Array) -> tuple[tuple[jax.Array, None], jax.Array]:
        """∂C/∂x, none for the labels, and δ = ∂C/∂z of all classes."""
        return self._pieces.travel(*self._rule.static, cache.residuals(params), dy)

    def factors(self, params: Params, cache: Kept, delta: jax.Array) -> Params:
        """xᵀ δ, and Σ δ where there is a bias."""
        named = self._pieces.factors(*self._rule.static, cache.residuals(params), delta)
        return {name: named[name] for name in params}

    @property
    def sweeps(self) -> bool:
        """Whether the gradients are computed with the losses."""
        return self.keep == "gradients"

    def sweep(self, params: Params, x: Any, dy: jax.Array, key: jax.Array | None = None) -> Swept:
        """Losses and gradients of some rows after the others; δ is not told."""
        sweep = rules.sweep_of(rules.linear_softmax_cross_entropy)
        if not self.sweeps or sweep is None:
            return super().sweep(params, x, dy, key)
        self._check(params)
        features, labels = x
        arguments = features, params["w"], params.get("b"), labels
        losses, (dx, *gradients, _) = sweep(*self._rule.static, *arguments, dy)
        named = dict(zip(("w", "b"), gradients, strict=True))
        return Swept(losses, (dx, None), (), {name: named[name] for name in params}, ())

    def about(self) -> About:
        """−log softmax."""
        return About(_NAME, "−log softmax({x} W{l} + b{l})", delta="{dy} (ŷ − y)", input="{delta} W{l}ᵀ")

    def _check(self, params):
        check_named_params(_NAME, params, ("w", "b") if self.bias else ("w",))

    @property
    def _pieces(self) -> rules.Pieces:
        found = rules.pieces(rules.linear_softmax_cross_entropy)
        if found is None:
            raise LookupError(f"{_NAME}: rule, wanted one that names its two pieces, got one that does not")
        return found


def linear_softmax_cross_entropy(
    classes: int,
    *,
    bias: bool = True,
    ignore_index: int | None = None,
    chunk: int | None = None,
    keep: Keep = None,
    weights: Initialize = he_normal(),
) -> LinearSoftmaxCrossEntropy:
    """−log softmax(x W + b) at the label: the last layer of a network, whose input is a pair (x, labels).

    The network's output are its losses, so the loss that `backprop` takes has nothing left to do but a sum or mean over
    an example's positions.

    Args:
      classes: how many.
      bias: whether there is a b.
      ignore_index: a class number that says that a label has loss and gradient 0.
      chunk: how many classes at a time the forward pass takes, as in the rule.
      keep: what the forward pass keeps of examples × classes numbers, as in the rule; or "gradients": where `backprop`
        finds a loss that is linear in these losses, a sum or a mean whatever its weights, their gradients are computed
        with them, in three products and without any array of examples × classes.  Nobody is told δ of this layer then.
      weights: draws W.

    Raises:
      ValueError: a number is not positive; `init` raises it where the shapes of the pair do not belong together.

    Example: a language model whose input is a pair (ids, labels), and its table the weight of the output layer.

      >>> from jbackprop import layers
      >>> body = layers.chain(layers.embedding(50, 16), layers.lstm(16))
      >>> both = layers.parallel(body, layers.identity(), split=True)
      >>> net = layers.chain(both, layers.linear_softmax_cross_entropy(50, bias=False))
      >>> tied = layers.shared(net, ("0.0.0.table", "1.w.T"))
    """
    check_positive(_NAME, classes=classes, chunk=chunk)
    if keep not in (None, "nothing", "delta", "gradients"):
        raise ValueError(f"{_NAME}: keep, wanted 'nothing', 'delta', 'gradients' or None, got {keep!r}")
    return LinearSoftmaxCrossEntropy(classes, bias, ignore_index, chunk, keep, weights)
