"""The record that every layer is, and the words in which a layer names its parameter gradients.

A layer is five pure functions, and backpropagation is the second and the third of them:

    init(key, shape)                       -> params, out_shape
    forward(params, x, key)                -> y, cache
    backward(params, cache, dy)            -> dx, delta           the δ recursion, and nothing else
    gradient(params, cache, delta, contract=total) -> dparams     aᵀδ and Σδ, from what was kept
    apply(params, x, key)                  -> y                   the same y, for `jax.grad` to differentiate

Shapes leave out the batch.  Examples come first in x, y, cache and delta; a cache never holds a parameter.  A layer
with several inputs or outputs takes and returns tuples.  `key` is for layers that draw random numbers: without one they
draw none.  `backward` and `gradient` are apart because δ is a value to look at, scale, clip or replace between them.

A layer does not compute its parameter gradient, it names it: `contract.outer(a, delta)` for a weight and
`contract.summed(delta)` for a bias or a scale.  Who calls `gradient` chooses what the words mean: `total` sums over the
examples; the two functions under `jax.vmap` keep them apart, and are then the per-example gradients.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jbackprop import rules

Params = Any
"""A tree of arrays: what `init` returns, `jax.tree` maps over and an optax optimizer updates."""

Shape = tuple[int, ...]


class Contraction(NamedTuple):
    """What a parameter gets from its layer's input and δ.

    Attributes:
      outer: (a, delta) -> for a weight: a is (batch, ..., n_in), delta is (batch, ..., n_out).
      summed: (delta) -> for a bias, or for a scale with δ ⊙ x̂: delta is (batch, ..., n).
    """

    outer: Callable[[jax.Array, jax.Array], Any]
    summed: Callable[[jax.Array], Any]


total = Contraction(outer=rules.weight_gradient, summed=rules.bias_gradient)
"""The gradient: aᵀδ and Σδ, summed over every axis but the last."""


class About(NamedTuple):
    """How `jbackprop.explain` speaks of a layer; what is empty it finds a general word for.

    In the equations {x} stands for the layer's input, {y} for its output, {dx} and {dy} for their gradients, {delta}
    for its δ, and {l} for its number, written above.

    Attributes:
      name: such as "linear"; by default the function that made the layer.
      output: the right-hand side of y, such as "{x} W{l} + b{l}".
      delta: the right-hand side of δ, such as "{dy} ⊙ {x}".
      input: the right-hand side of ∂C/∂x, such as "{delta} W{l}ᵀ".
    """

    name: str = ""
    output: str = ""
    delta: str = ""
    input: str = ""


UNNAMED = About()


@dataclasses.dataclass(frozen=True)
class Layer:
    """An immutable record of pure functions; the module's docstring gives their signatures.

    Attributes:
      init: draws the parameters for inputs of one shape, the batch left out.
      forward: the output, and what the backward pass needs of it.
      backward: ∂C/∂input and δ from ∂C/∂output.  δ is ∂C/∂(what the parameters enter): the pre-activation's gradient,
        or `()` where there are no parameters.
      gradient: the parameters' gradients from the cache and δ, in the words of a `Contraction`.
      apply: the output alone, differentiable by JAX.
      parts: the layers that this one is the composition of, in order, if it is one.
      about: names and equations, for people to read.
    """

    init: Callable[..., tuple[Params, Any]]
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Params, Any, Any], tuple[Any, Any]]
    gradient: Callable[..., Params]
    apply: Callable[..., Any]
    parts: tuple["Layer", ...] = ()
    about: About = UNNAMED


def no_parameters(key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
    """The `init` of a layer that has no parameters and keeps the shape."""
    return (), shape


def no_gradient(params: Params, cache: Any, delta: Any, contract: Contraction = total) -> Params:
    """The `gradient` of a layer that has no parameters."""
    return ()


def define(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Params, Any, Any], tuple[Any, Any]],
    init: Callable[..., tuple[Params, Any]] = no_parameters,
    gradient: Callable[..., Params] = no_gradient,
    about: About = UNNAMED,
) -> Layer:
    """A layer of your own.  Its `apply` is made from the other functions, as a `jax.custom_vjp`.

    So `jax.grad` of a network runs your backward pass, and `jbackprop.automatic` takes it out again.

    Args:
      forward: (params, x, key=None) -> y, cache.
      backward: (params, cache, dy) -> dx, delta; delta is () without parameters.
      init: (key, shape) -> params, out_shape; by default there are no parameters and the shape stays.
      gradient: (params, cache, delta, contract=total) -> a tree like the parameters.
      about: names and equations, for people to read.

    Example: y = s ⊙ x with a trained scale s.

      >>> import jax, jax.numpy as jnp
      >>> from jbackprop import layers
      >>> def scale():
      ...     def init(key, shape):
      ...         return jnp.ones(shape[-1:]), shape
      ...     def forward(s, x, key=None):
      ...         return s * x, x
      ...     def backward(s, x, dy):          # δ is what the parameter sums: dy ⊙ x
      ...         return dy * s, dy * x
      ...     def gradient(s, x, delta, contract=layers.total):
      ...         return contract.summed(delta)
      ...     return layers.define(forward, backward, init, gradient)
      >>> net = layers.chain(layers.linear(5), scale(), layers.tanh())
    """

    @jax.custom_vjp
    def rule(params, x, key):
        return forward(params, x, key)[0]

    def fwd(params, x, key):
        y, cache = forward(params, x, key)
        return y, (params, cache)

    def bwd(residuals, dy):
        params, cache = residuals
        dx, delta = backward(params, cache, dy)
        return like(gradient(params, cache, delta), params), dx, None

    rule.defvjp(fwd, bwd)

    def apply(params, x, key=None):
        return rule(params, x, key)

    return Layer(init, forward, backward, gradient, apply, about=about)


def like(gradients: Params, params: Params) -> Params:
    """The gradients, each in its parameter's dtype."""
    return jax.tree.map(lambda gradient, param: gradient.astype(param.dtype), gradients, params)
