"""By what a gradient is judged where the automatic one is coarse, NaN, missing, or none of the values'."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl
from jax.lax import stop_gradient

import jbackprop as jb
from tests.proof.ruled import ruled

X = jax.random.normal(jax.random.key(0), (4, 3))
FAST = ("float64", "float32")


def _narrow_silu(x):
    return jax.nn.silu(x), x.astype(jnp.bfloat16)


def _narrow_silu_bwd(x, u):
    return ((u * jax.grad(lambda x: jax.nn.silu(x).sum())(x)).astype(u.dtype),)


def _logged_tanh(x):
    y = jnp.tanh(x)
    return y, stop_gradient((y * y).mean()).astype(jnp.bfloat16)


def _logged(factor):
    def bwd(x, u):
        return (factor * u[0] * (1 - jnp.tanh(x) ** 2),)

    return ruled(_logged_tanh, lambda x: (_logged_tanh(x), x), bwd)


def test_a_rounding_that_no_gradient_depends_on_excuses_none():
    """A residual in bfloat16, computed where the value is too, and a figure for the log."""
    narrow = ruled(lambda x: _narrow_silu(x)[0], _narrow_silu, _narrow_silu_bwd)
    with pytest.raises(jb.GradientError, match="gradient of x"):
        jb.check(narrow, X, only=["gradient"])
    assert jb.check(_logged(1), X, only=["gradient"], dtypes=FAST).passed
    with pytest.raises(jb.GradientError, match=r"gradient of x.*\n.*1\.05 times"):
        jb.check(_logged(1.05), X, only=["gradient"])


def test_what_the_automatic_gradient_is_computed_in_is_told():
    in_half = ruled(
        lambda x: jnp.sin(x.astype("bfloat16")).astype(x.dtype),
        lambda x: (jnp.sin(x.astype("bfloat16")).astype(x.dtype), x),
        lambda x, u: ((u.astype("bfloat16") * jnp.cos(x.astype("bfloat16"))).astype(x.dtype),),
    )
    notes = jb.check(in_half, X, only=["gradient"], dtypes=FAST).notes
    assert "its automatic gradient is computed in bfloat16: judged no finer" in notes


def _energy(x):
    apart = x[:, None] - x
    return jnp.exp(-jnp.sqrt((apart * apart).sum(-1))).sum()


def _pair_energy(factor):
    """Of distances, which automatic differentiation has NaN for between a point and itself."""

    def bwd(x, u):
        apart = x[:, None] - x
        square = (apart * apart).sum(-1)
        size = jnp.sqrt(jnp.where(square > 0, square, 1))
        pulled = jnp.where(square > 0, -jnp.exp(-size) / size, 0)
        return (factor(x.dtype) * u * (pulled[..., None] * apart).sum(1),)

    return ruled(_energy, lambda x: (_energy(x), x), bwd)


@pytest.mark.parametrize("quick", [False, True])
def test_differences_judge_where_the_automatic_gradient_is_nan(quick):
    checks = None if quick else ("gradient", "finite differences")
    report = jb.check(_pair_energy(lambda dtype: 2), X, quick=quick, only=checks, dtypes=FAST)
    assert "no automatic gradient (it is NaN at these arguments)" in report.notes
    for wrong in (lambda dtype: 5, lambda dtype: 2 if dtype == jnp.float64 else 5):
        with pytest.raises(jb.GradientError, match="gradient of x") as raised:
            jb.check(_pair_energy(wrong), X, quick=quick, only=checks, dtypes=FAST)
        assert "agrees with the rule" not in str(raised.value)


def test_the_quick_tier_takes_differences_where_nothing_else_judges():
    def root(a):
        return jax.lax.while_loop(lambda s: s[1] < 60, lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1), (1 + a, 0))[0]

    right, wrong = (ruled(root, lambda a: (root(a),) * 2, lambda y, u, n=n: (u / (n * y),)) for n in (2, 7))
    jb.assert_gradients(right, X, domain=jnp.exp, quick=True)
    with pytest.raises(jb.GradientError, match="finite differences: gradient of a"):
        jb.assert_gradients(wrong, X, domain=jnp.exp, quick=True)


def _sum_of_squares(x):
    return jax.lax.scan(lambda total, row: (total + row * row * jnp.ones(3), None), jnp.zeros_like(x[0]), x)[0]


def test_the_automatic_gradient_is_found_in_whatever_order_it_is_asked_for():
    """What is made of no dtype in particular is of float32 beside such arguments, of float64 beside those."""
    rule = ruled(_sum_of_squares, lambda x: (_sum_of_squares(x), x), lambda x, u: (2 * x * u,))
    report = jb.check(rule, X, only=["primal", "linearity"], dtypes=["float64", "float32"])
    assert report.notes == ()


def test_of_nan_nothing_is_proved():
    determinant = ruled(
        lambda a: jnp.log(jnp.diagonal(jnp.linalg.cholesky(a))).sum(),
        lambda a: (jnp.log(jnp.diagonal(jnp.linalg.cholesky(a))).sum(), a),
        lambda a, u: (-3 * u * jnp.linalg.inv(a),),
    )
    with pytest.raises(jb.GradientError, match=r"(?s)primal: output, float64: got NaN alone.*domain"):
        jb.check(determinant, jax.random.normal(jax.random.key(1), (5, 5)), quick=True)


def _normalised(z):
    size = jnp.sqrt((z * z).sum(-1, keepdims=True))
    return z / size, size


def _likeness(x, target):
    return -(_normalised(x)[0] * _normalised(stop_gradient(target))[0]).sum(-1)


def _alike(detached):
    def bwd(kept, u):
        (a, size), (b, size_of_b) = map(_normalised, kept)
        u = -u[..., None]
        of_target = u * (a - b * (a * b).sum(-1, keepdims=True)) / size_of_b
        return u * (b - a * (a * b).sum(-1, keepdims=True)) / size, of_target * (0 if detached else 1)

    return ruled(_likeness, lambda x, target: (_likeness(x, target), (x, target)), bwd)


def test_a_gradient_that_stops_is_judged_by_the_automatic_one():
    checks = ("gradient", "finite differences", "second order")
    report = jb.check(_alike(detached=True), X, X[::-1], only=checks, dtypes=FAST)
    skipped = {result.check: result.skipped for result in report.results if result.skipped}
    assert set(skipped) == {"finite differences", "second order"}
    assert "stop_gradient" in skipped["finite differences"]
    with pytest.raises(jb.GradientError, match=r"gradient of target.*wanted 0 "):
        jb.check(_alike(detached=False), X, X[::-1], only=checks, dtypes=FAST)


def _of_kernel(body):
    return lambda *arrays: pl.pallas_call(
        body, out_shape=jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype), interpret=True
    )(*arrays)


def _sine(x, y):
    y[...] = jnp.sin(x[...])


def _cosine(x, u, dx):
    dx[...] = u[...] * jnp.cos(x[...])


def test_a_kernel_backward_has_no_second_order_and_refuses_no_batch_that_it_takes():
    kernel = ruled(_of_kernel(_sine), lambda x: (_of_kernel(_sine)(x), x), lambda x, u: (_of_kernel(_cosine)(x, u),))
    report = jb.check(kernel, X, reference=jnp.sin, only=["gradient", "batches", "second order"], dtypes=FAST)
    assert [result.check for result in report.results if result.skipped] == ["batches", "second order"]


def test_an_output_of_a_fixed_size_is_no_batch():
    def cross(w):
        none = jnp.zeros((), w.dtype)
        return jnp.array([[none, -w[2], w[1]], [w[2], none, -w[0]], [-w[1], w[0], none]])

    def bwd(kept, u):
        return (jnp.stack([u[2, 1] - u[1, 2], u[0, 2] - u[2, 0], u[1, 0] - u[0, 1]]),)

    assert jb.check(ruled(cross, lambda w: (cross(w), None), bwd), X[0], only=["batches"]).passed


@pytest.mark.parametrize("scatter", ["add", "set"])
def test_no_batch_is_so_small_that_others_point_beyond_it(scatter):
    """What is added beyond an array JAX drops, and of what is read there it takes the last."""
    start, end = jnp.array([3, 0, 3, 1, 1]), jnp.array([0, 0, 2, 3, 1])

    def passed_on(x, start, end):
        return jax.ops.segment_sum(x[start], end, len(x))

    def bwd(kept, u):
        start, end = kept
        return getattr(jnp.zeros_like(u).at[start], scatter)(u[end]), None, None

    rule = ruled(passed_on, lambda x, start, end: (passed_on(x, start, end), (start, end)), bwd)
    report = jb.check(rule, X, start, end, only=["gradient", "batches"], raises=False)
    assert report.passed == (scatter == "add")


def _running_maximum(x):
    return jax.lax.cummax(x)


def _last_of_ties(x, u):
    """Each output's cotangent to the last of its equal maxima."""
    last = jax.lax.cummax(jnp.where(x == _running_maximum(x), jnp.arange(len(x)), 0))
    return (jnp.zeros_like(x).at[last].add(u),)


def _every_tie(x, u):
    """To each of them: more than any choice."""
    places = jnp.arange(len(x))
    reaches = (x[:, None] == _running_maximum(x)) & (places[:, None] <= places)
    return ((reaches * u).sum(1),)


def test_each_of_several_outputs_may_choose_one_of_its_ties():
    last, every = (
        ruled(_running_maximum, lambda x: (_running_maximum(x), x), bwd) for bwd in (_last_of_ties, _every_tie)
    )
    x = X.ravel()[:7]
    assert jb.check(last, x, only=["special inputs"]).passed
    with pytest.raises(jb.GradientError, match="special inputs"):
        jb.check(every, x, only=["special inputs"])


def test_a_domain_may_name_its_one_argument_in_a_tuple():
    log = ruled(jnp.log, lambda x: (jnp.log(x), x), lambda x, u: (u / x,))
    assert jb.check(log, X, domain=lambda x: (jnp.exp(x),), only=["gradient"]).passed
