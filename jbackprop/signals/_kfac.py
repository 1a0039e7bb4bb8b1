"""K-FAC for optax: each gradient times the inverse of its layer's curvature.

    Ā ← d Ā + (1 − d) A        B̄ likewise, both over 1 − dᵗ
    update = (Ā + π √λ I)⁻¹ G (B̄ + √λ / π I)⁻¹        π² = mean of Ā's diagonal over that of B̄'s

which is (A ⊗ B + λ I)⁻¹ but for the cross terms of the damping.

J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML, 2015.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ._kronecker import Kronecker

_LEAST = 1e-30
"""Of a mean on a diagonal, where all that was seen are zeros."""


class KfacState(NamedTuple):
    """What K-FAC remembers.

    Attributes:
      count: how many updates there were.
      curvature: sums of the `Kronecker` factors so far, older ones less.
    """

    count: jax.Array
    curvature: Any


def kfac(like: Any, damping: float = 1e-3, decay: float = 0.95) -> optax.GradientTransformationExtraArgs:
    """Gradients over curvature, before a learning rate: `optax.chain(kfac(like), optax.sgd(0.1))`.

    Args:
      like: a tree of `Kronecker` of the network's, or of their shapes by `jax.eval_shape`; a parameter that has none
        keeps its gradient.
      damping: λ.
      decay: how much of the curvature of the past stays at each step.

    Returns:
      A transformation whose `update` wants `curvature`, such a tree of this step, besides; ValueError without.

    Raises:
      ValueError: the damping is not positive, or decay is not in [0, 1).
    """
    if not damping > 0:
        raise ValueError(f"kfac: damping, wanted a positive number, got {damping}")
    if not 0 <= decay < 1:
        raise ValueError(f"kfac: decay, wanted a number in [0, 1), got {decay}")

    def init(params):
        return KfacState(jnp.zeros((), jnp.int32), jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like))

    def update(updates, state, params=None, **others):
        if "curvature" not in others:
            raise ValueError("kfac: curvature, wanted this step's tree of Kronecker as an argument of update, got none")
        count = state.count + 1
        sums = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.curvature, others["curvature"])
        means = jax.tree.map(lambda leaf: leaf / (1 - jnp.power(decay, count)), sums)
        moved = jax.tree.map(lambda gradient, of: _preconditioned(gradient, of, damping), updates, means)
        return moved, KfacState(count, sums)

    return optax.GradientTransformationExtraArgs(init, update)


def _preconditioned(gradient, curvature, damping):
    if not isinstance(curvature, Kronecker):
        return gradient
    if curvature.b.ndim > 2:  # blocks of a stack
        return jax.vmap(lambda gradient, block: _preconditioned(gradient, block, damping))(gradient, curvature)
    matrix = gradient.reshape(curvature.a.shape[0], curvature.b.shape[0]).astype(curvature.b.dtype)
    diagonal = curvature.a if curvature.a.ndim == 1 else jnp.diagonal(curvature.a)
    ratio = jnp.sqrt(jnp.maximum(diagonal.mean(), _LEAST) / jnp.maximum(jnp.diagonal(curvature.b).mean(), _LEAST))
    half = _solved(curvature.a, matrix, ratio * damping**0.5)
    return _solved(curvature.b, half.T, damping**0.5 / ratio).T.reshape(gradient.shape).astype(gradient.dtype)


def _solved(moment, matrix, damping):
    """(moment + damping I)⁻¹ matrix."""
    if moment.ndim == 1:
        return matrix / (moment + damping)[:, None]
    factor = jax.scipy.linalg.cho_factor(moment + damping * jnp.eye(len(moment), dtype=moment.dtype))
    return jax.scipy.linalg.cho_solve(factor, matrix)
