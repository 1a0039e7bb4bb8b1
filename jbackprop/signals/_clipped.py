"""Σ_i c_i g_i: the gradient of private training, at about the price of the plain one.

With g_i = ∂C_i/∂p the gradient of example i over all parameters,

    c_i = min(1, max_norm / ‖g_i‖)                 flat clipping
    c_i = max_norm / (‖g_i‖ + stability)           automatic clipping, which normalises
    Σ_i c_i g_i = Σ_i Σ_t a_itᵀ (c_i δ_it)          since g_i is linear in δ_i

One forward and one backward pass name every gradient in its factors; their norms come from the factors, and δ is scaled
before it is contracted.  The gradient of no example is written out, unless it is smaller than its factors.

M. Abadi et al., "Deep learning with differential privacy", CCS, 2016.  H. B. McMahan et al., "A general approach to
adding differential privacy to iterative training procedures", 2018, for clipping by layer.  Z. Bu, Y.-X. Wang, S. Zha,
G. Karypis, "Automatic clipping", NeurIPS, 2023, and "Differentially private optimization on large model at small cost",
ICML, 2023, for one backward pass.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.layers import Backpropagate, Layer, Loss, Params, Pass, check_parts, in_turn, is_factored, keys_for, like
from jbackprop.rules import check_within

from ._forms import reduced
from ._passed import Factored, check_network
from ._squared_norm import squared_norm

_NAME = "clipped_gradient"


class Clipped(NamedTuple):
    """What one forward and one backward pass give to private training.

    Attributes:
      cost: the mean of the loss over the batch, weighted.
      gradients: Σ_i c_i g_i over the batch's size, or the sum, a tree like the parameters.
      norms: ‖g_i‖ before clipping, (examples,); by layer, a tree with such an array for each.  In float32 one beyond
        1.8e19 is infinite, for its square is, and its example's share is 0.
    """

    cost: jax.Array
    gradients: Params
    norms: Any


@dataclasses.dataclass(frozen=True)
class ClippedGradient(Backpropagate):
    """(params, x, y, key=None, weights=None) -> cost, gradients, norms; `clipped_gradient` makes it, and tells more.

    `training.step` takes it in place of `backprop`.
    """

    max_norm: float | jax.Array = math.inf
    by_layer: bool = False
    stability: float | jax.Array | None = None
    micro_batches: int = 1
    mean: bool = True

    def __call__(
        self, params: Params, x: Any, y: Any, key: jax.Array | None = None, weights: jax.Array | None = None
    ) -> Clipped:
        """Cost, clipped gradients and the examples' norms."""
        examples = len(jax.tree.leaves(x)[0])
        weights = jnp.ones(examples) if weights is None else jnp.asarray(weights)
        self._check_batch(examples, weights)
        share = 1 / examples if self.mean else 1.0
        take = self._sum if self.micro_batches == 1 else self._scanned
        gradients, losses, norms = take(params, (x, y, key, weights), share)
        return Clipped((weights * losses).mean().astype(losses.dtype), like(gradients, params), norms)

    @property
    def averages(self) -> bool:
        """Whether the sum is divided by the number of examples."""
        return self.mean

    def scaled(self, loss: Loss, scale: Any) -> "ClippedGradient":
        """The same of a loss that is this one times scale: the longest gradient is as much longer."""
        stability = None if self.stability is None else self.stability * scale
        return dataclasses.replace(self, loss=loss, max_norm=self.max_norm * scale, stability=stability)

    def telling_norms(self) -> "ClippedGradient":
        """Itself, which tells no δ."""
        return self

    def whole(self, params: Params, x: Any, y: Any, key: jax.Array | None = None) -> Pass:
        """The same as a pass of training; δ stays inside."""
        found = self(params, x, y, key)
        return Pass(found.cost, found.gradients, (), ())

    def _sum(self, params, batch, share):
        x, y, key, weights = batch
        found = Factored(self.net, self.loss, _NAME)(params, x, y, key)
        factors = jax.tree.map(reduced, found.factors, is_leaf=is_factored)
        groups, structure = jax.tree.flatten(factors, is_leaf=_is_layer if self.by_layer else lambda _: True)
        norms = [jnp.sqrt(squared_norm(group)) for group in groups]
        scales = [self._scales(norm, len(groups)) * weights * share for norm in norms]
        totals = [_total(group, scale) for group, scale in zip(groups, scales, strict=True)]
        return structure.unflatten(totals), found.losses, structure.unflatten(norms)

    def _scales(self, norms, groups):
        """c_i of one of several groups, none longer than its share, so that the whole is no longer than max_norm."""
        longest = self.max_norm / math.sqrt(groups)
        if self.stability is not None:
            return longest / (norms + self.stability)
        return jnp.where(norms > longest, longest / norms, 1)

    def _scanned(self, params, batch, share):
        """The sum over micro-batches."""

        def step(gradients, batch):
            more, losses, norms = self._sum(params, batch, share)
            return jax.tree.map(jnp.add, gradients, more), (losses, norms)

        x, y, key, weights = batch
        keys = None if key is None else keys_for(_NAME, key, self.micro_batches)
        x, y, weights = in_turn((x, y, weights), self.micro_batches)
        batches = x, y, keys, weights
        first = jax.tree.map(lambda array: array[0], batches)
        shapes = jax.eval_shape(lambda batch: self._sum(params, batch, share)[0], first)
        none = jax.tree.map(lambda gradient: jnp.zeros(gradient.shape, gradient.dtype), shapes)
        gradients, each = jax.lax.scan(step, none, batches)
        return gradients, *jax.tree.map(lambda array: jnp.moveaxis(array, 0, 1).reshape(-1), each)

    def _check_batch(self, examples, weights):
        check_parts(_NAME, examples, self.micro_batches, "micro-batches")
        if weights.shape != (examples,):
            raise ValueError(f"{_NAME}: weights, wanted one for each of {examples} examples, got {weights.shape}")


