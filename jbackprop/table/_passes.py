"""Both ways through a network, a layer at a time: by its own functions, and by `jax.vjp` without any of them.

    aˡ, cacheˡ = fˡ(aˡ⁻¹)                      aˡ, pullˡ = jax.vjp(fˡ without rules, pˡ, aˡ⁻¹)
    ∂C/∂aˡ⁻¹, δˡ = backwardˡ(cacheˡ, ∂C/∂aˡ)   ∂C/∂pˡ, ∂C/∂aˡ⁻¹ = pullˡ(∂C/∂aˡ)
    ∂C/∂pˡ = the totals of factorsˡ(cacheˡ, δˡ)

The automatic way calls no layer's `backward` or `factors`.  It is gone backward twice, the second time with
every ∂C/∂aˡ changed by its rounding, of relative size ε and random sign.  How far the two end apart, in the same
arithmetic, is how far off a right result may be where sums cancel.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import automatic
from jbackprop.layers import Outer, Params, is_factored, loss_and_signal

from ._places import Step, kinds, said


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Word:
    """How a layer named a parameter's gradient, as in `Outer(a, delta)`.

    Attributes:
      name: of the factored gradient's class, such as "Outer".
      of_input: whether its input is that of the layer.
      of_delta: whether its δ is that of the layer, or a part of it, as it is.
    """

    name: str
    of_input: bool
    of_delta: bool


class ByHand(NamedTuple):
    """What a layer's own functions compute.

    Attributes:
      x: its input.
      y: its output.
      cache: what it kept.
      dy: ∂C/∂y, from the backward pass of what comes after it.
      delta: δ.
      gradients: ∂C/∂params.
      words: how it named them, by the parameter's name.
    """

    x: Any
    y: Any
    cache: Any
    dy: Any
    delta: Any
    gradients: Any
    words: dict[str, Word]


class Automatic(NamedTuple):
    """What `jax.vjp` finds for a layer.

    Attributes:
      x, y, dy, gradients: as in `ByHand`.
      dy_noise, gradients_noise: what rounding does to the last two.
    """

    x: Any
    y: Any
    dy: Any
    gradients: Any
    dy_noise: Any
    gradients_noise: Any


class Pass(NamedTuple):
    """A way through a network, or through a branch of a combinator.

    Attributes:
      layers: what was found for each layer.
      dx: ∂C/∂x of the first one's input.
      dx_noise: what rounding does to it.
      values: the losses of the examples; of a branch None.
    """

    layers: list[Any]
    dx: Any
    dx_noise: Any = None
    values: Any = None


def automatically(steps: Sequence[Step], loss: Callable, x: Any, y: Any) -> Pass:
    """Values, gradients and their rounding without any hand-written rule.

    Raises:
      ValueError: a layer or the loss refuses what it is given, or there is no example.
    """
    xs, pulls = _forward(steps, x)
    wanted = f"y, wanted targets for an output {kinds(xs[-1])}"
    values, pull = said(wanted, y, jax.vjp, lambda output: automatic(loss)(output, y), xs[-1])
    if not values.size:
        raise ValueError(f"explain: x, wanted at least one example, got losses {values.shape}")
    (d_output,) = pull(jnp.full_like(values, 1 / values.size))
    return _back(steps, xs, pulls, d_output, d_output)._replace(values=values)


def automatically_inside(steps: Sequence[Step], x: Any, dy: Any, noise: Any) -> Pass:
    """The same through a branch, from its input, ∂C/∂output and what rounding does to that.

    Raises:
      ValueError: a layer refuses what it is given.
    """
    return _back(steps, *_forward(steps, x), dy, rounded(dy, noise))


def rounded(dy: Any, noise: Any) -> Any:
    """∂C/∂y with what rounding does to it."""
    return jax.tree.map(lambda d, more: d if _is_void(d) else d + more, dy, noise)


def _forward(steps, x):
    """The input and each output, and the way back from each."""
    xs, pulls = [x], []
    for step in steps:
        given = xs[-1]
        y, pull = said(f"x, wanted an input that {step.place} takes", given, jax.vjp, step.apply, step.params, given)
        xs.append(y)
        pulls.append(pull)
    return xs, pulls


def _back(steps, xs, pulls, dy, dy_rounded) -> Pass:
    """Back from ∂C/∂output, and once more from the same after rounding."""
    arrived, gradients = _pulled(steps, pulls, dy, lambda d, size: d)
    signs = np.random.default_rng(0)
    again = _pulled(steps, pulls, dy_rounded, lambda d, size: _rounded(d, size, signs))
    arrived_noise, gradients_noise = jax.tree.map(_difference, (arrived, gradients), again)
    layers = map(Automatic, xs, xs[1:], arrived[1:], gradients, arrived_noise[1:], gradients_noise)
    return Pass(list(layers), arrived[0], arrived_noise[0])


def _pulled(steps, pulls, d_output, changed):
    """∂C/∂ of the first input and of each output, changed on the way; ∂C/∂params of each layer.

    `changed` is told how large the terms may be that cancel in ∂C/∂x: without parameters, as large as ∂C/∂y.
    """
    arrived, gradients = [jax.tree.map(lambda d: changed(d, 0), d_output)], []
    for step, pull in reversed(list(zip(steps, pulls, strict=True))):
        size = 0 if jax.tree.leaves(step.params) else _largest(arrived[0])
        dparams, dx = pull(arrived[0])
        arrived.insert(0, jax.tree.map(lambda d, size=size: changed(d, size), dx))
        gradients.insert(0, dparams)
    return arrived, gradients


def _largest(tree):
    sizes = [jnp.abs(d).max(initial=0).astype(jnp.float32) for d in jax.tree.leaves(tree) if not _is_void(d)]
    return jnp.stack(sizes).max() if sizes else 0


def _rounded(d, size, signs):
    """Each entry larger or smaller by ε of itself and of `size`."""
    if _is_void(d):
        return d
    epsilon = jnp.asarray(float(jnp.finfo(d.dtype).eps) * signs.choice([-1.0, 1.0], d.shape), d.dtype)
    return d + epsilon * (jnp.abs(d) + size).astype(d.dtype)


def _difference(a, b):
    return a if _is_void(a) else b - a


def by_hand(steps: Sequence[Step], loss: Callable, x: Any, y: Any, twins: Sequence[Automatic]) -> Pass:
    """The layers' own values and gradients.

    Where a backward pass returns something of another shape than its input, the layer before it goes on with the
    automatic gradient, so that it can be looked at too.

    Raises:
      ValueError: a layer's function fails.
    """
    forward = _forward_by_hand(steps, x)
    values, dy = loss_and_signal(loss, forward[-1][1], y)
    return _back_by_hand(steps, forward, dy, twins)._replace(values=values)


def by_hand_inside(steps: Sequence[Step], x: Any, dy: Any, twins: Sequence[Automatic]) -> Pass:
    """The same through a branch, from its input and ∂C/∂output.

    Raises:
      ValueError: a layer's function fails.
    """
    return _back_by_hand(steps, _forward_by_hand(steps, x), dy, twins)


def _forward_by_hand(steps, x):
    """Each layer's input, output and cache."""
    forward = []
    for step in steps:
        output, cache = said(f"{step.place}: forward, wanted to run", x, step.layer.forward, step.params, x, step.key)
        forward.append((x, output, cache))
        x = output
    return forward


