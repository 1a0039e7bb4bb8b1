"""Implicit rules: memory that does not grow with the iterations, no convergence, a singular system, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules


def _half_way(params, z):
    """Goes half of the way to params, so n steps from 0 leave 2⁻ⁿ of it."""
    return (z + params) / 2


def _growing(params, z):
    return 2 * z + params


def test_memory_does_not_grow_with_the_iterations():
    def temporary(most):
        def total(params):
            return rules.fixed_point(_half_way, params, jnp.zeros(1000), max_iterations=most).sum()

        analysis = jax.jit(jax.grad(total)).lower(jnp.ones(1000)).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(10) == temporary(10_000)


def test_stops_where_the_tolerance_says():
    params, z0 = jnp.array([1.0]), jnp.array([0.0])
    z = rules.fixed_point(_half_way, params, z0, tolerance=0.3)
    np.testing.assert_array_equal(z, [0.75])  # it changed by 1/4 last, and by 1/2 before
    gradient = jax.grad(lambda p: rules.fixed_point(_half_way, p, z0, tolerance=1e-3).sum())(params)
    np.testing.assert_allclose(gradient, 1, atol=2e-3)


def test_no_convergence_is_nan():
    params, z0 = jnp.array([1.0, 2.0]), jnp.zeros(2)
    assert jnp.isnan(rules.fixed_point(_growing, params, z0)).all()
    assert jnp.isnan(rules.fixed_point(_half_way, params, z0, max_iterations=3)).all()
    z, pull = jax.vjp(lambda p: rules.fixed_point(_half_way, p, params, max_iterations=1), params)
    np.testing.assert_array_equal(z, params)  # where the iteration begins is the solution, but backward it takes more
    assert jnp.isnan(pull(jnp.ones(2))[0]).all()


def test_start_has_no_gradient_and_params_may_hold_integers():
    def scaled(params, z):
        factor, count = params
        return factor * z / count + 1

    params = jnp.array([0.5]), jnp.array(2)
    z, pull = jax.vjp(lambda factor, z0: rules.fixed_point(scaled, (factor, params[1]), z0), params[0], jnp.ones(1))
    np.testing.assert_allclose(z, 4 / 3, rtol=1e-6)
    dfactor, dz0 = pull(jnp.ones(1))
    np.testing.assert_allclose(dfactor, 8 / 9, rtol=1e-5)
    assert not dz0.any()


def test_singular_system_is_not_finite_and_its_neighbour_is():
    a = jnp.stack([jnp.zeros((2, 2)), jnp.eye(2)])
    x = rules.linear_solve(a, jnp.ones((2, 2)))
    assert jnp.isfinite(x).all(axis=-1).tolist() == [False, True]


def test_large_system_agrees_with_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 200)), rng.normal(size=(200, 3))
    x, pull = jax.vjp(rules.linear_solve, jnp.float32(a), jnp.float32(b))
    _, db = pull(x)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), atol=1e-3)
    np.testing.assert_allclose(db, np.linalg.solve(a.T, x), atol=1e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda a: rules.linear_solve(a[0], a[0]),
            ValueError,
            r"linear_solve: a, wanted square matrices, got .*\(3,\)",
        ),
        (lambda a: rules.linear_solve(a[:2], a[0]), ValueError, r"linear_solve: a, wanted square matrices"),
        (lambda a: rules.linear_solve(a, a[0, :2]), ValueError, r"linear_solve: b, wanted shape \(3,\)"),
        (lambda a: rules.linear_solve(a, a[None]), ValueError, r"linear_solve: b, wanted shape \(3,\)"),
        (lambda a: rules.linear_solve(a, a.astype(int)), TypeError, "linear_solve: b, wanted a floating point array"),
        (lambda a: rules.fixed_point(_half_way, a, a[0]), ValueError, r"fixed_point: f, wanted a result like z0"),
        (lambda a: rules.fixed_point(_half_way, a, a.astype(int)), TypeError, "fixed_point: z0, wanted a floating"),
        (lambda a: rules.fixed_point(_half_way, a, a, tolerance=-1.0), ValueError, "fixed_point: tolerance, wanted"),
        (lambda a: rules.fixed_point(_half_way, a, a, None, 0), ValueError, "fixed_point: max_iterations, wanted"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(jnp.ones((3, 3)))
