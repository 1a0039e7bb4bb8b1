"""Faults that hide from comparison with automatic differentiation at one cotangent: each is found, its twin passes."""

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from tests.proof.ruled import ruled

X = jax.random.normal(jax.random.key(0), (4, 3))


def _sine(of_cotangent):
    return ruled(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, u: (of_cotangent(u) * jnp.cos(x),))


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

    return ruled(_norm, lambda x: (_norm(x), x), bwd)


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

    return ruled(jnp.multiply, fwd, bwd, symbolic_zeros=True)


def _both(unused):
    """Its backward half is told by a symbolic zero which output nobody uses."""

    def bwd(x, u):
        is_unused = [isinstance(each, jax.custom_derivatives.SymbolicZero) for each in u]
        of_sine, of_cosine = (0 if zero else each for each, zero in zip(u, is_unused, strict=True))
        return ((of_sine * jnp.cos(x) - of_cosine * jnp.sin(x)) * (unused if any(is_unused) else 1),)

    def both(x):
        return jnp.sin(x), jnp.cos(x)

    return ruled(both, lambda x: (both(x.value), x.value), bwd, symbolic_zeros=True)


@pytest.mark.parametrize(
    ("rule", "arguments", "note"),
    [(_product, (X, X + 1), r"\(args\[0\] alone differentiated"), (_both, (X,), "output 0 alone in use")],
)
def test_a_rule_that_is_told_of_zeros(rule, arguments, note):
    assert jb.check(rule(1), *arguments, only=["each output"]).passed
    with pytest.raises(jb.GradientError, match=rf"each output: .*{note}"):
        jb.check(rule(1.1), *arguments, only=["each output"])


