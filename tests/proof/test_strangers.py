"""Rules as strangers write them: with nothing to compare with, another gradient by design, or known weaknesses."""

import re
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

import jbackprop as jb
from tests.proof.ruled import ruled

X = jax.random.normal(jax.random.key(0), (4, 3))
POSITIVE = jnp.abs(X) + 0.5
FAST = ("float64", "float32")


def _newton(a):
    """√a by a loop, of which JAX has no reverse mode."""
    start = (0, jnp.maximum(a, 1))
    return jax.lax.while_loop(lambda s: s[0] < 60, lambda s: (s[0] + 1, 0.5 * (s[1] + a / s[1])), start)[1]


def _root(derivative):
    def fwd(a):
        y = _newton(a)
        return y, y

    return ruled(_newton, fwd, lambda y, u: (u * derivative(y),))


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

    right = ruled(sine, lambda x: (sine(x), x), lambda x, u: (u * jnp.cos(x),))
    assert jb.check(right, X, dtypes=FAST, skip=["sharding"]).passed


def _straight_through(x):
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _rounded(slope):
    return ruled(lambda x: jnp.round(x), lambda x: (jnp.round(x), x), lambda x, u: (slope(x) * u,))


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

    rule = ruled(_kept_logarithm, fwd, lambda kept, u: (u[..., None] * jnp.exp(kept[0] - kept[1][..., None]),))
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
        return ruled(_cross_entropy, lambda x, y: (_cross_entropy(x, y), (x, y)), _cross_entropy_bwd(spoil))

    jb.check(rule(jnp.ones_like), X, labels, only=checks)
    with pytest.raises(jb.GradientError, match=r"wanted .* \(∞ at logits\[0, 0\]\)"):
        jb.check(rule(lambda x: jnp.where(jnp.isinf(x).any(), jnp.nan, 1)), X, labels, only=checks)


def test_half_precision_is_not_asked_of_a_function_that_has_none():
    def spectrum(x):
        return jnp.abs(jnp.fft.rfft(square(x)))

    square = ruled(jnp.square, lambda x: (x * x, x), lambda x, u: (2 * x * u,))
    report = jb.check(spectrum, X[0], only=["structure", "gradient"])
    assert report.passed and "note: the function takes no bfloat16 and no float16" in str(report)
    with pytest.raises(jb.GradientError, match="structure: call: got ValueError: RFFT"):
        jb.check(spectrum, X[0], only=["structure", "gradient"], dtypes=["bfloat16"])


def test_a_rule_may_refuse_more_batch_axes():
    def dense(w, b, x):
        return x @ w + b

    rule = ruled(dense, lambda w, b, x: (dense(w, b, x), (w, x)), lambda r, u: (r[1].T @ u, u.sum(0), u @ r[0].T))
    report = jb.check(rule, X.T, jnp.ones(4), X[:2], only=["batches"])
    assert report.passed and "refuses two more batch axes" in report.results[0].skipped


def test_a_backward_half_may_not_refuse_alone():
    """x and the output begin with the batch: a sum over its first axis alone is wrong where there are more."""

    def dense(x, w, b):
        return x @ w + b

    rule = ruled(dense, lambda x, w, b: (dense(x, w, b), (x, w)), lambda r, u: (u @ r[1].T, r[0].T @ u, u.sum(0)))
    with pytest.raises(jb.GradientError, match=r"batches: call, .* wanted a gradient: the value has one \(two more"):
        jb.check(rule, X[:2], X.T, jnp.ones(4), only=["batches"])


def test_a_forward_half_may_call_the_rule_itself():
    def fwd(x):
        y = tanh(x)
        return y, y

    tanh = ruled(jnp.tanh, fwd, lambda y, u: (u * (1 - y * y),))
    report = jb.check(tanh, X, only=["gradient", "second order"])
    assert report.passed and "forward over reverse" in report.results[1].skipped


def test_a_function_without_rules_is_told():
    assert "there is nothing hand-written to prove" in str(jb.check(jnp.sin, X, only=["jit"]))
    assert "nothing hand-written" not in str(jb.check(jb.rules.tanh, X, only=["jit"]))


def test_a_function_without_a_gradient_is_refused():
    with pytest.raises(ValueError, match=r"f, wanted a function with a floating-point output, got int32\[\]"):
        jb.check(jnp.argmax, X)


def test_numbers_are_told_with_the_digits_that_differ():
    rule = ruled(jnp.square, lambda x: (x * x, x), lambda x, u: ((2 + 1e-12) * x * u,))
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


@pytest.mark.parametrize("seed", range(6))
def test_what_conditioning_explains_is_no_fault(seed):
    price = ruled(_price, lambda *market: (_price(*market), market), _greeks)
    market = map(
        jnp.array, ([100.0, 90.0, 80.0], [95.0, 100.0, 85.0], [0.5, 1.0, 2.0], [0.03, 0.02, 0.01], [0.2, 0.3, 0.25])
    )
    assert jb.check(price, *market, seed=seed, dtypes=FAST).passed


