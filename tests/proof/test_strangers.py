"""Rules as strangers write them: with nothing to compare with, another gradient by design, or known weaknesses."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

import jbackprop as jb

X = jax.random.normal(jax.random.key(0), (4, 3))
POSITIVE = jnp.abs(X) + 0.5
FAST = ("float64", "float32")


def _ruled(f, fwd, bwd):
    rule = jax.custom_vjp(f)
    rule.defvjp(fwd, bwd)
    return rule


def _newton(a):
    """√a by a loop, of which JAX has no reverse mode."""
    start = (0, jnp.maximum(a, 1))
    return jax.lax.while_loop(lambda s: s[0] < 60, lambda s: (s[0] + 1, 0.5 * (s[1] + a / s[1])), start)[1]


def _root(derivative):
    def fwd(a):
        y = _newton(a)
        return y, y

    return _ruled(_newton, fwd, lambda y, u: (u * derivative(y),))


def _wrong_from_3_on(y):
    return jnp.where(y > 3, 1.01, 1) / (2 * y)


def _skipped(report):
    return {result.check for result in report.results if result.skipped}


def test_a_loop_without_reverse_mode_is_judged_by_finite_differences():
    report = jb.check(_root(lambda y: 1 / (2 * y)), POSITIVE, dtypes=FAST)
    assert {"random inputs", "second order"} <= _skipped(report)
    assert not {"gradient", "finite differences", "vmap"} & _skipped(report)
    assert "no automatic gradient (ValueError: Reverse-mode" in str(report)
    with pytest.raises(jb.GradientError, match="finite differences: gradient of a"):
        jb.check(_root(lambda y: 1 / (2.002 * y)), POSITIVE, dtypes=FAST)


def test_a_reference_stands_in_for_the_automatic_gradient():
    report = jb.check(_root(lambda y: 1 / (2 * y)), POSITIVE, reference=jnp.sqrt, dtypes=FAST)
    assert not {"random inputs", "special inputs", "batches"} & _skipped(report)
    with pytest.raises(jb.GradientError, match="random inputs"):
        jb.check(_root(_wrong_from_3_on), POSITIVE, reference=jnp.sqrt, dtypes=FAST)


def test_a_callback_is_judged_by_finite_differences():
    def sine(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")

    right = _ruled(sine, lambda x: (sine(x), x), lambda x, u: (u * jnp.cos(x),))
    assert jb.check(right, X, dtypes=FAST, skip=["sharding"]).passed


def _straight_through(x):
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _rounded(slope):
    return _ruled(lambda x: jnp.round(x), lambda x: (jnp.round(x), x), lambda x, u: (slope(x) * u,))


def test_a_gradient_that_is_another_by_design_is_held_against_that():
    right = _rounded(jnp.ones_like)
    report = jb.check(right, X, gradient_of=_straight_through, dtypes=FAST)
    assert report.passed and "finite differences" in _skipped(report)
    with pytest.raises(jb.GradientError, match="gradient: "):
        jb.check(right, X, dtypes=FAST)
    with pytest.raises(jb.GradientError, match="random inputs: "):
        wrong = _rounded(lambda x: jnp.where(x > 2.5, 2, 1))
        jb.check(wrong, X, gradient_of=_straight_through, dtypes=FAST)
    with pytest.raises(ValueError, match=r"gradient_of, wanted .* float32\[4,3\], got float32\[\]"):
        jb.check(right, X, gradient_of=lambda x: x.sum())


def _kept_logarithm(x):
    return logsumexp(x, axis=-1)


def test_a_softmax_recomputed_from_its_logarithm_passes():
    """As in flash attention; exp(x − lse) loses as many digits as x has before the point."""

    def fwd(x):
        y = _kept_logarithm(x)
        return y, (x, y)

    rule = _ruled(_kept_logarithm, fwd, lambda kept, u: (u[..., None] * jnp.exp(kept[0] - kept[1][..., None]),))
    jb.check(rule, jax.random.normal(jax.random.key(1), (8, 16)), dtypes=FAST)


def _cross_entropy(logits, labels):
    return logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]


def _cross_entropy_bwd(spoil):
    def bwd(kept, u):
        logits, labels = kept
        dlogits = jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        return spoil(logits) * dlogits * u[..., None], None

    return bwd


def test_an_infinite_logit_spoils_its_own_row_alone():
    labels, checks = jnp.array([0, 2, 1, 2]), ["non-finite inputs"]

    def rule(spoil):
        return _ruled(_cross_entropy, lambda x, y: (_cross_entropy(x, y), (x, y)), _cross_entropy_bwd(spoil))

    jb.check(rule(jnp.ones_like), X, labels, only=checks)
    with pytest.raises(jb.GradientError, match=r"wanted .* \(∞ at logits\[0, 0\]\)"):
        jb.check(rule(lambda x: jnp.where(jnp.isinf(x).any(), jnp.nan, 1)), X, labels, only=checks)


def test_half_precision_is_not_asked_of_a_function_that_has_none():
    def spectrum(x):
        return jnp.abs(jnp.fft.rfft(square(x)))

    square = _ruled(jnp.square, lambda x: (x * x, x), lambda x, u: (2 * x * u,))
    report = jb.check(spectrum, X[0], only=["structure", "gradient"])
    assert report.passed and "note: the function takes no bfloat16 and no float16" in str(report)
    with pytest.raises(jb.GradientError, match="structure: call: got ValueError: RFFT"):
        jb.check(spectrum, X[0], only=["structure", "gradient"], dtypes=["bfloat16"])


def test_a_rule_may_refuse_more_batch_axes():
    def dense(w, b, x):
        return x @ w + b

    rule = _ruled(dense, lambda w, b, x: (dense(w, b, x), (w, x)), lambda r, u: (r[1].T @ u, u.sum(0), u @ r[0].T))
    report = jb.check(rule, X.T, jnp.ones(4), X[:2], only=["batches"])
    assert report.passed and "refuses two more batch axes" in report.results[0].skipped


def test_a_backward_half_may_not_refuse_alone():
    """x and the output begin with the batch: a sum over its first axis alone is wrong where there are more."""

    def dense(x, w, b):
        return x @ w + b

    rule = _ruled(dense, lambda x, w, b: (dense(x, w, b), (x, w)), lambda r, u: (u @ r[1].T, r[0].T @ u, u.sum(0)))
    with pytest.raises(jb.GradientError, match=r"batches: call, .* wanted a gradient: the value has one \(two more"):
        jb.check(rule, X[:2], X.T, jnp.ones(4), only=["batches"])


def test_a_forward_half_may_call_the_rule_itself():
    def fwd(x):
        y = tanh(x)
        return y, y

    tanh = _ruled(jnp.tanh, fwd, lambda y, u: (u * (1 - y * y),))
    report = jb.check(tanh, X, only=["gradient", "second order"])
    assert report.passed and "forward over reverse" in report.results[1].skipped


def test_a_function_without_rules_is_told():
    assert "there is nothing hand-written to prove" in str(jb.check(jnp.sin, X, only=["jit"]))
    assert "nothing hand-written" not in str(jb.check(jb.rules.tanh, X, only=["jit"]))


def test_a_function_without_a_gradient_is_refused():
    with pytest.raises(ValueError, match=r"f, wanted a function with a floating-point output, got int32\[\]"):
        jb.check(jnp.argmax, X)


def test_numbers_are_told_with_the_digits_that_differ():
    rule = _ruled(jnp.square, lambda x: (x * x, x), lambda x, u: ((2 + 1e-12) * x * u,))
    with pytest.raises(jb.GradientError) as caught:
        jb.check(rule, X, only=["gradient"])
    match = re.search(r"got (\S+), wanted (\S+),", str(caught.value))
    assert match and match[1] != match[2] and float(match[1]) == pytest.approx(float(match[2]), rel=1e-11)


def _price(s, k, t, r, v):
    q = v * jnp.sqrt(t)
    d = (jnp.log(s / k) + r * t) / q + q / 2
    return s * norm.cdf(d) - k * jnp.exp(-r * t) * norm.cdf(d - q)


def _greeks(kept, u):
    s, k, t, r, v = kept
    q = v * jnp.sqrt(t)
    d = (jnp.log(s / k) + r * t) / q + q / 2
    density, due = s * norm.pdf(d), jnp.exp(-r * t) * norm.cdf(d - q)
    theta = density * v / (2 * jnp.sqrt(t)) + r * k * due
    return u * norm.cdf(d), -u * due, u * theta, u * t * k * due, u * density * jnp.sqrt(t)


@pytest.mark.parametrize("seed", range(3))
def test_what_conditioning_explains_is_no_fault(seed):
    price = _ruled(_price, lambda *market: (_price(*market), market), _greeks)
    market = map(
        jnp.array, ([100.0, 90.0, 80.0], [95.0, 100.0, 85.0], [0.5, 1.0, 2.0], [0.03, 0.02, 0.01], [0.2, 0.3, 0.25])
    )
    assert jb.check(price, *market, seed=seed, dtypes=FAST).passed
