"""Faults that hide from comparison with automatic differentiation at one cotangent: each is found, its twin passes."""

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb

X = jax.random.normal(jax.random.key(0), (4, 3))


def _ruled(f, fwd, bwd, **options):
    rule = jax.custom_vjp(f)
    rule.defvjp(fwd, bwd, **options)
    return rule


def _sine(of_cotangent):
    return _ruled(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, u: (of_cotangent(u) * jnp.cos(x),))


@pytest.mark.parametrize(
    "of_cotangent",
    [lambda u: jnp.clip(u, -10, 10), lambda u: jnp.where(jnp.abs(u) < 1e-3, 0, u)],
    ids=["clipped", "dropped"],
)
def test_a_cotangent_that_is_clipped_or_dropped(of_cotangent):
    jb.check(_sine(lambda u: u), X, only=["linearity"])
    with pytest.raises(jb.GradientError, match=r"linearity: gradient of x.* \(pulled back"):
        jb.check(_sine(of_cotangent), X)


def _log_sigmoid(slope):
    f = jax.custom_jvp(lambda x: -jnp.log1p(jnp.exp(-x)))
    f.defjvp(lambda x, dx: (f(*x), slope(*x) * dx[0]))
    return f


@pytest.mark.parametrize("start", [3, -30], ids=["from 3 on", "down to -30"])
def test_a_wrong_custom_jvp(start):
    """Automatic differentiation takes it for the truth."""

    def wrong(x):
        return jax.nn.sigmoid(-x) * jnp.where(x > 3 if start == 3 else x < start, 1.1, 1)

    assert jb.check(_log_sigmoid(lambda x: jax.nn.sigmoid(-x)), X, only=["random inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"random inputs: gradient\[.*finite difference along a random"):
        jb.check(_log_sigmoid(wrong), X)


def _norm(x):
    return jnp.sqrt(jnp.sum(x * x, axis=-1))


def _norm_by_cases(x):
    square = jnp.sum(x * x, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _norm_with(at_zero):
    def bwd(x, u):
        y = _norm(x)[..., None]
        return (jnp.where(y == 0, at_zero, u[..., None] * x / jnp.where(y == 0, 1, y)),)

    return _ruled(_norm, lambda x: (_norm(x), x), bwd)


def test_where_automatic_differentiation_is_nan_the_reference_judges():
    checks = ["special inputs"]
    assert jb.check(_norm_with(0), X, reference=_norm_by_cases, only=checks).passed
    assert jb.check(_norm_with(5), X, only=checks).passed  # nobody can tell
    for wrong in (5, jnp.nan):
        with pytest.raises(jb.GradientError, match="special inputs: gradient of x"):
            jb.check(_norm_with(wrong), X, reference=_norm_by_cases, only=checks)


def _product(alone):
    """Its backward half is told by None whose gradient nobody wants."""

    def fwd(a, b):
        return a.value * b.value, (a.value if b.perturbed else None, b.value if a.perturbed else None)

    def bwd(kept, u):
        a, b = kept
        share = alone if a is None or b is None else 1
        return tuple(jnp.zeros_like(u) if other is None else share * u * other for other in (b, a))

    return _ruled(jnp.multiply, fwd, bwd, symbolic_zeros=True)


def _both(unused):
    """Its backward half is told by a symbolic zero which output nobody uses."""

    def bwd(x, u):
        is_unused = [isinstance(each, jax.custom_derivatives.SymbolicZero) for each in u]
        of_sine, of_cosine = (0 if zero else each for each, zero in zip(u, is_unused, strict=True))
        return ((of_sine * jnp.cos(x) - of_cosine * jnp.sin(x)) * (unused if any(is_unused) else 1),)

    def both(x):
        return jnp.sin(x), jnp.cos(x)

    return _ruled(both, lambda x: (both(x.value), x.value), bwd, symbolic_zeros=True)


@pytest.mark.parametrize(
    ("rule", "arguments", "note"),
    [(_product, (X, X + 1), r"\(args\[0\] alone differentiated"), (_both, (X,), "output 0 alone in use")],
)
def test_a_rule_that_is_told_of_zeros(rule, arguments, note):
    assert jb.check(rule(1), *arguments, only=["each output"]).passed
    with pytest.raises(jb.GradientError, match=rf"each output: .*{note}"):
        jb.check(rule(1.1), *arguments, only=["each output"])
