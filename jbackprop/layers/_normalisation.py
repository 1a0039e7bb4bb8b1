"""Layers that normalise.  The derivations stand with the rules; batch normalisation, which mixes examples, is apart."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jbackprop import rules

from ._evaluation import Statistics
from ._kept import Kept
from ._layer import About, Layer, Params, Shape
from ._of import Of, layer_from
from ._parameters import ones, zeros
from ._written import written


def _about(scale, offset):
    return About(output=("γ{l} ⊙ " if scale else "") + "x̂" + (" + β{l}" if offset else ""), delta="{dy}")


def _of(rule, scale, offset, axes=None):
    """The layer of a normalisation with the parameters that are wanted."""
    parameters = {name: draw for name, draw, wanted in (("scale", ones, scale), ("offset", zeros, offset)) if wanted}
    return layer_from(rule, parameters, axes=axes, says=_about(scale, offset))


@written
def layer_norm(scale: bool = True, offset: bool = True, eps: float = 1e-5, keep: rules.Keep = "input") -> Of:
    """γ (x − μ) / √(σ² + ε) + β over the features; {"scale": (features,), "offset": (features,)}.

    The layers of this family share their arguments.

    Args:
      scale: whether there is a γ, which starts at 1.
      offset: whether there is a β, which starts at 0.
      eps: ε, added to the variance.
      keep: what the backward pass is computed from, as in `rules.layer_norm`.
    """
    return _of(partial(rules.layer_norm, eps=eps, keep=keep), scale, offset)


@written
def rms_norm(scale: bool = True, offset: bool = False, eps: float = 1e-5, keep: rules.Keep = "input") -> Of:
    """γ x / √(mean x² + ε) over the features; arguments as in `layer_norm`."""
    return _of(partial(rules.rms_norm, eps=eps, keep=keep), scale, offset)


@written
def group_norm(
    groups: int = 32,
    spatial: int = 2,
    scale: bool = True,
    offset: bool = True,
    eps: float = 1e-5,
    keep: rules.Keep = "input",
) -> Of:
    """Normalisation over the space and a group of channels; other arguments as in `layer_norm`.

    Args:
      groups: how many groups of equal size the channels form.
      spatial: how many axes before the channels are space.
    """
    rule = partial(rules.group_norm, groups=groups, spatial=spatial, eps=eps, keep=keep)
    return _of(rule, scale, offset, axes=spatial + 1)


@written
def instance_norm(
    spatial: int = 2, scale: bool = True, offset: bool = True, eps: float = 1e-5, keep: rules.Keep = "input"
) -> Of:
    """Normalisation over the space, each channel alone; arguments as in `group_norm`."""
    rule = partial(rules.instance_norm, spatial=spatial, eps=eps, keep=keep)
    return _of(rule, scale, offset, axes=spatial + 1)


class BatchKept(NamedTuple):
    """What batch normalisation keeps.

    Attributes:
      kept: for the backward pass.
      statistics: of the batch.
    """

    kept: Kept
    statistics: Statistics


@dataclasses.dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Batch normalisation; `batch_norm` makes it, and tells its settings."""

    scale: bool = True
    offset: bool = True
    eps: float = 1e-5
    keep: rules.Keep = "input"

    @property
    def mixes_examples(self) -> bool:
        """By the statistics of the batch."""
        return True

    @property
    def inner(self) -> Of:
        """The layer of `rules.batch_norm`, whose output has the statistics besides."""
        return _of(partial(rules.batch_norm, eps=self.eps, keep=self.keep), self.scale, self.offset)

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """γ = 1 and β = 0, of each channel."""
        params, (out_shape, _, _) = self.inner.init(key, shape)
        return params, out_shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, BatchKept]:
        """The batch, normalised by its own statistics."""
        (y, mean, variance), kept = self.inner.forward(params, x)
        return y, BatchKept(kept, Statistics(mean, variance))

    def backward(self, params: Params, cache: BatchKept, dy: Any) -> tuple[Any, Any]:
        """∂C/∂x, through the statistics too, and δ = ∂C/∂y."""
        none = jnp.zeros_like(cache.statistics.mean)
        return self.inner.backward(params, cache.kept, (dy, none, none))

    def factors(self, params: Params, cache: BatchKept, delta: Any) -> Any:
        """δ ⊙ x̂ and δ, of all examples at once."""
        return self.inner.factors(params, cache.kept, delta)

    def statistics(self, params: Params, cache: BatchKept) -> Statistics:
        """The mean and the variance of the batch."""
        return cache.statistics

    def evaluation(self) -> Of:
        """The same with statistics that are given, as parameters besides."""
        rule = partial(rules.batch_norm_evaluation, eps=self.eps, keep=self.keep)
        drawn = {name: parameter.initializer for name, parameter in self.inner.parameters}
        return layer_from(rule, {"mean": zeros, "variance": ones, **drawn}, says=_about(self.scale, self.offset))

    def about(self) -> About:
        """As the others of the family."""
        return self.inner.about()


def batch_norm(scale: bool = True, offset: bool = True, eps: float = 1e-5, keep: rules.Keep = "input") -> BatchNorm:
    """Normalisation of each channel over the batch and the space; arguments as in `layer_norm`.

    An example's output depends on the others, so there is no gradient of one example.  `evaluation` of a network with
    it uses running averages of the statistics, which `training` keeps.
    """
    return BatchNorm(scale, offset, eps, keep)