def clipped_gradient(
    net: Layer,
    loss: Loss,
    max_norm: float | jax.Array,
    *,
    by_layer: bool = False,
    stability: float | jax.Array | None = None,
    micro_batches: int = 1,
    mean: bool = True,
) -> ClippedGradient:
    """The mean of the examples' gradients, none longer than max_norm, from one forward and one backward pass.

    Noise is left to who knows how much: an example moves the mean by no more than max_norm over the batch's size.

    Args:
      net: a layer, usually a `layers.chain`; none that mixes its examples, as batch normalisation does.
      loss: (output, target) -> C_i, one value for each example.
      max_norm: the longest that an example's gradient, over all parameters, may be; `math.inf` clips nothing.  Where it
        moves from step to step, make the function under `jit`, of a traced number.
      by_layer: clip each of K layers by itself to max_norm / √K, so that the whole is no longer than max_norm.
      stability: for automatic clipping, c_i = max_norm / (‖g_i‖ + stability), such as 0.01; None clips.
      micro_batches: in how many parts, one after the other, the batch is taken; a scan, for less memory.
      mean: whether the sum is divided by the number of examples.

    Returns:
      A function (params, x, y, key=None, weights=None) -> `Clipped`.  The weights, (examples,), multiply the clipped
      gradients and the losses, 0 for examples that only fill the batch.  The function raises ValueError where the loss
      is not one value for each example, or the micro-batches do not divide the batch.  `training.step` and `epoch`
      take the function in place of `backprop`.

    Raises:
      TypeError: net is not a `Layer`, or the loss is not a function.
      ValueError: a layer mixes its examples, or a number is not positive.

    Example: a step of private training, with noise of optax, of 1.1 times max_norm over the sum of 256 examples.

      >>> import optax
      >>> from jbackprop import layers, rules, signals, training
      >>> net = layers.chain(layers.linear(32), layers.relu(), layers.linear(10))
      >>> clipped = signals.clipped_gradient(net, rules.softmax_cross_entropy, max_norm=1.0)
      >>> noise = optax.add_noise(eta=(1.1 * 1.0 / 256) ** 2, gamma=0.0, key=0)
      >>> step = training.step(clipped, optax.chain(noise, optax.sgd(0.5)))
    """
    check_network(_NAME, net, loss)
    given = {"max_norm": max_norm, "stability": stability, "micro_batches": micro_batches}
    positive = {name: number for name, number in given.items() if number is not None}
    check_within(_NAME, "a positive number", lambda number: number > 0, **positive)
    if micro_batches != int(micro_batches):
        raise ValueError(f"{_NAME}: micro_batches, wanted a whole number, got {micro_batches}")
    if stability is not None:
        check_within(_NAME, "a finite number for automatic clipping", np.isfinite, max_norm=max_norm)
    return ClippedGradient(net, loss, max_norm, by_layer, stability, micro_batches, mean)


def _is_layer(node):
    """Whether a node holds the factored gradients of one layer."""
    if not isinstance(node, dict):
        return is_factored(node)
    return bool(jax.tree.leaves(node)) and all(each is None or is_factored(each) for each in node.values())


def _total(factors, scales):
    return jax.tree.map(lambda factored: factored.weighted(scales), factors, is_leaf=is_factored)
