"""Both ways through a network, a layer at a time: by its own functions, and by `jax.vjp` without any of them.

    aˡ, cacheˡ = fˡ(aˡ⁻¹)                      aˡ, pullˡ = jax.vjp(fˡ without rules, pˡ, aˡ⁻¹)
    ∂C/∂aˡ⁻¹, δˡ = backwardˡ(cacheˡ, ∂C/∂aˡ)   ∂C/∂pˡ, ∂C/∂aˡ⁻¹ = pullˡ(∂C/∂aˡ)
    ∂C/∂pˡ = the totals of factorsˡ(cacheˡ, δˡ)

The automatic way calls no layer's `backward` or `factors`.  It is gone backward twice, the second time with
every ∂C/∂aˡ changed by its rounding, of relative size ε and random sign.  How far the two end apart, in the same
arithmetic, is how far off a right result may be where sums cancel.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import automatic
from jbackprop.layers import Chain, Layer, Outer, Params, is_factored, loss_and_signal


class Step(NamedTuple):
    """One layer in its place.

    Attributes:
      path: its number in the chain, and in the chains around that.
      layer: the record.
      params: its parameters.
      key: its random key, or None.
    """

    path: tuple[int, ...]
    layer: Layer
    params: Params
    key: Any

    @property
    def name(self) -> str:
        """What the layer calls itself; else what it prints before its brackets."""
        return self.layer.about().name or repr(self.layer).partition("(")[0]

    @property
    def place(self) -> str:
        return f"layer {'.'.join(map(str, self.path))}, {self.name}" if self.path else self.name

    def apply(self, params: Params, x: Any) -> Any:
        """The layer's output without its hand-written rules."""
        return automatic(self.layer.apply)(params, x, self.key)


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
      y, dy, gradients: as in `ByHand`.
      dy_noise, gradients_noise: what rounding does to the last two.
    """

    y: Any
    dy: Any
    gradients: Any
    dy_noise: Any
    gradients_noise: Any


class Pass(NamedTuple):
    """A way through the whole network.

    Attributes:
      values: the losses of the examples.
      layers: what was found for each layer.
      dx: ∂C/∂x of the network's input.
      dx_noise: what rounding does to it.
    """

    values: jax.Array
    layers: list[Any]
    dx: Any
    dx_noise: Any = None


def in_place(net: Layer, params: Params, key: jax.Array | None) -> list[Step]:
    """The network's layers in order, chains inside chains laid flat.

    Raises:
      ValueError: params is not one entry for each layer of a chain.
    """
    return list(_laid_flat(net, params, key, ()))


def _laid_flat(layer, params, key, path) -> Iterator[Step]:
    if not isinstance(layer, Chain):
        yield Step(path, layer, params, key)
        return
    if not isinstance(params, Sequence) or len(params) != len(layer.parts):
        got = f"{len(params)}" if isinstance(params, Sequence) else type(params).__name__
        where = f" of layer {'.'.join(map(str, path))}" if path else ""
        raise ValueError(f"explain: params, wanted one entry for each of {len(layer.parts)} layers{where}, got {got}")
    for i, (part, part_params, part_key) in enumerate(layer.in_order(params, key)):
        yield from _laid_flat(part, part_params, part_key, (*path, i))


def automatically(steps: Sequence[Step], loss: Callable, x: Any, y: Any) -> Pass:
    """Values, gradients and their rounding without any hand-written rule.

    Raises:
      ValueError: a layer or the loss refuses what it is given, or there is no example.
    """
    outputs, pulls = [], []
    for step in steps:
        x, pull = _said(f"x, wanted an input that {step.place} takes", x, jax.vjp, step.apply, step.params, x)
        outputs.append(x)
        pulls.append(pull)
    wanted = f"y, wanted targets for an output {_kinds(x)}"
    values, pull = _said(wanted, y, jax.vjp, lambda output: automatic(loss)(output, y), x)
    if not values.size:
        raise ValueError(f"explain: x, wanted at least one example, got losses {values.shape}")
    (d_output,) = pull(jnp.full_like(values, 1 / values.size))
    arrived, gradients = _pulled(steps, pulls, d_output, lambda d, size: d)
    signs = np.random.default_rng(0)
    again = _pulled(steps, pulls, d_output, lambda d, size: _rounded(d, size, signs))
    arrived_noise, gradients_noise = jax.tree.map(_difference, (arrived, gradients), again)
    layers = map(Automatic, outputs, arrived[1:], gradients, arrived_noise[1:], gradients_noise)
    return Pass(values, list(layers), arrived[0], arrived_noise[0])


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
    forward = []
    for step in steps:
        output, cache = _said(f"{step.place}: forward, wanted to run", x, step.layer.forward, step.params, x, step.key)
        forward.append((x, output, cache))
        x = output
    values, dy = loss_and_signal(loss, x, y)
    layers = []
    for step, kept, twin in reversed(list(zip(steps, forward, twins, strict=True))):
        usable = dy if _shapes(dy) == _shapes(twin.dy) else twin.dy
        dx, *rest = _backward(step, kept[0], kept[-1], usable)
        layers.insert(0, ByHand(*kept, dy, *rest))
        dy = dx
    return Pass(values, layers, dy)


def _backward(step, x, cache, dy):
    dx, delta = _said(f"{step.place}: backward, wanted to run", dy, step.layer.backward, step.params, cache, dy)
    return dx, delta, *named(step, x, cache, delta)


def named(step: Step, x: Any, cache: Any, delta: Any) -> tuple[Params, dict[str, Word]]:
    """A layer's gradients, and how it named them."""
    factors = _said(f"{step.place}: factors, wanted to run", delta, step.layer.factors, step.params, cache, delta)
    gradients = jax.tree.map(lambda factored: factored.total(), factors, is_leaf=is_factored)
    return gradients, {name: _word(factored, x, delta) for name, factored in leaves(factors, is_factored).items()}


def _word(factored, x, delta):
    parts = [leaf for leaf in (*jax.tree.leaves(delta), delta) if leaf is not None]
    signal = getattr(factored, "delta", None)
    of_input = isinstance(factored, Outer) and factored.a is x
    return Word(type(factored).__name__, of_input, any(signal is part for part in parts))


def _said(wanted, given, f, *arguments):
    """f(*arguments); what it raises becomes one line."""
    try:
        return f(*arguments)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        reason = f"{error}".strip().partition("\n")[0]
        raise ValueError(f"explain: {wanted}, got {_kinds(given)}: {reason}") from error


def _kinds(tree):
    return ", ".join(f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}" for leaf in jax.tree.leaves(tree)) or "nothing"


def _shapes(tree):
    return jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The leaves of a tree by the names of their places; "" for a tree that is one leaf."""
    found = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in found}


def _is_void(d):
    """Whether a gradient is JAX's for an integer."""
    return d.dtype == jax.dtypes.float0
