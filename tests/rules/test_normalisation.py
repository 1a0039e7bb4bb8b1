"""What the table of cases leaves out of the normalisations: bad input, empty batches, half precision, a scale of 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules

X, SCALE, OFFSET = (
    jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate([(5, 3, 6), (6,), (6,)])
)
RULES = {
    "layer_norm": rules.layer_norm,
    "rms_norm": rules.rms_norm,
    "group_norm": lambda *arguments, **options: rules.group_norm(*arguments, groups=3, spatial=1, **options),
    "instance_norm": lambda *arguments, **options: rules.instance_norm(*arguments, spatial=1, **options),
    "batch_norm": lambda *arguments, **options: rules.batch_norm(*arguments, **options)[0],
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def _gradients(rule, keep):
    cotangent = jax.random.normal(jax.random.key(7), X.shape)
    return jax.jit(jax.vjp(lambda *a: rule(*a, keep=keep), X, SCALE, OFFSET)[1])(cotangent)


@each_rule
def test_gradients_are_the_same_whatever_is_kept(rule):
    wanted = _gradients(rule, "input")
    for keep in ("normalised", "output"):
        for g, w in zip(_gradients(rule, keep), wanted, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("keep", ["normalised", "output"])
def test_statistics_of_the_batch_have_a_gradient_whatever_is_kept(keep):
    jb.check(lambda *a: rules.batch_norm(*a, keep=keep), X, SCALE, OFFSET, only=["gradient"], dtypes=["float32"])


@each_rule
def test_scale_of_zero_loses_the_normalised_values(rule):
    scale = SCALE.at[2].set(0)
    with pytest.raises(ValueError, match="scale, wanted no 0 where the output is kept"):
        rule(X, scale, keep="output")
    gradient = jax.jit(jax.grad(lambda scale: rule(X, scale, keep="output").sum()))(scale)
    assert np.array_equal(np.isnan(gradient), scale == 0)


@each_rule
def test_half_precision_has_the_statistics_of_single_precision(rule):
    x = (100 + X).astype(jnp.bfloat16)  # in bfloat16 alone the mean of squares would leave nothing of the variance
    y = rule(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, rule(x.astype(jnp.float32)), rtol=2**-8)


@each_rule
def test_nothing_in_nothing_out(rule):
    empty = jnp.zeros((0, 3, 6))
    y, pull = jax.vjp(rule, empty, SCALE, OFFSET)
    dx, dscale, doffset = pull(y)
    assert y.shape == dx.shape == empty.shape
    assert not dscale.any() and not doffset.any()


@each_rule
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((jnp.ones((5, 3, 6), int),), {}, TypeError, "x, wanted a floating point array, got int32"),
        ((jnp.ones(()),), {}, ValueError, "x, wanted at least"),
        ((X, SCALE[:5]), {}, ValueError, r"scale, wanted shape \(6,\) \(channels of x\), got \(5,\)"),
        ((X, SCALE, OFFSET[:1]), {}, ValueError, r"offset, wanted shape \(6,\) \(channels of x\), got \(1,\)"),
        ((X,), {"eps": -1.0}, ValueError, "eps, wanted a number that is not negative, got -1.0"),
        ((X,), {"keep": "y"}, ValueError, "keep, wanted one of input, normalised, output, got 'y'"),
    ],
)
def test_bad_input_is_named(rule, arguments, options, error, message):
    with pytest.raises(error, match=message):
        rule(*arguments, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rules.group_norm(X, groups=4), "groups, wanted a divisor of 6"),
        (lambda: rules.group_norm(X, groups=3, spatial=-1), "spatial, wanted a number of axes, got -1"),
        (lambda: rules.instance_norm(X, spatial=3), "x, wanted at least 4 axes, got"),
        (lambda: rules.batch_norm(SCALE), "x, wanted at least 2 axes"),
        (lambda: rules.batch_norm_evaluation(X, SCALE[:3], OFFSET), "mean, wanted shape"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
