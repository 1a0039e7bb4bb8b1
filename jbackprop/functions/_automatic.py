"""A function with every hand-written backward pass removed, so that JAX differentiates what its forward pass does.

The function is traced to a jaxpr.  Each `custom_vjp_call` in it is replaced by its primal, each other equation is bound
again as it was; an equation that holds jaxprs of its own (jit, scan, while, cond, remat, shard_map and so on) gets
rewritten ones where, and only where, there is a rule inside.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from ._jaxprs import (
    CUSTOM_JVP,
    CUSTOM_VJP,
    called_jaxpr,
    evaluate_jaxpr,
    holds,
    inner_jaxprs,
    is_jaxpr,
    opened_jaxpr,
)


def automatic(f: Callable, *, custom_jvp: bool = False) -> Callable:
    """The function f without its `jax.custom_vjp` rules: the same values, differentiated automatically.

    Goes through `jit`, `vmap`, `scan`, `while_loop`, `cond`, `checkpoint`, `shard_map` and any nesting of them, for any
    function of JAX.  As under `jit`, f is traced: its Python control flow cannot depend on its arrays.  Arguments that
    are not arrays, such as options, stay as they are.  Two things keep their rules: the tangent rule of a
    `jax.custom_jvp` that stays, and a function that its caller keeps out of the jaxpr (`jax.lax.custom_root` does on
    recent JAX).

    Args:
      f: a function of trees of arrays.
      custom_jvp: remove `jax.custom_jvp` rules too.  They stay by default: `jax.nn.relu` without its rule has another
        derivative at 0.

    Returns:
      A function of the same arguments, with forward mode too, which a `jax.custom_vjp` forbids.

    Example:
      >>> import jax
      >>> from jbackprop import automatic, rules
      >>> jax.grad(automatic(rules.silu))(0.5) == jax.grad(rules.silu)(0.5)
      Array(True, dtype=bool)
    """
    removed = {CUSTOM_VJP, CUSTOM_JVP} if custom_jvp else {CUSTOM_VJP}

    @functools.wraps(f)
    def plain(*args, **kwargs):
        leaves, tree = jax.tree.flatten((args, kwargs))
        is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]

        def of_arrays(*arrays):
            rest = iter(arrays)
            args, kwargs = tree.unflatten(
                [next(rest) if array else leaf for array, leaf in zip(is_array, leaves, strict=True)]
            )
            return f(*args, **kwargs)

        arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
        jaxpr, shapes = jax.make_jaxpr(of_arrays, return_shape=True)(*arrays)
        return jax.tree.unflatten(jax.tree.structure(shapes), _evaluate(jaxpr, removed, arrays))

    return plain


def _evaluate(jaxpr, removed, arguments):
    """The outputs of a jaxpr without the rules of the removed primitives."""
    return evaluate_jaxpr(jaxpr, arguments, functools.partial(_apply, removed))


def _apply(removed, equation, inputs):
    primitive, params = equation.primitive, equation.params
    with equation.ctx.manager:
        if primitive.name in removed:
            return _evaluate(called_jaxpr(equation), removed, inputs)
        if any(holds(jaxpr, removed) for jaxpr in inner_jaxprs(equation)):
            if primitive.name in _REAPPLIED:
                return _REAPPLIED[primitive.name](params, removed)(*inputs)
            params = {name: _rewritten(value, removed) for name, value in params.items()}
        outputs = primitive.bind(*inputs, **primitive.get_bind_params(params))
        return outputs if primitive.multiple_results else [outputs]


def _again_checkpoint(params, removed):
    """`jax.checkpoint` applied anew: its jaxpr has no place for constants."""
    body = functools.partial(_evaluate_flat, params["jaxpr"], removed)
    return jax.checkpoint(body, prevent_cse=params["prevent_cse"], policy=params["policy"])


def _again_shard_map(params, removed):
    """`jax.shard_map` applied anew: its jaxpr can only be traced where the mesh axes have names."""
    kept = {name: params[name] for name in ("mesh", "in_specs", "out_specs", "check_vma")}
    body = functools.partial(_evaluate_flat, params["jaxpr"], removed)
    return jax.shard_map(body, axis_names=params["newly_manual_axes"], **kept)


_REAPPLIED = {"remat2": _again_checkpoint, "shard_map": _again_shard_map}


def _evaluate_flat(jaxpr, removed, *inputs):
    return tuple(_evaluate(jaxpr, removed, inputs))


def _rewritten(value, removed):
    """A parameter of an equation, with each jaxpr in it (a tuple may hold several) traced again without its rules."""
    if isinstance(value, tuple) and any(map(is_jaxpr, value)):
        return jax.tree.map(lambda item: _rewritten(item, removed), value, is_leaf=is_jaxpr)  # named tuples too
    if not (is_jaxpr(value) and holds(value, removed)):
        return value
    arguments = [_like(atom.aval) for atom in opened_jaxpr(value)[0].invars]
    return jax.make_jaxpr(functools.partial(_evaluate_flat, value, removed))(*arguments)


def _like(aval):
    return jax.ShapeDtypeStruct(
        aval.shape,
        aval.dtype,
        weak_type=aval.weak_type,
        sharding=aval.sharding,
        manual_axis_type=aval.manual_axis_type,  # inside shard_map, the mesh axes along which it varies
    )
