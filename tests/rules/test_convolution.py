"""Convolution: agreement with the library's, half precision, empty batches and bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jbackprop import rules

X, KERNEL, BIAS = (
    jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate([(2, 6, 4, 3), (3, 2, 3, 5), (5,)])
)
DEPTHWISE = jax.random.normal(jax.random.key(3), (3, 2, 1, 3))
NUMBERS = ("NHWC", "HWIO", "NHWC")


def _gradients(rule, *arguments):
    y, pull = jax.vjp(rule, *arguments)
    return pull(jax.random.normal(jax.random.key(7), y.shape).astype(y.dtype))


@pytest.mark.parametrize(("kernel", "groups"), [(KERNEL, 1), (DEPTHWISE, 3)], ids=["one group", "depthwise"])
def test_half_precision_adds_up_in_single_precision(kernel, groups):
    rule = partial(rules.conv, feature_group_count=groups)
    x = jnp.tile(X, (16, 8, 8, 1))  # a kernel's gradient is a sum of 49 152 products
    half = [array.astype(jnp.bfloat16) for array in (x, kernel)]
    for got, wanted in zip(
        _gradients(rule, *half), _gradients(rule, *[array.astype(jnp.float32) for array in half]), strict=True
    ):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(got, wanted, rtol=2**-6, atol=2**-6 * float(abs(wanted).max()))


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("size", [1, 2])
def test_gradients_are_those_of_the_library(groups, size):
    """The library's convolution is what a GPU compiles; here its place may be taken by products."""
    kernel = jax.random.normal(jax.random.key(4), (size, size, 3 // groups, 6))
    rule = partial(rules.conv, window_strides=(2, 1), feature_group_count=groups)

    def library(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (2, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=groups
        )

    for got, wanted in zip(_gradients(rule, X, kernel), _gradients(library, X, kernel), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "strides", "padding", "stretch", "dilation"),
    [
        ((3, 2), (3, 2), ((0, 0), (0, 0)), (1, 1), (1, 1)),
        ((3, 1), (4, 3), ((2, 1), (0, 4)), (1, 1), (1, 2)),
        ((2, 2), (2, 3), ((0, 0), (5, 0)), (1, 1), (1, 1)),
        ((3, 2), (1, 1), ((2, 2), (1, 1)), (2, 3), (1, 1)),
        ((3, 2), (1, 1), ((1, 2), (1, 0)), (2, 3), (1, 1)),
        ((2, 3), (1, 1), ((6, 0), (0, 5)), (3, 1), (3, 2)),
        ((1, 1), (1, 1), ((0, 2), (1, 0)), (2, 2), (1, 1)),
    ],
    ids=[
        "patches",
        "gaps",
        "beside the image",
        "stretched",
        "stretched, cut",
        "stretched and dilated",
        "stretched, one entry",
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_windows_that_do_not_overlap_and_stretched_images(window, strides, padding, stretch, dilation, groups):
    x = jax.random.normal(jax.random.key(5), (2, 7, 8, 4))
    kernel = jax.random.normal(jax.random.key(6), (*window, 4 // groups, 6))
    options = strides, padding, stretch, dilation, groups

    def library(x, kernel):
        y = lax.conv_general_dilated(x[None], kernel, *options[:4], NUMBERS, groups)
        return y[0]

    def of_library(x, u):
        return jax.vjp(library, x, kernel)[1](u)

    y, pull = jax.vjp(lambda x, kernel: rules.conv(x, kernel, None, *options), x, kernel)
    delta = jax.random.normal(jax.random.key(7), y.shape)
    dx, each = jax.vmap(of_library)(x, delta)
    pieces = rules.pieces(rules.conv)
    assert pieces is not None
    of_examples = pieces.factors(*options, (x, kernel, None), delta)["kernel"].per_example()
    for got, wanted in zip((*pull(delta), of_examples), (dx, each.sum(0), each), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * float(abs(wanted).max()))


@pytest.mark.parametrize(
    ("shape", "strides", "padding", "stretch", "dilation"),
    [
        ((7, 30, 200, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1)),
        ((2, 12, 2000, 8), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1)),
        ((1, 15, 3000, 8), (2, 1), ((3, 0), (0, 1)), (1, 1), (2, 1)),
        ((1, 9, 2000, 8), (2, 1), ((2, 2), (1, 2)), (2, 1), (1, 2)),
        ((3, 7, 1500, 8), (1, 3), ((0, 1), (0, 0)), (1, 2), (1, 1)),
    ],
    ids=["images left over", "bands", "strides and dilation", "stretch", "a prime number of rows"],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_kernel_gradient_of_many_tiles_is_that_of_the_library(shape, strides, padding, stretch, dilation, groups):
    x = jax.random.normal(jax.random.key(5), shape)
    kernel = jax.random.normal(jax.random.key(6), (3, 2, shape[-1] // groups, 6))
    options = {"lhs_dilation": stretch, "rhs_dilation": dilation, "feature_group_count": groups}

    def library(kernel):
        return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=NUMBERS, **options)

    rule = partial(rules.conv, x, window_strides=strides, padding=padding, **options)
    (got,), (wanted,) = _gradients(rule, kernel), _gradients(library, kernel)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * float(abs(wanted).max()))


def test_transposed_convolution_with_the_kernel_transposed_is_the_gradient():
    strides = (2, 1)
    y, pull = jax.vjp(lambda x: rules.conv(x, KERNEL, None, strides, "VALID"), X[:, :5])
    got = rules.conv_transpose(y, KERNEL, None, strides, "VALID", transpose_kernel=True)
    np.testing.assert_allclose(got, pull(y)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [rules.conv, rules.conv_transpose])
def test_empty_batch_has_zero_gradients(rule):
    dx, dkernel, dbias = _gradients(rule, X[:0], KERNEL, BIAS)
    assert dx.shape == (0, 6, 4, 3)
    assert not dkernel.any() and not dbias.any()


def test_empty_batch_of_groups_has_zero_gradients():
    for kernel in (DEPTHWISE, jnp.ones((3, 2, 1, 6))):
        dx, dkernel = _gradients(partial(rules.conv, feature_group_count=3), X[:0], kernel)
        assert dx.shape == (0, 6, 4, 3)
        assert dkernel.shape == kernel.shape and not dkernel.any()


@pytest.mark.parametrize("rule", [rules.conv, rules.conv_transpose])
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((jnp.ones((6, 4, 3), int), KERNEL), {}, TypeError, "x, wanted a floating point array, got int32"),
        ((X, KERNEL, jnp.ones(5, int)), {}, TypeError, "bias, wanted a floating point array, got int32"),
        ((X, BIAS), {}, ValueError, r"kernel, wanted one to three spatial axes and two of channels, got \(5,\)"),
        ((X[0, 0], KERNEL), {}, ValueError, r"x, wanted 2 spatial axes \(as kernel\) and channels, got \(4, 3\)"),
        ((X[..., :2], KERNEL), {}, ValueError, r"x, wanted 3 channels \(groups times inputs of kernel\), got"),
        ((X, KERNEL, BIAS[:1]), {}, ValueError, r"bias, wanted shape \(5,\) \(outputs of kernel\), got \(1,\)"),
        ((X, KERNEL), {"padding": "FULL"}, ValueError, "padding, wanted SAME.*, got 'FULL'"),
        ((X, KERNEL), {"padding": [(0, 1)]}, ValueError, r"padding, wanted 2 pairs \(low, high\) of numbers ≥ 0, got"),
        ((X, KERNEL), {"rhs_dilation": (1,)}, ValueError, r"rhs_dilation, wanted 2 positive numbers .*, got \(1,\)"),
        (
            (X[:, :2], KERNEL),
            {"padding": [(0, 0), (0, 0)]},
            ValueError,
            r"kernel, wanted windows no larger than x with its padding, got windows of \(3, 2\)",
        ),
    ],
)
def test_bad_input_is_named(rule, arguments, options, error, message):
    with pytest.raises(error, match=message):
        rule(*arguments, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            partial(rules.conv, window_strides=(0, 1)),
            r"conv: window_strides, wanted 2 positive numbers .* got \(0, 1\)",
        ),
        (partial(rules.conv, lhs_dilation=(2,)), r"conv: lhs_dilation, wanted 2 positive numbers .*, got \(2,\)"),
        (partial(rules.conv, lhs_dilation=(2, 1)), "padding, wanted pairs .* where lhs_dilation is not 1, got 'SAME'"),
        (partial(rules.conv, feature_group_count=2), "feature_group_count, wanted a divisor of 5 .*, got 2"),
        (partial(rules.conv, feature_group_count=5), "conv: x, wanted 15 channels .*, got"),
        (
            partial(rules.conv_transpose, strides=(2,)),
            r"conv_transpose: strides, wanted 2 positive numbers .* got \(2,\)",
        ),
        (partial(rules.conv_transpose, transpose_kernel=True), "conv_transpose: x, wanted 5 channels .*, got"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(X, KERNEL)
