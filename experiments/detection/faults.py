"""The family of faults: each makes a wrong rule of a right one.

A fault spoils the gradient of one argument, the target, and leaves the values and the other gradients as they are.
Where it cannot be committed (no second argument of equal shape, no axis to sum over) the rule is left out of its count.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop._halves import halves

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


def _always(rule, arguments, target):
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
    applies: Applies = _always
    large: bool = False


def spoilt(rule: Rule, target: int, spoil: Spoil) -> Rule:
    """The rule with another gradient of its target."""
    right = halves(rule, "detection: rule")

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
    right, memory = halves(rule, "detection: rule"), {}

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


_GRADIENT = ("gradient", "finite differences")


def _fault(name, spoil, applies=_always, found_by=_GRADIENT, large=False):
    return Fault(name, lambda rule, target: spoilt(rule, target, spoil), found_by, applies, large)


# ----- where it applies ---------------------------------------------------------------------------------------------


def _output(rule, arguments):
    return jax.eval_shape(rule, *arguments)


def _has_rows(rule, arguments, target):
    """The output has a leading axis of several entries."""
    out = _output(rule, arguments)
    return out.ndim > 0 and out.shape[0] > 1


def _has_matrix(rule, arguments, target):
    return arguments[target].ndim > 1 and min(arguments[target].shape[-2:]) > 1


def _leads(least):
    def applies(rule, arguments, target):
        x = arguments[target]
        return x.ndim > 0 and x.shape[0] >= least

    return applies


def _is_endomorphic(rule, arguments, target):
    return _output(rule, arguments).shape == arguments[target].shape


def _longest(x):
    return max(range(x.ndim), key=lambda axis: x.shape[axis], default=0)


def _permutable(rule, arguments, target):
    x = arguments[target]
    return x.ndim > 0 and x.shape[_longest(x)] > 2


def _several(rule, arguments, target):
    return arguments[target].size > 1 and arguments[target].ndim > 0


def _twin_of(arguments, target):
    """The position of another floating point argument of the target's shape, or None."""
    for i, other in enumerate(arguments):
        if (
            i != target
            and other.shape == arguments[target].shape
            and jnp.issubdtype(jnp.result_type(other), jnp.floating)
        ):
            return i
    return None


def _has_twin(rule, arguments, target):
    return _twin_of(arguments, target) is not None


def more_axes(arguments: Sequence[jax.Array], axes: tuple[int, ...] = (3, 2)) -> tuple[jax.Array, ...]:
    """The arguments with more batch axes in front of the first, and of those that share its leading axis."""
    lead = arguments[0].shape[:1]
    return tuple(jnp.broadcast_to(a, (*axes, *a.shape)) if lead and a.shape[:1] == lead else a for a in arguments)


def _takes_more_axes(rule, arguments, target):
    if arguments[0].ndim > 2:
        return True
    try:
        jax.eval_shape(rule, *more_axes(arguments))
    except (TypeError, ValueError):
        return False
    return True


def enlarged(rule: Rule, arguments: Sequence[jax.Array], times: int = 40) -> tuple[jax.Array, ...] | None:
    """The arguments with the first one's leading axis `times` as long, in all that share it; None if that cannot be."""
    lead = arguments[0].shape[:1]
    larger = tuple(
        jnp.concatenate([(1 + k / 64) * a if jnp.issubdtype(a.dtype, jnp.floating) else a for k in range(times)])
        if lead and a.shape[:1] == lead
        else a
        for a in arguments
    )
    try:
        jax.eval_shape(rule, *larger)
    except (TypeError, ValueError):
        return None
    return larger


# ----- how it goes wrong --------------------------------------------------------------------------------------------


def _transposed(call):
    return call.dx.swapaxes(-1, -2).reshape(call.x.shape)


def _without_last_row(call):
    return call.of(call.cotangent.at[-1].set(0))


def _diagonal(call):
    """What is left of the gradient when every output is taken to depend on its own input alone."""
    units = jnp.eye(call.x.size, dtype=call.cotangent.dtype).reshape(call.x.size, *call.x.shape)
    rows = jax.vmap(call.of)(units).reshape(call.x.size, call.x.size)
    return jnp.diag(rows).reshape(call.x.shape) * call.cotangent


def _of_the_mean(call):
    return call.of(jnp.full_like(call.cotangent, call.cotangent.mean()))


def _summed_instead(call):
    return jnp.broadcast_to(call.dx.sum(axis=0, keepdims=True), call.x.shape)


def _swapped(call):
    return jnp.asarray(call.pull(call.cotangent)[_twin_of(call.arguments, call.target)])


