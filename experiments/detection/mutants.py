"""A wrong rule from a right one: the same forward half, and a backward half that goes wrong in one gradient."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp

from jbackprop.functions import Halves, automatic, differentiable, replaced

Rule = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Call:
    """What the backward half has in hand when it goes wrong.

    Attributes:
      pull: the right backward half, cotangent -> one gradient for each argument.
      arguments: of the forward half.
      cotangent: of its output.
      target: position of the argument whose gradient is to be spoilt.
    """

    pull: Callable[[jax.Array], Sequence[jax.Array | None]]
    arguments: tuple[jax.Array, ...]
    cotangent: jax.Array
    target: int

    @property
    def x(self) -> jax.Array:
        """The target."""
        return self.arguments[self.target]

    @property
    def dx(self) -> jax.Array:
        """Its right gradient."""
        return self.of(self.cotangent)

    def of(self, cotangent: jax.Array) -> jax.Array:
        """The target's gradient for another cotangent."""
        return jnp.asarray(self.pull(cotangent)[self.target])


def always(rule: Rule, arguments: Sequence[jax.Array], target: int) -> bool:
    """For a fault that every rule can have."""
    return True


Spoil = Callable[[Call], jax.Array]
Applies = Callable[[Rule, Sequence[jax.Array], int], bool]
Make = Callable[[Rule, int], Rule]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    Attributes:
      name: a line of the table.
      make: (right rule, target) -> wrong rule.
      found_by: the checks of `jb.check` that claim to find it.
      applies: whether the fault can be committed in a rule at given arguments.
      large: whether it is to be tried on larger arrays than the case has.
    """

    name: str
    make: Make
    found_by: tuple[str, ...]
    applies: Applies = always
    large: bool = False


@cache
def halves(rule: Rule) -> Halves:
    """The forward and the backward pass of any function with rules in it: the residuals are JAX's own pull-back.

    Both are compiled, once for all mutants of a rule: eager, a loop in it would be compiled at every call.
    """

    def forward(*arguments):
        (output,), pull = differentiable(rule, *arguments).vjp(*arguments)
        return output, (pull, arguments)

    def backward(residuals, cotangent):
        pull, arguments = residuals
        places = differentiable(rule, *arguments).chosen
        return replaced([None] * len(arguments), places, pull([cotangent]))

    return Halves(jax.jit(forward), jax.jit(backward))


def main_output(rule: Rule, arguments: Sequence[jax.Array]) -> Rule:
    """The rule, or of several outputs the largest, which faults can then be made in as in any other."""
    outputs = jax.tree.leaves(jax.eval_shape(rule, *arguments))
    largest = max(range(len(outputs)), key=lambda i: outputs[i].size)
    return rule if len(outputs) == 1 else lambda *given: jax.tree.leaves(rule(*given))[largest]


def spoilt(rule: Rule, target: int, spoil: Spoil) -> Rule:
    """The rule with another gradient of its target."""
    right = halves(rule)

    @jax.custom_vjp
    def wrong(*arguments):
        return right.forward(*arguments)[0]

    def fwd(*arguments):
        output, residuals = right.forward(*arguments)
        return output, (residuals, arguments)

    def bwd(kept, cotangent):
        residuals, arguments = kept
        gradients = list(right.backward(residuals, cotangent))[: len(arguments)]  # optional ones may be left out
        call = Call(partial(right.backward, residuals), arguments, jnp.asarray(cotangent), target)
        gradients[target] = spoil(call)
        return tuple(gradients)

    wrong.defvjp(fwd, bwd)
    return wrong


def stale(rule: Rule, target: int) -> Rule:
    """The rule with the residuals of the call before, for all arguments: a cache in Python."""
    del target
    right, memory = halves(rule), {}

    @jax.custom_vjp
    def wrong(*arguments):
        return right.forward(*arguments)[0]

    def fwd(*arguments):
        output, residuals = right.forward(*arguments)
        before = memory.get("residuals", residuals)
        memory["residuals"] = residuals
        return output, (before, arguments)

    def bwd(kept, cotangent):
        residuals, arguments = kept
        return tuple(right.backward(residuals, cotangent))[: len(arguments)]

    wrong.defvjp(fwd, bwd)
    return wrong


def of_tangents(rule: Rule, target: int, factor: Callable[[jax.Array], jax.Array]) -> Rule:
    """The rule as one of `jax.custom_jvp`, its target's tangent times a factor of the target."""
    right = automatic(rule)
    wrong = jax.custom_jvp(lambda *arguments: right(*arguments))

    def jvp(primals, tangents):
        places = differentiable(rule, *primals).chosen
        moved = [tangents[i] * (factor(primals[i]) if i == target else 1) for i in places]

        def of_chosen(*chosen):
            return right(*replaced(primals, places, chosen))

        return jax.jvp(of_chosen, [primals[i] for i in places], moved)

    wrong.defjvp(jvp)
    return wrong


def told_of_zeros(rule: Rule, target: int) -> Rule:
    """The rule defined with symbolic zeros, a tenth too large where the target's gradient alone is wanted."""
    right = halves(rule)

    @jax.custom_vjp
    def wrong(*arguments):
        return right.forward(*arguments)[0]

    def fwd(*arguments):
        values = tuple(argument.value for argument in arguments)
        output, residuals = right.forward(*values)
        is_alone = [argument.perturbed for argument in arguments].count(True) == 1 and arguments[target].perturbed
        return output, (residuals, values, True if is_alone else None)

    def bwd(kept, cotangent):
        residuals, arguments, is_alone = kept
        gradients = list(right.backward(residuals, cotangent))[: len(arguments)]
        if is_alone is not None:
            gradients[target] = 1.1 * gradients[target]
        return tuple(gradients)

    wrong.defvjp(fwd, bwd, symbolic_zeros=True)
    return wrong


def more_axes(arguments: Sequence[jax.Array], axes: tuple[int, ...] = (3, 2)) -> tuple[jax.Array, ...]:
    """The arguments with more batch axes in front of the first, and of those that share its leading axis."""
    return of_batch(arguments, lambda a: jnp.broadcast_to(a, (*axes, *a.shape)))


def of_batch(arguments: Sequence[jax.Array], change: Callable[[jax.Array], jax.Array]) -> tuple[jax.Array, ...]:
    """The arguments with the first floating point one changed, and those that share its leading axis."""
    lead = next(a for a in arguments if jnp.issubdtype(a.dtype, jnp.floating)).shape[:1]
    return tuple(change(a) if lead and a.shape[:1] == lead else a for a in arguments)


def takes(rule: Rule, arguments: Sequence[jax.Array]) -> bool:
    """Whether a rule takes arguments of such shapes."""
    try:
        jax.eval_shape(rule, *arguments)
    except (TypeError, ValueError):
        return False
    return True


def enlarged(rule: Rule, arguments: Sequence[jax.Array], times: int = 40) -> tuple[jax.Array, ...] | None:
    """The arguments with the first one's leading axis `times` as long, in all that share it; None if that cannot be."""

    def repeated(a):
        return jnp.concatenate([(1 + k / 64) * a if jnp.issubdtype(a.dtype, jnp.floating) else a for k in range(times)])

    larger = of_batch(arguments, repeated)
    return larger if takes(rule, larger) else None
