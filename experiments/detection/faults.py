"""The family of faults, each a way to make a wrong rule of a right one.

A fault spoils the gradient of one argument, the target, and leaves the values and the other gradients as they are.
Where it cannot be committed (no second argument of equal shape, no axis to sum over) the rule is left out of its count.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .mutants import Fault, always, more_axes, of_tangents, spoilt, stale, takes, told_of_zeros

_GRADIENT = ("gradient", "finite differences")


def _fault(name, spoil, applies=always, found_by=_GRADIENT, large=False):
    return Fault(name, lambda rule, target: spoilt(rule, target, spoil), found_by, applies, large)


def _tangent_fault(name, factor, found_by):
    return Fault(name, lambda rule, target: of_tangents(rule, target, factor), found_by)


# ----- where it applies ---------------------------------------------------------------------------------------------


def _output(rule, arguments):
    return jax.eval_shape(rule, *arguments)


def _several_arguments(rule, arguments, target):
    return sum(jnp.issubdtype(a.dtype, jnp.floating) for a in arguments) > 1


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


def _takes_more_axes(rule, arguments, target):
    return arguments[0].ndim > 2 or takes(rule, more_axes(arguments))


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


def _clipped(call):
    return call.of(jnp.clip(call.cotangent, -10, 10))


def _without_the_small(call):
    return call.of(jnp.where(jnp.abs(call.cotangent) < 1e-3, 0, call.cotangent))


def _sign_of_the_small(call):
    """Two faults: small gradients have the other sign, and the first entry's is doubled."""
    flat = jnp.where(jnp.abs(call.x) < 0.5, -call.dx, call.dx).reshape(-1)
    return flat.at[:1].multiply(2).reshape(call.x.shape)


def _both_too_large_and_too_small(call):
    """Two faults that cancel in a sum over everything."""
    flat = call.dx.reshape(-1)
    return flat.at[0].add(0.01 * flat[-1]).at[-1].add(-0.01 * flat[-1]).reshape(call.x.shape)


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
        found_by=(*_RANDOM, "large inputs"),
    ),
    _fault("wrong only under vmap", lambda call: _tenth_more_if_mapped(call.dx), found_by=("vmap",)),
    _fault("wrong under a second batch axis", _by_the_first_axis, _takes_more_axes, ("batches",)),
    _fault(
        "wrong only in half precision",
        lambda call: 1.1 * call.dx if call.dx.dtype.itemsize == 2 else call.dx,
        found_by=("gradient",),
    ),
    _fault("cotangent clipped to ±10", _clipped, found_by=("linearity",)),
    _fault("cotangent below 0.001 dropped", _without_the_small, found_by=("linearity",)),
    _fault("two: sign for |x| < 0.5, first entry doubled", _sign_of_the_small),
    _fault("two that cancel in a sum", _both_too_large_and_too_small, _several),
    _fault(
        "wrong at 12 in float16",
        lambda call: jnp.where((call.x == 12) & (call.x.dtype == jnp.float16), 2, 1).astype(call.dx.dtype) * call.dx,
        found_by=_RANDOM,
    ),
    Fault("symbolic zeros: alone, 1.1", told_of_zeros, ("each output",), _several_arguments),
    _tangent_fault("custom_jvp: scaled by 1.01", lambda x: jnp.full_like(x, 1.01), ("finite differences",)),
    _tangent_fault("custom_jvp: wrong for x > 3", lambda x: jnp.where(x > 3, 1.1, 1).astype(x.dtype), _RANDOM),
    _tangent_fault("custom_jvp: 0 at zero", lambda x: (x != 0).astype(x.dtype), _SPECIAL),
    _fault("not deterministic", _jittered, found_by=("determinism",)),
)
"""The table's lines."""
