"""What a layer's δ should be, as far as automatic differentiation can tell.

δ is the gradient of whatever the parameters enter, which only its author knows.  Two things tell it from outside:

- A parameter that gets `summed(δ)` gets δᵢ of example i alone.  So δ is that parameter's per-example gradient, by `vmap`
  of `vjp` over batches of one; these must sum to the whole gradient, or the layer mixes its examples.
- A δ that is ∂C/∂y, as with every z = … + b, agrees with ∂C/∂y, or the layer makes the right gradients from ∂C/∂y.
"""

from typing import Any

import jax

from ._passes import Automatic, ByHand, Step, named
from ._row import agree, leaves


def automatic_delta(step: Step, hand: ByHand, twin: Automatic, length: int) -> Any:
    """δ's automatic value, or None; `length` is that of the longest sum in sight."""
    if not isinstance(hand.delta, jax.Array):
        return None
    for word in hand.words:
        if word.name == "summed" and word.arguments[0] is hand.delta and hand.delta.ndim == 2:
            delta = _per_example(step, hand, twin, word.value, length)
            if delta is not None:
                return delta
    return _of_output(step, hand, twin, length)


def _per_example(step, hand, twin, value, length):
    """The per-example gradients of the parameter whose gradient is `value`, (batch, n)."""
    wanted = leaves(twin.gradients)
    name = next((name for name, made in leaves(hand.gradients).items() if made is value), None)
    if name not in wanted or wanted[name].shape != value.shape:
        return None

    def one(x, dy):
        x, dy = jax.tree.map(lambda a: a[None], (x, dy))
        _, pull = jax.vjp(lambda params: step.apply(params, x), step.params)
        return leaves(pull(dy)[0])[name]

    delta = jax.vmap(one)(hand.x, twin.dy)
    return delta if agree(delta.sum(axis=0), wanted[name], length) else None


def _of_output(step, hand, twin, length):
    """∂C/∂y, if that is what δ is or what `gradient` wants of it."""
    if not isinstance(twin.dy, jax.Array) or twin.dy.shape != hand.delta.shape:
        return None
    if agree(hand.delta, twin.dy, length):
        return twin.dy
    made, wanted = leaves(named(step, hand.cache, twin.dy)[0]), leaves(twin.gradients)
    return twin.dy if all(agree(made.get(name), wanted[name], length) for name in wanted) else None
