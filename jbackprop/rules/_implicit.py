"""The solution of an equation, differentiated through the equation and not through what solved it.

linear_solve    x with A x = b.  Of A x = b along any change: Ȧ x + A ẋ = ḃ, so ẋ = A⁻¹ (ḃ − Ȧ x), and

    Aᵀ λ = dx                 λ = A⁻ᵀ dx        the adjoint equation, by the same factors
    ∂C/∂b = λ                 db = λ
    ∂C/∂A_ij = −λ_i x_j       dA = −λ xᵀ        summed over the columns of x where there are several

fixed_point     z with z = f(θ, z).  Along any change: ż = ∂f/∂θ θ̇ + ∂f/∂z ż, so ż = (I − ∂f/∂z)⁻¹ ∂f/∂θ θ̇, and

    u = dz + (∂f/∂z)ᵀ u       a fixed point itself, and a contraction where f is one
    ∂C/∂θ = (∂f/∂θ)ᵀ u        dθ = (∂f/∂θ)ᵀ u
    ∂C/∂z₀                    0: where the iteration begins, the solution does not depend on

Kept: A's LU factors and x; θ and z.  That does not grow with the iterations, as what autodiff keeps of them does.  f is
the user's, and its two transposed products are those of `jax.vjp`.  So that the rule can be differentiated in its turn,
`lax.custom_root` tells what the forward iteration solves, and `lax.custom_linear_solve` the backward one.

B. Christianson, "Reverse accumulation and attractive fixed points", Optimization Methods and Software 3, 1994.
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", in Advances
in Automatic Differentiation, Springer, 2008 (the linear system).  S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium
models", NeurIPS, 2019.
"""

import inspect
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ._arrays import check_floating, cotangent, given, wide_dtype, without_entries
from ._compiled import compiled_once
from ._meshes import laid_like, varied_like, whole_on_one
from ._options import Scalar, check_not_negative, of_numbers


@jax.custom_vjp
def linear_solve(
    a: Float[Array, "*batch n n"], b: Float[Array, "*batch n"] | Float[Array, "*batch n columns"]
) -> Float[Array, "*batch n"] | Float[Array, "*batch n columns"]:
    """x with A x = b, by LU factorisation.

    Args:
      a: square matrices.
      b: one right-hand side for each matrix, or with one more axis, several side by side.

    Returns:
      x in b's shape; half precision is solved in float32.  Of a singular matrix it is not finite.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the shapes do not belong together.
    """
    return _linear_solve_fwd(a, b)[0]


def _linear_solve_fwd(a, b):
    _check_system(a, b)
    lu, _, permutation = lax.linalg.lu(a.astype(wide_dtype(a, b)))
    x = _solved(lu, permutation, _columns(b, lu))
    dtype = jnp.result_type(a, b)
    return x.reshape(b.shape).astype(dtype), (lu, permutation, x, without_entries(a), without_entries(b))


def _linear_solve_bwd(residuals, dx):
    lu, permutation, x, like_a, like_b = residuals
    adjoint = _solved_transposed(lu, permutation, _columns(dx, lu))
    # i and j count rows and columns of A, k the right-hand sides
    da = -jnp.einsum("...ik,...jk->...ij", adjoint, x)
    return cotangent(like_a, da), cotangent(like_b, adjoint.reshape(dx.shape))


linear_solve.defvjp(_linear_solve_fwd, _linear_solve_bwd)


def _columns(b, lu):
    """Right-hand sides as the columns of a matrix."""
    return (b if b.ndim == lu.ndim else b[..., None]).astype(lu.dtype)


def _solved(lu, permutation, b):
    """P A = L U, so x = U⁻¹ L⁻¹ P b."""
    b = jnp.take_along_axis(b, permutation[..., None], axis=-2)
    y = lax.linalg.triangular_solve(lu, b, left_side=True, lower=True, unit_diagonal=True)
    return lax.linalg.triangular_solve(lu, y, left_side=True)


def _solved_transposed(lu, permutation, b):
    """Aᵀ = Uᵀ Lᵀ P, so λ = P⁻¹ L⁻ᵀ U⁻ᵀ b."""
    y = lax.linalg.triangular_solve(lu, b, left_side=True, transpose_a=True)
    y = lax.linalg.triangular_solve(lu, y, left_side=True, lower=True, unit_diagonal=True, transpose_a=True)
    return jnp.take_along_axis(y, jnp.argsort(permutation)[..., None], axis=-2)


def _check_system(a, b):
    check_floating("linear_solve", a=a, b=b)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"linear_solve: a, wanted square matrices, got shape {a.shape}")
    if a.shape[:-1] not in (b.shape, b.shape[:-1]):
        raise ValueError(
            f"linear_solve: b, wanted shape {a.shape[:-1]} or that and the right-hand sides, got {b.shape}"
        )


