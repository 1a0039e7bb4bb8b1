"""The record that every layer is: data, with four functions of which all else is made.

    init(key, shape)                 -> params, out_shape
    forward(params, x, key=None)     -> y, cache
    backward(params, cache, dy)      -> dx, delta        the δ recursion, and nothing else
    factors(params, cache, delta)    -> a tree like params: aᵀδ and Σδ, named and not yet computed

A layer is a frozen dataclass of its settings and its parts; the parameters stand outside.  So it prints, compares and
hashes, is static under `jit`, and can be built again from other parts.  Shapes leave out the batch.  Examples come
first in x, y, delta and in the arrays of a cache, which never holds a parameter.  A layer with several inputs or
outputs takes and returns tuples.  `key` is for layers that draw random numbers: without one they draw none.

`backward` and `factors` are apart because δ is a value to look at, scale, clip or replace between them; and a factored
gradient is one too, whose meaning the caller chooses: `total` is the gradient, `jax.vmap(total)` that of each example.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax

from jbackprop.rules import Factored, gradient_like

Params = Any
"""A tree of arrays: what `init` returns, `jax.tree` maps over and an optax optimizer updates."""

Shape = Any
"""The shape of one example, a tuple of sizes; of several inputs or outputs a tuple of shapes."""


class About(NamedTuple):
    """How `jbackprop.explain` speaks of a layer; what is empty it finds a general word for.

    In the equations {x} stands for the layer's input, {y} for its output, {dx} and {dy} for their gradients, {delta}
    for its δ, and {l} for its number, written above.

    Attributes:
      name: such as "linear"; by default what the layer prints before its brackets.
      output: the right-hand side of y, such as "{x} W{l} + b{l}".
      delta: the right-hand side of δ, such as "{dy} ⊙ {x}".
      input: the right-hand side of ∂C/∂x, such as "{delta} W{l}ᵀ".
    """

    name: str = ""
    output: str = ""
    delta: str = ""
    input: str = ""


NOTHING = About()
"""Of a layer that says nothing of itself."""


class Swept(NamedTuple):
    """What `Layer.sweep` tells.

    Attributes:
      y: the output.
      dx: ∂C/∂input.
      delta: δ, `()` where it was not told.
      gradients: a tree like the parameters.
      statistics: of the batch, for running averages.
    """

    y: Any
    dx: Any
    delta: Any
    gradients: Params
    statistics: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Layer:
    """A layer, to be made by the functions of `jbackprop.layers`, or by a frozen dataclass of your own.

    Example: y = s ⊙ x with a trained scale s.

      >>> import dataclasses
      >>> import jax.numpy as jnp
      >>> from jbackprop import layers
      >>> @dataclasses.dataclass(frozen=True)
      ... class Scale(layers.Layer):
      ...     start: float = 1.0
      ...     def init(self, key, shape):
      ...         return jnp.full(shape[-1:], self.start), shape
      ...     def forward(self, s, x, key=None):
      ...         return s * x, x
      ...     def backward(self, s, x, dy):
      ...         return dy * s, dy
      ...     def factors(self, s, x, delta):
      ...         return layers.Summed(delta * x)
      >>> layers.chain(layers.linear(5), Scale(), layers.tanh())
      chain(linear(5), Scale(start=1.0), tanh())
    """

    def __repr__(self) -> str:
        return f"{snake_case(type(self).__name__)}({', '.join(settings(self))})"

    @property
    def mixes_examples(self) -> bool:
        """Whether an example's output depends on the others; its parts are not looked at."""
        return False

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Draws the parameters for inputs of one shape, the batch left out; returns them and the output's shape."""
        return (), shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """The output, and what the backward pass needs of it."""
        raise NotImplementedError

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """∂C/∂input and δ from ∂C/∂output.

        δ is ∂C/∂(what the parameters enter), the pre-activation's gradient, or `()` where there are no parameters.
        """
        raise NotImplementedError

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """What each parameter gets, a tree like params."""
        return ()

    def gradient(
        self, params: Params, cache: Any, delta: Any, quantity: Callable[[Factored], Any] | None = None
    ) -> Any:
        """A quantity of each factored gradient, in a tree like params; the gradients, in their parameters' dtypes.

        Args:
          params: the parameters.
          cache: of the forward pass.
          delta: of the backward pass, or what you made of it.
          quantity: any function of a `Factored`, such as `jax.vmap(layers.total)`; the gradient unless given.
        """
        factors = self.factors(params, cache, delta)
        if quantity is None:
            check_named(f"{self}: factors", factors, params)
            return like(jax.tree.map(total, factors, is_leaf=is_factored), params)
        return jax.tree.map(quantity, factors, is_leaf=is_factored)

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """∂C/∂input, δ and ∂C/∂params at once.

        The same as `backward` and then `gradient`; a combinator does both a part at a time, so that what a part
        needs in between need not outlive it.
        """
        dx, delta = self.backward(params, cache, dy)
        return dx, delta, self.gradient(params, cache, delta)

    @property
    def sweeps(self) -> bool:
        """Whether `sweep` is more than one pass after the other."""
        return False

    def sweep(self, params: Params, x: Any, dy: Any, key: jax.Array | None = None) -> "Swept":
        """The forward and the backward pass at once, for who knows ∂C/∂output before the output, as of a mean."""
        y, cache = self.forward(params, x, key)
        return Swept(y, *self.backpropagate(params, cache, dy), self.statistics(params, cache))

    def apply(self, params: Params, x: Any, key: jax.Array | None = None) -> Any:
        """The output alone, for `jax.grad` to differentiate by the layer's own backward pass."""
        return _apply(self, params, x, key)

    def statistics(self, params: Params, cache: Any) -> Any:
        """The statistics of a batch that evaluation wants running averages of, a tree like params; () for none."""
        return ()

    def evaluation(self) -> "Layer":
        """What stands in this layer's place where a network is used and not trained; its parts are not looked at."""
        return self

    def about(self) -> About:
        """Names and equations, for people to read."""
        return NOTHING


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _apply(layer, params, x, key):
    return layer.forward(params, x, key)[0]