def _log_with_slope(slope):
    return ruled(jnp.log, lambda x: (jnp.log(x), x), lambda x, u: (u * slope(x),))


def test_a_function_of_positive_numbers_is_tried_on_what_its_domain_makes():
    """Outside of it the slope is wrong, and nobody sees."""
    from_half_on = _log_with_slope(lambda x: jnp.where(x < 0.5, 2, 1) / x)
    options = {"reference": jnp.log, "dtypes": FAST}
    assert jb.check(from_half_on, X, domain=lambda x: jnp.exp(x) + 0.5, **options).passed
    with pytest.raises(jb.GradientError):
        jb.check(from_half_on, X, **options)
    with pytest.raises(jb.GradientError, match="random inputs: gradient of x"):
        jb.check(_log_with_slope(lambda x: jnp.where(x > 9, 1.01, 1) / x), X, domain=jnp.exp, **options)


def test_a_domain_of_several_arguments():
    """A Rayleigh quotient of a symmetric matrix, whose gradient takes it for one."""

    def quotient(a, x):
        return x @ a @ x / (x @ x)

    def fwd(a, x):
        return quotient(a, x), (a, x)

    def bwd(kept, u):
        (a, x), size = kept, kept[1] @ kept[1]
        return u * jnp.outer(x, x) / size, 2 * u * (a @ x - quotient(a, x) * x) / size

    rule, given = ruled(quotient, fwd, bwd), (jax.random.normal(jax.random.key(2), (3, 3)), X[0])
    checks = ["gradient", "finite differences", "random inputs"]
    jb.check(rule, *given, domain=lambda a, x: (a + a.T, x), dtypes=FAST, only=checks)
    with pytest.raises(jb.GradientError, match="gradient of x"):
        jb.check(rule, *given, dtypes=FAST, only=checks)


def _coarse_root(a):
    """√a by a loop that ends where it changes little."""

    def step(s):
        return s[1], 0.5 * (s[1] + a / s[1])

    def far(s):
        return jnp.abs(s[1] - s[0]).max() > 1e-2 * jnp.abs(s[1]).max()

    return jax.lax.while_loop(far, step, step((a, jnp.maximum(a, 1))))[1]


def test_the_tolerance_of_a_solver_is_an_argument():
    def rule(share):
        return ruled(_coarse_root, lambda a: (_coarse_root(a),) * 2, lambda y, u: (share * u / (2 * y),))

    options = {"reference": jnp.sqrt, "dtypes": FAST, "only": ["reference", "gradient", "finite differences"]}
    assert jb.check(rule(1), POSITIVE, tolerance=1e-3, **options).passed
    with pytest.raises(jb.GradientError, match="gradient: gradient of a"):
        jb.check(rule(1), POSITIVE, **options)
    with pytest.raises(jb.GradientError, match="gradient: gradient of a"):
        jb.check(rule(1.01), POSITIVE, tolerance=1e-3, **options)


def test_a_backward_half_in_float32_is_right_where_float64_is_not_asked_for():
    rule = ruled(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, u: ((u * jnp.cos(x.astype("float32"))).astype(x.dtype),))
    assert jb.check(rule, X, dtypes=["float32", "bfloat16"]).passed
    with pytest.raises(jb.GradientError, match="gradient of x"):
        jb.check(rule, X)


def test_a_callback_that_takes_no_half_precision_is_not_asked_for_it():
    def host(x):
        if x.dtype.itemsize < 4:
            raise TypeError("no half precision")
        return np.sin(x)

    def sine(x):
        return jax.pure_callback(host, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")

    rule = ruled(sine, lambda x: (sine(x), x), lambda x, u: (u * jnp.cos(x),))
    report = jb.check(rule, X, only=["structure", "primal"])
    assert report.passed and "the function takes no bfloat16 and no float16" in str(report)


def test_a_check_that_does_not_end_has_a_limit():
    stop = []

    def slow(x):
        while not stop:
            time.sleep(0.01)
        return x

    def endless(x):
        y = jax.pure_callback(slow, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")
        return jnp.where(x > 0, x, y)

    rule = ruled(lambda x: x, lambda x: (x, x), lambda x, u: (u * endless(x),))
    report = jb.check(rule, X, only=["gradient"], dtypes=FAST, time_limit=1, raises=False)
    stop.append(True)
    (goes_on,) = (thread for thread in threading.enumerate() if thread.name == "check: gradient")
    goes_on.join()
    assert "no result in 1 s" in str(report)
    with pytest.raises(ValueError, match="time_limit, wanted a number that is not negative, got nan"):
        jb.check(rule, X, time_limit=float("nan"))