@partial(of_numbers, nondiff_argnames=("f", "tolerance", "max_iterations"))
def fixed_point(
    f: Callable[[Any, Any], Any], params: Any, z0: Any, tolerance: Scalar | None = None, max_iterations: int = 1000
) -> Any:
    """z with z = f(params, z), by iteration from z0.

    Args:
      f: (params, z) -> z, a contraction in z near the solution.  It is static: hand in a function that is defined once
        (not a new one for each call, for which everything is compiled again), and what it is to be differentiated by
        through params.
      params: a tree of arrays.
      z0: a tree of floating point arrays, of the shapes and dtypes of f's result.
      tolerance: the iteration has converged when it changes z by no more than this share of z's largest entry (of 1, if
        that is larger); 8 roundings of z's dtype unless given.  For the backward iteration the same holds.  Its
        gradient is 0.
      max_iterations: at most so many times f is taken.

    Returns:
      z, all NaN if the iteration has not converged.  If only the backward iteration has not, the gradients are NaN.

    Raises:
      TypeError: z0 is not floating point.
      ValueError: f(params, z0) is not a tree of z0's shapes and dtypes, or an option is out of its range.
    """
    return _fixed_point_fwd(f, params, z0, tolerance, max_iterations)[0]


def _fixed_point_fwd(f, params, z0, tolerance, max_iterations):
    _check_iteration(f, params, z0, tolerance, max_iterations)
    alone, start = whole_on_one(params, z0)
    z = _if_it_hashes(f, _solution)(f, alone, varied_like(start, alone), tolerance, max_iterations)
    z = jax.tree.map(laid_like, z, z0)
    return z, (params, z)


def _fixed_point_bwd(f, tolerance, max_iterations, residuals, dz):
    (dparams,) = _if_it_hashes(f, _gradient)(f, *whole_on_one(*residuals, dz), tolerance, max_iterations)
    return jax.tree.map(laid_like, dparams, residuals[0]), None


fixed_point.defvjp(_fixed_point_fwd, _fixed_point_bwd)
fixed_point.defnumbers(tolerance=None)


def _if_it_hashes(f, compiled):
    """What is compiled once for each f, if it can be known again."""
    return compiled if isinstance(f, Hashable) else inspect.unwrap(compiled)


@compiled_once(static_argnames="f")
def _solution(f, params, z0, tolerance, max_iterations):
    options = {"tolerance": tolerance, "max_iterations": max_iterations}

    def solve(_, start):
        return _iterated(lambda z: f(params, z), start, floor=1.0, **options)

    return lax.custom_root(
        lambda z: _minus(z, f(params, z)), z0, solve, lambda matvec, b: _linear_fixed_point(matvec, b, **options)
    )


@compiled_once(static_argnames="f")
def _gradient(f, params, z, dz, tolerance, max_iterations):
    _, pull_z = jax.vjp(lambda z: f(params, z), z)
    _, pull_params = jax.vjp(lambda params: f(params, z), params)
    u = _linear_fixed_point(lambda u: _minus(u, *pull_z(u)), dz, tolerance, max_iterations)
    return pull_params(u)


def _linear_fixed_point(matvec, b, tolerance, max_iterations):
    """u with u − J u = b, of which matvec is the left side, by u ← b + J u."""

    def solve(matvec, b):
        step = partial(_linear_step, matvec, b)
        return _iterated(step, b, floor=0.0, tolerance=tolerance, max_iterations=max_iterations)

    return lax.custom_linear_solve(matvec, b, solve, transpose_solve=solve)


def _linear_step(matvec, b, u):
    return jax.tree.map(lambda b, u, left: b + (u - left), b, u, matvec(u))


def _iterated(step, start, floor, tolerance, max_iterations):
    """step(… step(start)) until that changes little; NaN if it does not come to that."""
    if tolerance is None:
        tolerance = 8 * max((float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(start)), default=0.0)

    def more(state):
        _, converged, count = state
        return ~converged & (count < max_iterations)

    def once(state):
        z, _, count = state
        after = step(z)
        return after, _largest(_minus(after, z)) <= tolerance * jnp.maximum(_largest(after), floor), count + 1

    z, converged, _ = lax.while_loop(more, once, (start, varied_like(jnp.array(False), start), 0))
    return jax.tree.map(lambda leaf: jnp.where(converged, leaf, jnp.nan), z)


def _minus(a, b):
    return jax.tree.map(jnp.subtract, a, b)


def _largest(tree):
    """The largest absolute value; NaN if there is a NaN, and if there is an infinite one."""
    largest = jnp.array(0.0)
    for leaf in jax.tree.leaves(tree):
        largest = jnp.maximum(largest, jnp.abs(leaf).max(initial=0))
    return jnp.where(jnp.isinf(largest), jnp.nan, largest)


def _check_iteration(f, params, z0, tolerance, max_iterations):
    for path, leaf in jax.tree_util.tree_leaves_with_path(z0):
        check_floating("fixed_point", **{f"z0{jax.tree_util.keystr(path)}": leaf})
    wanted, got = (jax.tree.map(_kind, jax.eval_shape(of, params, z0)) for of in (lambda _, z: z, f))
    if wanted != got:
        raise ValueError(f"fixed_point: f, wanted a result like z0, {wanted}, got {got}")
    check_not_negative("fixed_point", **given(tolerance=tolerance))
    if max_iterations < 1:
        raise ValueError(f"fixed_point: max_iterations, wanted a positive number, got {max_iterations}")


def _kind(leaf):
    return f"{leaf.dtype}{list(leaf.shape)}"