def _permuted_twice(call):
    """P⁻¹ y is wanted and P y computed, which is P² of what is wanted; P moves every entry on by one."""
    return jnp.roll(call.dx, 2, axis=_longest(call.x))


def _one_entry(call):
    flat = call.dx.reshape(-1)
    return flat.at[flat.size // 3].multiply(1.5).reshape(call.x.shape)


def _where(condition, wrong):
    """A gradient that is wrong(dx) at the entries of x that the condition picks."""
    return lambda call: jnp.where(condition(call.x), wrong(call.dx), call.dx)


def _tied(x):
    return x == jnp.roll(x, 1, axis=-1)


@jax.custom_jvp
def _tenth_more_if_mapped(dx):
    return _mapped_wrong(dx)


_tenth_more_if_mapped.defjvps(lambda tangent, primal, dx: tangent)


@jax.custom_batching.custom_vmap
def _mapped_wrong(dx):
    return dx


@_mapped_wrong.def_vmap
def _mapped_wrong_rule(axis_size, in_batched, dx):
    return 1.1 * dx, in_batched[0]


def _by_the_first_axis(call):
    first = call.arguments[0]
    return call.dx / first.shape[0] if first.ndim > 2 else call.dx


def _jittered(call):
    noise = jax.pure_callback(
        lambda: np.float32(1e-4 * np.random.default_rng().uniform(-1, 1)),
        jax.ShapeDtypeStruct((), jnp.float32),
        vmap_method="sequential",
    )
    return call.dx * (1 + noise.astype(call.dx.dtype))


_RANDOM, _SPECIAL = ("random inputs",), ("special inputs",)
_COTANGENT = (*_GRADIENT, "linearity")

FAULTS = (
    _fault("scaled by 1.001", lambda call: 1.001 * call.dx),
    _fault("sign", lambda call: -call.dx),
    _fault("transposed", _transposed, _has_matrix),
    _fault("term dropped: the last row's", _without_last_row, _has_rows),
    _fault("term dropped: all but the diagonal", _diagonal, _is_endomorphic),
    _fault("missing", lambda call: jnp.zeros_like(call.dx)),
    _fault("swapped with another", _swapped, _has_twin),
    _fault("cotangent ignored: its mean", _of_the_mean),
    _fault("cotangent taken as one", lambda call: call.of(jnp.ones_like(call.cotangent)), found_by=_COTANGENT),
    _fault("batch mean forgotten", lambda call: call.dx * call.cotangent.shape[0], _has_rows),
    _fault("batch mean taken twice", lambda call: call.dx / call.cotangent.shape[0], _has_rows),
    _fault("wrong axis summed", _summed_instead, _leads(2)),
    _fault("one wrong entry of many", _one_entry, found_by=("gradient",), large=True),
    _fault("wrong for 2 < x < 2.05", _where(lambda x: (x > 2) & (x < 2.05), lambda dx: 1.5 * dx), found_by=_RANDOM),
    _fault("wrong for x > 3", _where(lambda x: x > 3, lambda dx: 1.1 * dx), found_by=_RANDOM),
    _fault("order reversed", lambda call: call.dx[::-1], _leads(2)),
    _fault("permutation for its inverse", _permuted_twice, _permutable),
    Fault("stale residual", stale, ("residuals",), lambda rule, arguments, target: target == 0),
    _fault("wrong dtype", lambda call: call.dx.astype(jnp.float32), found_by=("structure",)),
    _fault("wrong at ties", _where(_tied, jnp.zeros_like), _several, found_by=_SPECIAL),
    _fault("wrong at zero: 0", _where(lambda x: x == 0, jnp.zeros_like), found_by=_SPECIAL),
    _fault("wrong at zero: NaN", _where(lambda x: x == 0, lambda dx: jnp.nan * dx), found_by=_SPECIAL),
    _fault(
        "NaN for |x| > 50",
        _where(lambda x: jnp.abs(x) > 50, lambda dx: jnp.nan * dx),
        found_by=(*_RANDOM, *_SPECIAL),
    ),
    _fault("wrong only under vmap", lambda call: _tenth_more_if_mapped(call.dx), found_by=("vmap",)),
    _fault("wrong under a second batch axis", _by_the_first_axis, _takes_more_axes, ("batches",)),
    _fault(
        "wrong only in half precision",
        lambda call: 1.1 * call.dx if call.dx.dtype.itemsize == 2 else call.dx,
        found_by=("gradient",),
    ),
    _fault("not deterministic", _jittered, found_by=("determinism",)),
)
"""The table's lines."""
