"""Options that are numbers: traced under jit they are what they are as constants, and they have their gradients."""

import inspect
import re
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules

X, Y, Z = (jax.random.normal(jax.random.key(seed), (4, 7)) for seed in range(3))
LABELS, CLASSES = (X > 0).astype(jnp.float32), jnp.array([1, 0, 6, 2])
SOFT = jax.nn.softmax(Y)


def _smoothed(labels, **options):
    return lambda x, number: rules.softmax_cross_entropy(x, labels, label_smoothing=number, **options)


def _normalised_logits(**options):
    return lambda x, number: rules.softmax_cross_entropy(x, CLASSES, z_loss=number, **options)


def _normalised(rule, **options):
    return lambda x, number: rule(x, Y[0] + 3, Z[0], eps=number, **options)


def _attending(**options):
    shapes = (Y[:, None], Z[:, None])
    return lambda x, number: rules.dot_product_attention(x[:, None], *shapes, scale=number, **options)


def _half_way(a, z):
    return (a + z) / 2


WEIGHTED = {"weights": jnp.arange(1.0, 8), "where": jnp.array([True, False, True, True])}
TRACED = {
    "huber, delta": (lambda x, number: rules.huber(x, Y, number), 0.7),
    "sigmoid_focal, alpha": (lambda x, number: rules.sigmoid_focal(x, LABELS, alpha=number), 0.3),
    "sigmoid_focal, gamma": (lambda x, number: rules.sigmoid_focal(x, SOFT, 0.25, number), 1.5),
    "triplet, margin": (lambda x, number: rules.triplet(x, Y, Z, margin=number), 0.8),
    "triplet, eps": (lambda x, number: rules.triplet(x, Y, Z, eps=number), 0.1),
    "cosine_similarity, epsilon": (lambda x, number: rules.cosine_similarity(x, Y, number), 6.0),
    "cosine_distance, epsilon": (lambda x, number: rules.cosine_distance(x, Y, number), 6.0),
    "nt_xent, temperature": (lambda x, number: rules.nt_xent(x, jnp.array([0, 1, 1, 0]), number), 0.5),
    "softmax_cross_entropy, label_smoothing": (_smoothed(CLASSES), 0.1),
    "softmax_cross_entropy, label_smoothing, none": (_smoothed(CLASSES), 0.0),
    "softmax_cross_entropy, label_smoothing, soft labels": (_smoothed(SOFT), 0.1),
    "softmax_cross_entropy, label_smoothing, weights": (_smoothed(CLASSES, **WEIGHTED), 0.2),
    "softmax_cross_entropy, z_loss": (
        lambda x, number: rules.softmax_cross_entropy(x, CLASSES, ignore_index=6, z_loss=number),
        1e-2,
    ),
    "softmax_cross_entropy, z_loss, none": (
        lambda x, number: rules.softmax_cross_entropy(x, CLASSES, z_loss=number),
        0.0,
    ),
    "layer_norm, eps": (_normalised(rules.layer_norm), 0.1),
    "layer_norm, eps, small": (_normalised(rules.layer_norm), 1e-3),
    "layer_norm, eps, normalised kept": (_normalised(rules.layer_norm, keep="normalised"), 0.1),
    "rms_norm, eps": (_normalised(rules.rms_norm, keep="output"), 0.1),
    "group_norm, eps": (_normalised(rules.group_norm, groups=7, spatial=1), 0.1),
    "instance_norm, eps": (_normalised(rules.instance_norm, spatial=1), 0.1),
    "batch_norm, eps": (lambda x, number: sum(rules.batch_norm(x, Y[0], Z[0], number)), 0.1),
    "batch_norm_evaluation, eps": (
        lambda x, number: rules.batch_norm_evaluation(x, Y[0], SOFT[0], Z[0], eps=number, keep="output"),
        0.1,
    ),
    "leaky_relu, negative_slope": (rules.leaky_relu, 0.3),
    "elu, alpha": (rules.elu, 0.7),
    "celu, alpha": (rules.celu, 0.7),
    "squareplus, b": (rules.squareplus, 3.0),
    "dropout, rate": (partial(rules.dropout, jax.random.key(5)), 0.3),
    "dropout, rate, none": (partial(rules.dropout, jax.random.key(5)), 0.0),
    "rotary_embedding, base": (lambda x, number: rules.rotary_embedding(x[:, None, :6], jnp.arange(4), number), 20.0),
    "sinusoidal_positions, base": (lambda x, number: rules.sinusoidal_positions(x[:, :6], number), 20.0),
    "dot_product_attention, scale": (_attending(is_causal=True), 0.4),
    "dot_product_attention, scale, none": (_attending(bias=Y[:, :4]), 0.0),
}
WITHOUT_GRADIENT = {
    "fixed_point, tolerance": (lambda x, number: rules.fixed_point(_half_way, x, Y, number), 1e-5),
    "clip_gradient, limit": (rules.clip_gradient, 0.7),
    "clip_gradient_norm, limit": (rules.clip_gradient_norm, 0.7),
    "scale_gradient, scale": (rules.scale_gradient, 0.7),
    "reverse_gradient, scale": (rules.reverse_gradient, 0.7),
}
each_option = pytest.mark.parametrize(("rule", "number"), TRACED.values(), ids=TRACED)


