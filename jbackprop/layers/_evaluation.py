"""Evaluation is another network: nothing is dropped, and statistics of batches are running averages.

    μ ← m μ + (1 − m) μ_batch        σ² ← m σ² + (1 − m) σ²_batch

S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
ICML, 2015.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop.rules import factored

from ._given import check_entries
from ._layer import Layer, Params, Shape, check_layer, is_shape


@factored
class Statistics:
    """Of each channel, over a batch or over many.

    Attributes:
      mean: μ.
      variance: σ².
    """

    mean: jax.Array
    variance: jax.Array


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation(Layer):
    """A network as it is used; `evaluation` makes it.

    Attributes:
      inner: the network, its parts exchanged; its parameters are a pair (params, statistics).
    """

    inner: Layer

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """The network's parameters drawn anew, with means of 0 and variances of 1 where it wants statistics."""
        params, out_shape = self.inner.init(key, shape)
        return (params, ()), out_shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The network's, without random numbers."""
        check_entries("evaluation", params, 2)
        return self.inner.forward(_merged(*params), x)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """The network's."""
        return self.inner.backward(_merged(*params), cache, dy)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """The network's, its gradients a pair like the parameters: the statistics get theirs too."""
        dx, delta, gradients = self.inner.backpropagate(_merged(*params), cache, dy)
        return dx, delta, _parted(gradients, params[1])

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """The network's, a pair like the parameters."""
        return _parted(self.inner.factors(_merged(*params), cache, delta), params[1])


def evaluation(net: Layer) -> Evaluation:
    """The network that a trained one is used as: no dropout, and batch normalisation by given statistics.

    Its parameters are a pair: those of the network, and statistics such as `training` keeps in its state.  So are
    its gradients, as those of `jax.grad` are; an optimizer that trains it should leave the statistics as they are.

    Raises:
      TypeError: net is not a `Layer`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jbackprop import layers
      >>> net = layers.chain(layers.linear(3), layers.batch_norm(), layers.dropout(0.2))
      >>> params, _ = net.init(jax.random.key(0), (5,))
      >>> statistics = layers.initial_statistics(net, params, (5,))
      >>> layers.evaluation(net).apply((params, statistics), jnp.ones((2, 5))).shape
      (2, 3)
    """
    check_layer("evaluation", net=net)
    return Evaluation(rebuilt(net, lambda layer: layer.evaluation()))


def rebuilt(layer: Layer, change: Callable[[Layer], Layer]) -> Layer:
    """The layer with every part, and then itself, exchanged for what `change` makes of it."""
    return change(with_parts(layer, lambda part: rebuilt(part, change)))


def with_parts(layer: Layer, change: Callable[[Layer], Layer]) -> Layer:
    """The layer with what `change` makes of each of its own parts."""
    fields = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    changed = {name: _changed(value, change) for name, value in fields.items() if _holds_layers(value)}
    return dataclasses.replace(layer, **changed) if changed else layer


def initial_statistics(net: Layer, params: Params, shape: Shape) -> Any:
    """Means of 0 and variances of 1 wherever the network wants statistics, a tree like params.

    Args:
      net: the network.
      params: its parameters.
      shape: of its input, the batch left out.
    """
    x = example_like(net, params, shape)
    found = jax.eval_shape(lambda x: net.statistics(params, net.forward(params, x)[1]), x)
    return starting_statistics(found)


def example_like(net: Layer, params: Params, shape: Shape) -> Any:
    """What a batch of one example looks like: floating point numbers, or what else the network wants of an input."""
    sizes, tree = jax.tree.flatten(shape, is_leaf=is_shape)

    def batch(dtypes):
        each = zip(sizes, dtypes, strict=True)
        return tree.unflatten([jax.ShapeDtypeStruct((1, *size), dtype) for size, dtype in each])

    floating = jnp.result_type(float)
    batches = map(batch, itertools.product((floating, jnp.int32, jnp.bool_), repeat=len(sizes)))
    return next((each for each in batches if _takes(net, params, each)), batch([floating] * len(sizes)))


def starting_statistics(statistics: Any) -> Any:
    """Means of 0 and variances of 1, of the shapes of these."""
    return jax.tree.map(_start, statistics, is_leaf=lambda node: isinstance(node, Statistics))


def moved(statistics: Any, batch: Any, momentum: float) -> Any:
    """Running averages after one more batch."""
    return jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new.astype(old.dtype), statistics, batch)


def _takes(net, params, batch):
    try:
        jax.eval_shape(net.forward, params, batch)
    except TypeError:
        return False
    return True


def _start(found):
    if not isinstance(found, Statistics):
        return found
    mean, variance = found.mean, found.variance
    return Statistics(jnp.zeros(mean.shape, mean.dtype), jnp.ones(variance.shape, variance.dtype))


def _holds_layers(value):
    return isinstance(value, Layer) or (isinstance(value, tuple) and any(isinstance(item, Layer) for item in value))


def _changed(value, change):
    if isinstance(value, Layer):
        return change(value)
    return tuple(change(item) if isinstance(item, Layer) else item for item in value)


def _merged(params, statistics):
    """The parameters with the statistics among them."""

    def together(found, params):
        if not isinstance(found, Statistics):
            return params
        return {**dict(params), **_fields(found)}

    return jax.tree.map(together, statistics, params, is_leaf=_is_place)


def _parted(tree, statistics):
    """The pair of which a tree like the merged parameters is made."""

    def params(found, tree):
        if not isinstance(found, Statistics):
            return tree
        return {name: leaf for name, leaf in tree.items() if name not in _fields(found)} or ()

    def others(found, tree):
        return Statistics(*(tree[name] for name in _fields(found))) if isinstance(found, Statistics) else found

    return tuple(jax.tree.map(part, statistics, tree, is_leaf=_is_place) for part in (params, others))


def _fields(statistics):
    return {"mean": statistics.mean, "variance": statistics.variance}


def _is_place(node):
    return isinstance(node, Statistics) or node == ()
