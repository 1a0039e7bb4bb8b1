"""What a layer's δ should be, as far as automatic differentiation can tell.

δ is the gradient of whatever the parameters enter, which only its author knows.  Two things tell it from outside:

- A parameter that gets `summed(δ)` gets δᵢ of example i alone.  So δ is that parameter's per-example gradient, by
  `vmap` of `vjp` over batches of one; these must sum to the whole gradient, or the layer mixes its examples.
- A δ that is ∂C/∂y, as with every z = … + b, agrees with ∂C/∂y, or the layer makes the right gradients from ∂C/∂y.
"""

from typing import Any, NamedTuple

import jax

from ._passes import Automatic, ByHand, leaves, named, rounded
from ._places import Step
from ._row import agree


class Evidence(NamedTuple):
    """What δ is judged by.

    Attributes:
      per_example: the per-example gradients (batch, n) of each parameter that gets `summed(δ)`, by its name, and what
        rounding does to them.
      from_dy: what the layer's `gradient` makes of ∂C/∂y in the place of δ, or None.
    """

    per_example: dict[str, tuple[Any, Any]]
    from_dy: Any


def gather(step: Step, hand: ByHand, twin: Automatic) -> Evidence:
    """The evidence for one layer; a combinator's δ is that of its parts."""
    if step.inside or not isinstance(hand.delta, jax.Array):
        return Evidence({}, None)
    sums = [name for name, param in leaves(step.params).items() if _is_sum(name, param, hand)]
    from_dy = named(step, hand.x, hand.cache, twin.dy)[0] if _shape(twin.dy) == hand.delta.shape else None
    return Evidence({name: _per_example(step, hand.x, twin, name) for name in sums}, from_dy)


def _is_sum(name, param, hand):
    """Whether a parameter gets the plain sum of δ over the examples."""
    word = hand.words.get(name)
    return word is not None and word.name == "Summed" and word.of_delta and hand.delta.shape[1:] == param.shape


def _per_example(step, x, twin, name):
    def one(x, *cotangents):
        x, *cotangents = jax.tree.map(lambda a: a[None], (x, *cotangents))
        _, pull = jax.vjp(lambda params: step.apply(params, x), step.params)
        return [leaves(pull(dy)[0])[name] for dy in cotangents]

    delta, again = jax.vmap(one)(x, twin.dy, rounded(twin.dy, twin.dy_noise))
    return delta, again - delta


def automatic_delta(hand: ByHand, twin: Automatic, evidence: Evidence, length: int) -> tuple[Any, Any]:
    """δ's automatic value, or None where there is no evidence, and what rounding does to it.

    `length` is that of the longest sum in sight.
    """
    wanted, noise = leaves(twin.gradients), leaves(twin.gradients_noise)
    for name, (delta, delta_noise) in evidence.per_example.items():
        if agree(delta.sum(axis=0), wanted[name], length, noise[name]):
            return delta, delta_noise
    if evidence.from_dy is None:
        return None, None
    made = leaves(evidence.from_dy)
    is_dy = agree(hand.delta, twin.dy, length, twin.dy_noise)
    right = is_dy or all(agree(made.get(name), wanted[name], length, noise[name]) for name in wanted)
    return (twin.dy, twin.dy_noise) if right else (None, None)


def _shape(tree):
    return tree.shape if isinstance(tree, jax.Array) else None