def _value_and_gradients(rule, x, number):
    out, pull = jax.vjp(rule, x, number)
    return out, pull(jnp.cos(jnp.arange(out.size)).reshape(out.shape))


@each_option
def test_traced_it_is_what_it_is_as_a_constant(rule, number):
    wanted = jax.jit(lambda x: (rule(x, number), jax.grad(lambda x: rule(x, number).sum())(x)))(X)
    got = jax.jit(lambda x, n: (rule(x, n), jax.grad(lambda x: rule(x, n).sum())(x)))(X, number)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), got, wanted)


@each_option
def test_it_has_the_gradient_of_autodiff(rule, number):
    @jax.jit
    def both(x, number):
        return [_value_and_gradients(f, x, number) for f in (rule, jb.automatic(rule))]

    got, wanted = both(X, np.float32(number))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, wanted)
    assert got[1][1] != 0


@pytest.mark.parametrize(("rule", "number"), WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT)
def test_what_the_output_does_not_tell_has_no_gradient(rule, number):
    out, (_, gradient) = jax.jit(partial(_value_and_gradients, rule))(X, number)
    np.testing.assert_allclose(out, rule(X, number), rtol=1e-6)
    assert gradient == 0


def test_no_option_is_left_out():
    tried = {tuple(name.split(", ")[:2]) for name in (*TRACED, *WITHOUT_GRADIENT)}
    assert tried == {(name, option) for name, rule in vars(rules).items() for option in _numbers(rule)}


def _numbers(rule):
    """The names of a rule's options that are numbers."""
    if not isinstance(rule, jax.custom_vjp):
        return []
    options = inspect.signature(rule).parameters.values()
    return [option.name for option in options if float in (option.annotation, *get_args(option.annotation))]


NORMS = [rules.layer_norm, rules.rms_norm, rules.instance_norm, rules.batch_norm]


@pytest.mark.parametrize("rule", NORMS, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("eps", [0.0, 1e-30, 1e-5])
def test_a_traced_epsilon_may_be_small(rule, eps):
    tiny = X.reshape(2, 1, 2, 7) * 1e-22
    got = jax.jit(lambda x, eps: rule(x, eps=eps))(tiny, eps)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), got, jax.jit(partial(rule, eps=eps))(tiny))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_number_in_an_array_is_computed_with_in_full(dtype):
    got, wanted = (jax.jit(rules.leaky_relu)(X.astype(dtype), slope) for slope in (jnp.float32(0.3), 0.3))
    np.testing.assert_array_equal(got, wanted)


def test_an_array_is_no_number():
    with pytest.raises(ValueError, match=r"leaky_relu: negative_slope, wanted a number, got an array of shape \(7,\)"):
        rules.leaky_relu(X, Y[0])


def test_a_program_with_a_plain_number_is_that_of_the_plain_rule():
    plain = partial(jax.custom_vjp.__call__, rules.leaky_relu)
    got, wanted = (jax.make_jaxpr(jax.grad(lambda x, f=f: f(x, 0.2).sum()))(X) for f in (rules.leaky_relu, plain))
    assert _without_addresses(got) == _without_addresses(wanted)


def _without_addresses(jaxpr):
    return re.sub("0x[0-9a-f]+", "", str(jaxpr))


@each_option
def test_it_may_differ_from_example_to_example(rule, number):
    numbers = number, number + 0.1

    @jax.jit
    def both(x, each):
        return jax.vmap(rule, (None, 0))(x, each), [rule(x, one) for one in numbers]

    got, wanted = both(X, np.array(numbers, np.float32))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@each_option
def test_a_constant_in_half_precision_keeps_the_dtype(rule, number):
    def both(x):
        return rule(x, number), jax.grad(lambda x: rule(x, number).sum().astype(jnp.float32))(x)

    value, gradient = jax.eval_shape(both, jax.ShapeDtypeStruct(X.shape, jnp.bfloat16))
    assert value.dtype in (jnp.bfloat16, jnp.float32)
    assert gradient.dtype == jnp.bfloat16
