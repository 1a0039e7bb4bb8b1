"""K-FAC for optax: each gradient times the inverse of its layer's curvature.

    Ā ← d Ā + (1 − d) A        B̄ likewise, both over 1 − dᵗ
    update = (Ā + π √λ I)⁻¹ G (B̄ + √λ / π I)⁻¹        π² = mean of Ā's diagonal over that of B̄'s

which is (A ⊗ B + λ I)⁻¹ but for the cross terms of the damping.  The inverses cost as much as many steps where layers
are wide, and change slowly: they may be those of some steps ago.

J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML, 2015.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jbackprop.rules import check_within

from ._kronecker import Kronecker

_LEAST = 1e-30
"""Of a mean on a diagonal, where all that was seen are zeros."""


class KfacState(NamedTuple):
    """What K-FAC remembers.

    Attributes:
      count: how many updates there were.
      curvature: sums of the `Kronecker` factors so far, older ones less.
      inverses: of their damped means, when they were last computed.
    """

    count: jax.Array
    curvature: Any
    inverses: Any


def kfac(
    like: Any, damping: float | jax.Array = 1e-3, decay: float | jax.Array = 0.95, inverse_every: int | jax.Array = 1
) -> optax.GradientTransformationExtraArgs:
    """Gradients over curvature, before a learning rate: `optax.chain(kfac(like), optax.sgd(0.1))`.

    Args:
      like: a tree of `Kronecker` of the network's, or of their shapes by `jax.eval_shape`; a parameter that has none
        keeps its gradient.
      damping: λ; as the others, it may be what `optax.inject_hyperparams` makes of a schedule.
      decay: how much of the curvature of the past stays at each step.
      inverse_every: after how many steps the inverses are computed anew; so they are in each of the first as many, for
        those of one batch alone do not last.

    Returns:
      A transformation whose `update` wants `curvature`, such a tree of this step, besides; ValueError without.  The
      inverses are in its state.

    Raises:
      ValueError: the damping or inverse_every is not positive, or decay is not in [0, 1).
    """
    positive = {"damping": damping, "inverse_every": inverse_every}
    check_within("kfac", "a positive number", lambda number: number > 0, **positive)
    check_within("kfac", "a number in [0, 1)", lambda number: 0 <= number < 1, decay=decay)
    always = isinstance(inverse_every, int) and inverse_every == 1

    def init(params):
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        return KfacState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(updates, state, params=None, **others):
        if "curvature" not in others:
            raise ValueError("kfac: curvature, wanted this step's tree of Kronecker as an argument of update, got none")
        count = state.count + 1
        sums = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.curvature, others["curvature"])

        def inverted():
            means = jax.tree.map(lambda leaf: leaf / (1 - jnp.power(decay, count)), sums)
            return jax.tree.map(partial(_inverses, damping), means, is_leaf=_is_kronecker)

        due = (state.count < inverse_every) | (state.count % inverse_every == 0)
        inverses = inverted() if always else jax.lax.cond(due, inverted, lambda: state.inverses)
        return jax.tree.map(_preconditioned, updates, inverses), KfacState(count, sums, inverses)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_kronecker(node):
    return isinstance(node, Kronecker)


def _inverses(damping, curvature):
    """Of A and B, damped; of each block of a stack."""
    if curvature.b.ndim > 2:
        return jax.vmap(partial(_inverses, damping))(curvature)
    diagonal = curvature.a if curvature.a.ndim == 1 else jnp.diagonal(curvature.a)
    ratio = jnp.sqrt(jnp.maximum(diagonal.mean(), _LEAST) / jnp.maximum(jnp.diagonal(curvature.b).mean(), _LEAST))
    return Kronecker(_inverse(curvature.a, ratio * damping**0.5), _inverse(curvature.b, damping**0.5 / ratio))


def _inverse(moment, damping):
    """(moment + damping I)⁻¹."""
    if moment.ndim == 1:
        return 1 / (moment + damping)
    identity = jnp.eye(len(moment), dtype=moment.dtype)
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(moment + damping * identity), identity)


def _preconditioned(gradient, inverses):
    if not _is_kronecker(inverses):
        return gradient
    if inverses.b.ndim > 2:
        return jax.vmap(_preconditioned)(gradient, inverses)
    a, b = inverses.a, inverses.b
    matrix = gradient.reshape(len(a), len(b)).astype(b.dtype)
    half = a[:, None] * matrix if a.ndim == 1 else a @ matrix
    return (half @ b).reshape(gradient.shape).astype(gradient.dtype)