def test_a_custom_jvp_that_is_wrong_at_zero_alone():
    def wrong(x):
        return jnp.where(x == 0, 0, jax.nn.sigmoid(-x))

    assert jb.check(_log_sigmoid(lambda x: jax.nn.sigmoid(-x)), X, only=["special inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"special inputs: gradient of x.*: got 0, wanted .*finite difference"):
        jb.check(_log_sigmoid(wrong), X)


def test_a_custom_jvp_is_between_the_slopes_of_a_kink():
    def bent(at_zero):
        f = jax.custom_jvp(lambda x: jnp.where(x > 0, x, 0.3 * x))
        f.defjvp(lambda x, dx: (f(*x), jnp.where(x[0] == 0, at_zero, jnp.where(x[0] > 0, 1, 0.3)) * dx[0]))
        return f

    for choice in (0.3, 0.5, 1):
        assert jb.check(bent(choice), X, only=["special inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"special inputs: gradient of x.*: got 0, wanted 0.*finite difference"):
        jb.check(bent(0), X, only=["special inputs"])


def test_a_custom_jvp_of_a_maximum_shares_it_between_ties():
    """Any of them may have nothing, as any moves the maximum in one direction alone; together they have all of it."""

    def maximum(share):
        f = jax.custom_jvp(lambda x: x.max(axis=-1))

        def jvp(primals, tangents):
            y = f(*primals)
            ties = (primals[0] == y[..., None]).astype(y.dtype)
            return y, (share(ties) * tangents[0]).sum(axis=-1)

        f.defjvp(jvp)
        return f

    def equally(ties):
        return ties / ties.sum(axis=-1, keepdims=True)

    def to_the_first(ties):
        return ties * (jnp.cumsum(ties, axis=-1) == 1)

    def to_none(ties):
        return ties * (ties.sum(axis=-1, keepdims=True) == 1)

    for choice in (equally, to_the_first):
        assert jb.check(maximum(choice), X, only=["special inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"special inputs: .*got 0, wanted .*along the sum of \d+ axes"):
        jb.check(maximum(to_none), X, only=["special inputs"])


def test_a_custom_jvp_whose_value_is_finite_for_some_arguments_alone():
    """Of no target that is negative, as half of them are in the draws in which logarithms are positive."""

    def divergence(factor):
        f = jax.custom_jvp(lambda t, p: (t * (jnp.log(t) - p)).sum(axis=-1))

        def jvp(primals, tangents):
            (t, p), (dt, dp) = primals, tangents
            return f(t, p), (dt * (jnp.log(t) + 1 - p) - factor(p) * t * dp).sum(axis=-1)

        f.defjvp(jvp)
        return f

    arguments = jnp.abs(X) + 0.1, -jnp.abs(X)
    assert jb.check(divergence(jnp.ones_like), *arguments, only=["random inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"random inputs: .*finite difference along a random direction"):
        jb.check(divergence(lambda p: jnp.where(p > 3, 1.1, 1)), *arguments, only=["random inputs"])


def _careful_log_sigmoid(slope):
    """Finite everywhere, also where automatic differentiation of it is not."""
    f = jax.custom_jvp(lambda x: jnp.where(x < -50, x, -jnp.log1p(jnp.exp(-x))))
    f.defjvp(lambda x, dx: (f(*x), slope(*x) * dx[0]))
    return f


@pytest.mark.parametrize("f", [_careful_log_sigmoid, lambda slope: _of_logaddexp(slope)], ids=["alone", "behind"])
def test_a_custom_jvp_that_overflows(f):
    assert jb.check(f(lambda x: jax.nn.sigmoid(-x)), X, only=["large inputs"]).passed
    with pytest.raises(jb.GradientError, match=r"large inputs: gradient of x.*: got nan, wanted .*finite difference"):
        jb.check(f(lambda x: jnp.exp(-x) / (1 + jnp.exp(-x))), X)


def _of_logaddexp(slope):
    f = jax.custom_jvp(lambda x: -jnp.logaddexp(0, -x))
    f.defjvp(lambda x, dx: (f(*x), slope(*x) * dx[0]))
    return lambda x: 3 * f(x)


def test_what_is_nan_or_has_a_kink_beside_a_custom_jvp_is_no_fault_of_it():
    """The gradient of the root is 0/0 wherever it is not taken; that of relu at 0 is a choice."""

    def root(x):
        y = jax.nn.relu(x)
        return jnp.where(y > 0, jnp.sqrt(y), 0)

    for right in (root, jax.nn.relu, jnp.sinc, lambda x: x / jnp.sqrt(jax.nn.relu(x) ** 2 + 1e-12)):
        assert jb.check(right, X, only=["special inputs", "large inputs"]).passed


def test_a_function_that_jax_differentiates_by_its_rules_alone():
    arguments = jnp.abs(X) + 1.1, jnp.abs(X) + 1
    assert jb.check(jax.scipy.special.zeta, *arguments, only=["special inputs"], dtypes=["float32", "float64"]).passed


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_rule_that_is_wrong_at_one_number_of_one_dtype(dtype):
    def spoilt(x):
        return jnp.where((x == 12) & (x.dtype == dtype), 1.5, 1)

    def squared(spoilt):
        return ruled(lambda x: x * x, lambda x: (x * x, x), lambda x, u: (spoilt(x) * 2 * x * u,))

    assert jb.check(squared(jnp.ones_like), X, only=["random inputs"]).passed
    with pytest.raises(jb.GradientError, match=rf"random inputs: gradient of x.*, {dtype}: .*whole numbers and halves"):
        jb.check(squared(spoilt), X, only=["random inputs"])


def _scaled(x, s):
    return s**2 * x


def _gated(w, x):
    return jnp.tanh(x @ w)


def _logarithm_of_all(x):
    return jax.nn.logsumexp(x)


def _dropped(x):
    return jnp.where(jax.random.bernoulli(jax.random.key(3), 0.6, x.shape), x**2, 0)


@pytest.mark.parametrize(
    ("f", "arguments"),
    [
        (_scaled, (X, jnp.float32(0.7))),
        (_logarithm_of_all, (X.repeat(9, axis=0),)),
        (_dropped, (X,)),
        (_gated, (jax.random.normal(jax.random.key(9), (X.shape[-1], 2)), X)),
    ],
    ids=["an argument of one number", "of many numbers one output", "random numbers", "gates that it shuts"],
)
def test_a_number_that_is_hard_to_meet(f, arguments):
    def rule(factor):
        def pull(arguments, u):
            *others, last = jax.vjp(f, *arguments)[1](u)
            return *others, last * factor(arguments[-1]).astype(last.dtype)

        return ruled(f, lambda *arguments: (f(*arguments), arguments), pull)

    def wrong(x):
        return jnp.where((x == 12) & (x.dtype == jnp.float16), 2, 1)

    options = {"only": ["random inputs"], "dtypes": ["float64", "float16"]}
    assert jb.check(rule(jnp.ones_like), *arguments, **options).passed
    with pytest.raises(jb.GradientError, match=r"random inputs: gradient of .*, float16: .*whole numbers and halves"):
        jb.check(rule(wrong), *arguments, **options)


def test_a_small_gradient_that_is_wrong_at_one_number():
    def squared(at_twelve):
        def pull(x, u):
            return (jnp.where(x == 12, at_twelve, 1) * 2e-12 * x * u,)

        return ruled(lambda x: 1e-12 * x * x, lambda x: (1e-12 * x * x, x), pull)

    options = {"only": ["random inputs"], "dtypes": ["float64"]}
    assert jb.check(squared(1), X, **options).passed
    with pytest.raises(jb.GradientError, match=r"random inputs: gradient of x.*, float64: .*whole numbers and halves"):
        jb.check(squared(1.5), X, **options)


def test_how_many_programs_the_sweep_over_numbers_takes(programs):
    """Those of the other dtypes are what the gradient's check has compiled."""
    counts, both = [], ["gradient", "random inputs"]
    for only in (both, ["gradient"], both):  # the first compiles what any function shares
        jb.check(_sine(lambda u: u), X, only=only)
        counts.append(programs())
    assert counts[2] - counts[1] <= counts[1] - counts[0] + 4
