"""Gradients of a function of arrays as another function of arrays.

outputs, uᵀJ = pull(leaves, cotangents)        J = ∂outputs/∂leaves, one cotangent u for each output
"""

from collections.abc import Callable, Sequence

import jax

from jbackprop.functions import Arrays, is_real, replaced

Flat = Callable[..., Arrays]
Pull = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]


def pull_back(function: Flat, wrt: Sequence[int]) -> Pull:
    """(leaves, cotangents) -> the floating point outputs, and one gradient for each leaf in wrt."""

    def pull(leaves, cotangents):
        outputs, vjp = jax.vjp(real_outputs(function, leaves, wrt), *[leaves[i] for i in wrt])
        return outputs, vjp(tuple(u.astype(out.dtype) for u, out in zip(cotangents, outputs, strict=True)))

    return pull


def real_outputs(function: Flat, leaves: Arrays, wrt: Sequence[int]) -> Flat:
    """The floating point outputs as a function of the leaves in wrt, the others held."""

    def of(*chosen):
        return tuple(out for out in function(*replaced(leaves, wrt, chosen)) if is_real(out))

    return of