def _apply_fwd(layer, params, x, key):
    y, cache = layer.forward(params, x, key)
    return y, (params, cache)


def _apply_bwd(layer, residuals, dy):
    dx, _, gradients = layer.backpropagate(*residuals, dy)
    return gradients, dx, None


_apply.defvjp(_apply_fwd, _apply_bwd)


def total(factored: Factored) -> jax.Array:
    """The gradient: the factors contracted over all examples; under `jax.vmap`, that of each example.

    Raises:
      ValueError: under `jax.vmap`, for a layer that mixes its examples, as batch normalisation does.
    """
    return factored.total()


def is_factored(tree: Any) -> bool:
    """Whether a tree is a factored gradient, for `is_leaf`."""
    return isinstance(tree, Factored)


def check_named(who: str, factors: Any, params: Params) -> None:
    """Raises ValueError where a parameter has no factored gradient."""
    named = dict(jax.tree_util.tree_leaves_with_path(factors, is_leaf=is_factored))
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        if not is_factored(named.get(path)):
            place = jax.tree_util.keystr(path, simple=True, separator=".") or "it"
            raise ValueError(f"{who}, wanted a factored gradient of each parameter, got none of {place}")


def like(gradients: Params, params: Params) -> Params:
    """The gradients, each in its parameter's dtype, and on a mesh where its parameter is."""
    return jax.tree.map(lambda gradient, param: gradient_like(param, gradient).astype(param.dtype), gradients, params)


def settings(layer: Layer) -> list[str]:
    """The fields of a layer as they are written: by name where they have a default, and only if they are not that."""
    fields = [(field.name, getattr(layer, field.name), field.default) for field in dataclasses.fields(layer)]
    return [
        repr(value) if default is dataclasses.MISSING else f"{name}={value!r}"
        for name, value, default in fields
        if value != default
    ]


def snake_case(name: str) -> str:
    """The function that makes a class's records: BatchNorm is made by batch_norm."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def check_layer(maker: str, **layers: Any) -> None:
    """Raises TypeError unless each value is a Layer."""
    for name, value in layers.items():
        if not isinstance(value, Layer):
            hint = "; `layers.of` makes one of a rule" if callable(value) else ""
            raise TypeError(f"{maker}: {name}, wanted a Layer, got {value!r}{hint}")


def check_positive(layer: str, **numbers: int | None) -> None:
    """Raises ValueError unless each number is positive; None is one that was not given."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{layer}: {name}, wanted a positive number, got {number}")


def spatial_axes(layer: str, window: Sequence[int]) -> int:
    """How many axes a window has; ValueError where it is no sequence."""
    if not isinstance(window, Sequence):
        raise ValueError(f"{layer}: window, wanted a number for each spatial axis, such as (2, 2), got {window!r}")
    return len(window)


def is_shape(node: Any) -> bool:
    """Whether a node is the shape of one input, for `is_leaf`."""
    return isinstance(node, tuple | list) and all(isinstance(size, int) for size in node)


def check_shape(layer: str, shape: Any) -> None:
    """Raises ValueError unless the shape is a tuple of sizes, or of such shapes."""
    if not isinstance(shape, tuple | list) or not all(isinstance(size, int | tuple | list) for size in shape):
        got = f"an array of shape {shape.shape}" if hasattr(shape, "shape") else repr(shape)
        raise ValueError(f"{layer}: shape, wanted a tuple of sizes without the batch, such as (784,), got {got}")
