"""Right functions of several rules are never refused: kinks behind products, networks, what is not finite itself."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules

DRAW = np.random.default_rng(0)
LABELS = jnp.array([0, 3, 6, 2, 1])
KINKED = [rules.relu, rules.relu6, rules.hard_tanh, rules.hard_sigmoid]


def draw(*shape):
    return jnp.asarray(DRAW.normal(size=shape), jnp.float32)


X, W, B, V = draw(5, 3), draw(3, 7), draw(7), draw(7, 3)
IMAGES, KERNEL = draw(2, 6, 5, 3), draw(3, 3, 3, 4)
NET = layers.chain(layers.linear(7), layers.relu(), layers.residual(layers.linear(7), layers.relu()), layers.linear(7))
PARAMS, _ = NET.init(jax.random.key(0), (3,))


def behind_a_product(act, x, w, b):
    return act(rules.linear(x, w, b))


def behind_a_convolution(act, x, kernel):
    return act(rules.conv(x, kernel))


def shortcut(x, w, b, v):
    return x + rules.linear(rules.relu(rules.linear(x, w, b)), v)


def pooled(x, kernel):
    return rules.max_pool(rules.relu(rules.conv(x, kernel)), (2, 2), (2, 2))


def cost(params, x):
    return rules.softmax_cross_entropy(NET.apply(params, x), LABELS).mean()


COMPOSITIONS = {
    **{f"{act.__name__} of a product": (partial(behind_a_product, act), (X, W, B)) for act in KINKED},
    **{f"{act.__name__} of a convolution": (partial(behind_a_convolution, act), (IMAGES, KERNEL)) for act in KINKED},
    "a row of zeros in the data": (partial(behind_a_product, rules.relu), (X.at[2].set(0), W, jnp.zeros(7))),
    "a shortcut": (shortcut, (X, W, B, V)),
    "pooling": (pooled, (IMAGES, KERNEL)),
    "a network": (NET.apply, (PARAMS, X)),
    "a network and its cost": (cost, (PARAMS, X)),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_right_composition_passes(name):
    f, arguments = COMPOSITIONS[name]
    assert jb.check(f, *arguments, dtypes=["float64", "float32"]).passed


def ruled(f, slope):
    """f of single entries, differentiated by hand."""
    rule = jax.custom_vjp(f)
    rule.defvjp(lambda x: (f(x), x), lambda x, u: (u * slope(x),))
    return rule


def clipped(x):
    return jnp.clip(x, -1, 1)


def shrunk(x):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - 1, 0)


AT_KINKS = jnp.array([0.0, 1.0, -1.0, 0.3])
CHOICES = {
    "clip, slope 1 at both bounds": ruled(clipped, lambda x: (jnp.abs(x) <= 1).astype(x.dtype)),
    "clip, slope 0 at both bounds": ruled(clipped, lambda x: (jnp.abs(x) < 1).astype(x.dtype)),
    "clip, one of each": ruled(clipped, lambda x: ((x > -1) & (x <= 1)).astype(x.dtype)),
    "a soft threshold": ruled(shrunk, lambda x: (jnp.abs(x) > 1).astype(x.dtype)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_at_a_kink_passes(name):
    """The arguments stand on the kinks: an upward and a downward one in one array."""
    assert jb.check(CHOICES[name], AT_KINKS).passed


@pytest.mark.parametrize("slope", [1.001, -0.001])
def test_what_lies_outside_the_slopes_at_a_kink_is_wrong(slope):
    wrong = ruled(clipped, lambda x: jnp.where(jnp.abs(x) == 1, slope, jnp.abs(x) < 1))
    with pytest.raises(jb.GradientError, match=r"gradient of x\[[12]\]"):
        jb.check(wrong, AT_KINKS, only=["gradient"], dtypes=["float64"])


@pytest.mark.parametrize(("slope", "right"), [(0, True), (0.3, True), (1, True), (1.001, False), (-0.001, False)])
def test_a_kink_counts_however_small_its_slopes(slope, right):
    """As those of a mean over many are; beside it a curve at its top, where the slope is 0 and not a kink."""
    share = 2.0**-17

    def f(x):
        return share * (jnp.maximum(x[0], 0) + jnp.cos(x[1]))

    def bwd(x, u):
        return (u * share * jnp.stack([jnp.where(x[0] == 0, slope, x[0] > 0), -jnp.sin(x[1])]),)

    rule = jax.custom_vjp(f)
    rule.defvjp(lambda x: (f(x), x), bwd)
    report = jb.check(rule, jnp.zeros(2), only=["gradient"], dtypes=["float64"], raises=False)
    assert report.passed == right


def sparsemax(z):
    """The nearest probabilities, as in Martins and Astudillo (2016)."""
    sorted_down, count = -jnp.sort(-z), jnp.arange(1, len(z) + 1)
    largest = (1 + count * sorted_down > jnp.cumsum(sorted_down)).sum()
    return jnp.maximum(z - (jnp.cumsum(sorted_down)[largest - 1] - 1) / largest, 0)


@pytest.mark.parametrize("among", ["its support", "all"])
def test_a_kink_counts_though_the_slopes_of_one_cotangent_cancel_in_it(among):
    """At 2 and 1 the support is about to grow, which changes nothing for equal u; half the slope of a maximum would."""

    def bwd(p, u):
        inside = p > 0
        count = inside.sum(-1, keepdims=True) if among == "its support" else p.shape[-1]
        return (jnp.where(inside, u - (inside * u).sum(-1, keepdims=True) / count, 0),)

    f = jax.vmap(sparsemax)
    rule = jax.custom_vjp(f)
    rule.defvjp(lambda z: (f(z),) * 2, bwd)
    report = jb.check(rule, draw(3, 5), only=["special inputs"], dtypes=["float64"], raises=False)
    assert report.passed == (among == "its support")


def test_ties_do_not_all_get_the_whole():
    """Of three equal maxima each alone may have it; together they are moved once."""

    def shares(share):
        rule = jax.custom_vjp(lambda x: x.max())
        rule.defvjp(lambda x: (x.max(), x), lambda x, u: (u * share(x == x.max()),))
        return rule

    tied, checks = jnp.array([0.5, 2.0, 2.0, 2.0, -1.0]), ["gradient", "special inputs"]
    first = jnp.array([0, 1.0, 0, 0, 0])
    for share in (lambda top: first, lambda top: top / top.sum(), lambda top: top * jnp.array([0, 0.5, 0.2, 0.3, 0])):
        assert jb.check(shares(share), tied, only=["gradient"], dtypes=["float64"]).passed
    with pytest.raises(jb.GradientError):
        jb.check(shares(lambda top: top.astype(jnp.float64)), tied, only=checks, dtypes=["float64"])


def test_a_gradient_by_design_has_its_kinks_too():
    rule = ruled(jnp.sign, lambda x: (jnp.abs(x) <= 1).astype(x.dtype))
    assert jb.check(rule, AT_KINKS, gradient_of=clipped).passed
    wrong = ruled(jnp.sign, lambda x: (jnp.abs(x) <= 1) * 1.01)
    with pytest.raises(jb.GradientError):
        jb.check(wrong, AT_KINKS, gradient_of=clipped, only=["gradient"])


def test_no_opinion_where_the_function_itself_is_not_finite():
    """log by g · e⁻ʸ is NaN at −1, as log is; 1/x has a number there."""
    rule = jax.custom_vjp(jnp.log)
    rule.defvjp(lambda x: (jnp.log(x), jnp.log(x)), lambda y, u: (u * jnp.exp(-y),))
    checks = ["random inputs", "large inputs", "non-finite inputs"]
    assert jb.check(rule, jnp.abs(X) + 0.5, only=checks).passed


def test_what_is_not_finite_spoils_its_own_alone():
    """One infinite entry of a row spoils its row; a rule that lets it spoil the others is wrong."""

    def rule(spoil):
        f = jax.custom_vjp(lambda x: jnp.log1p(x).sum(-1))
        f.defvjp(lambda x: (f.fun(x), x), lambda x, u: (spoil(x) * u[:, None] / (1 + x),))
        return f

    positive = jnp.abs(X)
    assert jb.check(rule(jnp.ones_like), positive, only=["non-finite inputs"]).passed
    with pytest.raises(jb.GradientError, match="non-finite inputs"):
        jb.check(rule(lambda x: jnp.where(jnp.isinf(x).any(), jnp.nan, 1)), positive, only=["non-finite inputs"])