def _back_by_hand(steps, forward, dy, twins) -> Pass:
    layers = []
    for step, (x, y, cache), twin in reversed(list(zip(steps, forward, twins, strict=True))):
        dx, *rest = _backward(step, x, cache, usable(dy, twin.dy))
        layers.insert(0, ByHand(x, y, cache, dy, *rest))
        dy = dx
    return Pass(layers, dy)


def usable(dy: Any, automatic: Any) -> Any:
    """∂C/∂y by hand; where it has another shape than it should have, the automatic one."""
    return dy if _shapes(dy) == _shapes(automatic) else automatic


def _backward(step, x, cache, dy):
    dx, delta = said(f"{step.place}: backward, wanted to run", dy, step.layer.backward, step.params, cache, dy)
    return dx, delta, *named(step, x, cache, delta)


def named(step: Step, x: Any, cache: Any, delta: Any) -> tuple[Params, dict[str, Word]]:
    """A layer's gradients, and how it named them."""
    factors = said(f"{step.place}: factors, wanted to run", delta, step.layer.factors, step.params, cache, delta)
    gradients = jax.tree.map(lambda factored: factored.total(), factors, is_leaf=is_factored)
    return gradients, {name: _word(factored, x, delta) for name, factored in leaves(factors, is_factored).items()}


def _word(factored, x, delta):
    parts = [leaf for leaf in (*jax.tree.leaves(delta), delta) if leaf is not None]
    signal = getattr(factored, "delta", None)
    of_input = isinstance(factored, Outer) and factored.a is x
    return Word(type(factored).__name__, of_input, any(signal is part for part in parts))


def _shapes(tree):
    return jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The leaves of a tree by the names of their places; "" for a tree that is one leaf."""
    found = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in found}


def _is_void(d):
    """Whether a gradient is JAX's for an integer."""
    return d.dtype == jax.dtypes.float0
