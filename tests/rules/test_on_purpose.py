"""Rules whose gradient is not the derivative: that it is what they promise, and whatever else a rule owes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules
from jbackprop.cases import ON_PURPOSE
from jbackprop.functions import described

CHECKS = ("structure", "determinism", "jit", "vmap", "scan", "checkpoint", "residuals")

each_case = pytest.mark.parametrize("case", ON_PURPOSE, ids=lambda case: case.name)


@each_case
def test_checks_that_hold(case):
    checks = (*CHECKS, "linearity") if case.linear else CHECKS
    jb.check(case.rule, *case.draw(jax.random.key(0)), wrt=[0], only=checks)


@each_case
def test_value(case):
    jb.check(case.rule, *case.draw(jax.random.key(0)), wrt=[0], reference=case.reference, only=["primal"])


@each_case
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_is_the_one_promised(case, dtype):
    x, *rest = case.draw(jax.random.key(0), dtype)
    dy = 2 * jax.random.normal(jax.random.key(1), x.shape).astype(dtype)
    (dx,) = jax.vjp(lambda x: case.rule(x, *rest), x)[1](dy)
    wanted = case.pulled(dy.astype("float32"), x, *rest).astype("float32")
    np.testing.assert_allclose(dx.astype("float32"), wanted, rtol=4 * float(jnp.finfo(dtype).eps), atol=0)


@each_case
def test_keeps_what_the_case_says(case):
    report = jb.check(case.rule, *case.draw(jax.random.key(0)), wrt=[0], only=())
    assert tuple(map(described, report.residuals)) == case.kept


def test_options_get_no_gradient():
    for rule in (rules.reverse_gradient, rules.scale_gradient, rules.clip_gradient, rules.clip_gradient_norm):
        assert jax.grad(lambda scale, rule=rule: rule(jnp.ones(3), scale).sum())(0.5) == 0


def test_norm_of_a_zero_gradient():
    dx = jax.vjp(lambda x: rules.clip_gradient_norm(x, 0.0), jnp.ones(3))[1](jnp.zeros(3))[0]
    assert dx.tolist() == [0, 0, 0]


def test_bad_input():
    with pytest.raises(ValueError, match=r"straight_through: quantise, wanted a result of shape \(3,\), got \(\)"):
        rules.straight_through(jnp.ones(3), jnp.sum)
    for rule in (rules.straight_through, rules.stop_gradient):
        with pytest.raises(TypeError, match=f"{rule.__name__}: x, wanted a floating point array"):
            rule(jnp.arange(3))
    for rule in (rules.reverse_gradient, rules.scale_gradient, rules.clip_gradient, rules.clip_gradient_norm):
        with pytest.raises(TypeError, match=f"{rule.__name__}: x, wanted a floating point array"):
            rule(jnp.arange(3), 0.5)
