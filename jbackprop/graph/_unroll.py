"""Control flow written out, for the values at hand: each step of a loop, the branch taken."""

import jax.numpy as jnp
from jax import lax
from jax.extend.core import jaxpr_as_fun


def _scan(builder, params, operands, scope):
    consts, carry, xs = _split(operands, _scan_sizes(params))
    builder.check("steps of a scan that is written out", params["length"])
    order = range(params["length"])
    rows = {}
    for i in reversed(order) if params["reverse"] else order:
        row = [_row(builder, x, i, scope) for x in xs]
        step = (*scope, f"scan step {i} #{_number(builder)}")
        results = builder.inline(params["jaxpr"], [*consts, *carry, *row], step)
        carry, rows[i] = results[: len(carry)], results[len(carry) :]
    columns = zip(*(rows[i] for i in order), strict=True)
    return carry + [_stack(builder, list(column), scope) for column in columns]


def _scan_sizes(params):
    """How many operands are constants, carried, and scanned over."""
    if "ft_in" in params:  # JAX 0.12
        return [len(group) for group in params["ft_in"].unpack()]
    consts, carry = params["num_consts"], params["num_carry"]
    return [consts, carry, len(params["jaxpr"].in_avals) - consts - carry]


def _row(builder, x, i, scope):
    return builder.call(lambda x: lax.index_in_dim(x, i, keepdims=False), [x], scope)[0]


def _stack(builder, column, scope):
    return builder.call(lambda *rows: jnp.stack(rows), column, scope)[0]


def _while(builder, params, operands, scope):
    sizes = [params["cond_nconsts"], params["body_nconsts"]]
    sizes.append(len(operands) - sum(sizes))
    condition_consts, consts, carry = _split(operands, sizes)
    step = 0
    while _evaluate(params["cond_jaxpr"], builder.values([*condition_consts, *carry]))[0]:
        builder.check("steps of a while that is written out", step + 1)
        inside = (*scope, f"while step {step} #{_number(builder)}")
        carry = builder.inline(params["body_jaxpr"], [*consts, *carry], inside)
        step += 1
    return carry


def _cond(builder, params, operands, scope):
    branches = params["branches"]
    chosen = int(jnp.clip(builder.values(operands[:1])[0], 0, len(branches) - 1))
    return builder.inline(branches[chosen], operands[1:], scope)


def _number(builder):
    builder.calls += 1
    return builder.calls


def _evaluate(closed, values):
    return jaxpr_as_fun(closed)(*values)


def _split(items, sizes):
    groups = iter(items)
    return [[next(groups) for _ in range(size)] for size in sizes]


UNROLLED = {"scan": _scan, "while": _while, "cond": _cond}
