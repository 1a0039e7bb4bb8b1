"""What is told from a jaxpr, where the answer is known."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jbackprop import rules
from jbackprop.functions import called_jaxpr, computed_in, count_rules, evaluate_jaxpr, longest_sum

X = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)


@jax.custom_vjp
def ruled(x):
    return jnp.sin(x)


ruled.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),))


def solved(x):
    """The rule stands in the solver and in its transpose; the jaxprs are a tuple with names."""
    return lax.custom_linear_solve(lambda v: 2 * v, x, lambda _, b: ruled(b), symmetric=True)


@pytest.mark.parametrize(
    ("f", "count"),
    [
        (jnp.sin, 0),
        (ruled, 1),
        (lambda x: ruled(ruled(x)), 2),
        (jax.jit(ruled), 1),
        (jax.checkpoint(ruled), 1),
        (lambda x: lax.scan(lambda c, row: (c, ruled(row)), 0, x)[1], 1),
        (lambda x: lax.cond(x.sum() > 0, ruled, lambda x: ruled(ruled(x)), x), 3),
        (solved, 2),
        (jax.grad(lambda x: ruled(x).sum()), 0),
    ],
)
def test_rules_are_counted_at_any_depth(f, count):
    assert count_rules(f, X) == count


def test_a_name_is_not_a_rule():
    @jax.jit
    def custom_vjp_call(x):
        return 2 * x

    assert "custom_vjp_call" in str(jax.make_jaxpr(custom_vjp_call)(X))
    assert count_rules(custom_vjp_call, X) == 0


def test_rules_of_both_kinds_are_told_apart():
    def f(x):
        return jax.nn.relu(rules.silu(x))

    assert (count_rules(f, X), count_rules(f, X, custom_jvp=True)) == (1, 2)


def test_rules_are_counted_from_shapes_alone():
    assert count_rules(rules.linear, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(5, 3), (3, 7)])) == 1


def test_a_jaxpr_is_evaluated_by_whatever_stands_for_its_values():
    """Names stand for the values here: the results are what is written."""

    def written(equation, names):
        return [f"{equation.primitive.name}({', '.join(names)})" for _ in equation.outvars]

    closed = jax.make_jaxpr(lambda x: (jnp.sin(x) * 2.5, x))(1.0)
    assert evaluate_jaxpr(closed, ["x"], written, str) == ["mul(sin(x), 2.5)", "x"]


def test_a_call_is_told_from_a_loop():
    def f(x):
        return jax.jit(jnp.sin)(lax.fori_loop(0, 2, lambda i, x: 2 * x, x))

    loop, call = jax.make_jaxpr(f)(1.0).eqns
    assert called_jaxpr(loop) is None
    assert [equation.primitive.name for equation in called_jaxpr(call).eqns] == ["sin"]


@pytest.mark.parametrize(
    ("f", "length"),
    [
        (lambda x: 2 * x, 1),
        (lambda x: x.sum(axis=1), 4),
        (lambda x: x @ x.T, 4),
        (jax.jit(lambda x: x.sum()), 12),
        (lambda x: lax.scan(lambda c, row: (c + row.sum(), None), 0.0, x)[0], 12),
        (lambda x: jnp.linalg.cholesky(x @ x.T), 4),
    ],
)
def test_the_longest_sum(f, length):
    assert longest_sum(f, X) == length


def test_the_coarsest_type_that_is_rounded_to():
    with jax.enable_x64(True):
        x = jnp.ones(3, jnp.float64)
        assert computed_in(jnp.sin, x) == "float64"
        assert computed_in(lambda x: jnp.sin(x.astype(jnp.float32)).astype(jnp.float64), x) == "float32"
        assert computed_in(jax.jit(lambda x, y: (x, y.astype(jnp.float32))), x, jnp.ones(2, jnp.bfloat16)) == "float64"
