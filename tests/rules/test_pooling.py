"""Pooling: ties, NaN, windows of padding alone, very long windows, half precision, empty batches and bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jbackprop import rules

X = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
POOLS = {"max_pool": rules.max_pool, "avg_pool": rules.avg_pool}
each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def _gradient(pool, x, dy):
    return jax.vjp(pool, x)[1](jnp.asarray(dy, x.dtype))[0]


@pytest.mark.parametrize("strides", [(2, 2), (1, 1)])
def test_first_of_equal_maxima_gets_all(strides):
    x = jnp.round(X)  # ties in most windows
    window = (2, 2)

    def library(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), "VALID")

    dy = jnp.arange(library(x).size).reshape(library(x).shape)
    got = _gradient(partial(rules.max_pool, window_shape=window, strides=strides), x, dy)
    np.testing.assert_array_equal(got, _gradient(library, x, dy))


def test_nan_is_the_maximum_and_the_last_one_gets_all():
    x = jnp.array([[1.0, jnp.nan], [jnp.nan, 2.0], [3.0, 4.0], [5.0, 0.0]])[..., None]
    pool = partial(rules.max_pool, window_shape=(2, 2), strides=(2, 2))
    np.testing.assert_array_equal(pool(x), [[[jnp.nan]], [[5.0]]])
    dx = _gradient(pool, x, [[[7.0]], [[8.0]]])
    np.testing.assert_array_equal(dx[..., 0], [[0, 0], [7, 0], [0, 0], [8, 0]])


def test_window_of_padding_alone_is_minus_infinity_or_zero():
    options = {"window_shape": (2,), "strides": (2,), "padding": [(2, 0)]}
    x = jnp.array([[1.0], [2.0]])
    np.testing.assert_array_equal(rules.max_pool(x, **options), [[-jnp.inf], [2.0]])
    np.testing.assert_array_equal(_gradient(partial(rules.max_pool, **options), x, [[3.0], [4.0]]), [[0.0], [4.0]])
    apart = {**options, "count_include_pad": False}
    np.testing.assert_array_equal(rules.avg_pool(x, **apart), [[0.0], [1.5]])
    np.testing.assert_array_equal(_gradient(partial(rules.avg_pool, **apart), x, [[3.0], [4.0]]), [[2.0], [2.0]])


@pytest.mark.parametrize("length", [255, 256, 300])
def test_places_of_long_windows_fit(length):
    x = jnp.arange(2.0 * length)[:, None]
    for line in (x, x[::-1]):
        dx = _gradient(partial(rules.max_pool, window_shape=(length,), strides=(length,)), line, [[1.0], [2.0]])
        winners = np.flatnonzero(dx)
        np.testing.assert_array_equal(winners, [int(line[:length].argmax()), length + int(line[length:].argmax())])


@each_pool
def test_half_precision_adds_up_in_single_precision(pool):
    x = jnp.ones((301, 1), jnp.bfloat16)  # the windows' gradients, 1 each, would stop at 256
    dx = _gradient(partial(pool, window_shape=(300,), padding=[(299, 299)]), x.at[150].set(2), jnp.full((600, 1), 1.0))
    wanted = 300 if pool is rules.max_pool else 1
    np.testing.assert_array_equal(dx[150], jnp.asarray([wanted], jnp.bfloat16))
    assert dx.dtype == jnp.bfloat16


@each_pool
def test_nothing_in_nothing_out(pool):
    empty = X[:0]
    y, pull = jax.vjp(partial(pool, window_shape=(2, 2), strides=(2, 2)), empty)
    assert y.shape == (0, 3, 2, 3)
    assert pull(y)[0].shape == empty.shape


def test_global_mean_of_no_space_is_zero():
    y, pull = jax.vjp(rules.global_avg_pool, jnp.zeros((2, 0, 4, 3)))
    np.testing.assert_array_equal(y, jnp.zeros((2, 3)))
    assert pull(y)[0].shape == (2, 0, 4, 3)


def test_strides_default_to_one_and_options_may_be_lists():
    for pool in POOLS.values():
        np.testing.assert_array_equal(pool(X, [3, 2]), pool(X, (3, 2), (1, 1), [[0, 0], [0, 0]]))


@each_pool
@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (jnp.ones((6, 4, 3), int), {}, TypeError, "x, wanted a floating point array, got int32"),
        (X[0, 0], {}, ValueError, r"x, wanted 2 spatial axes and the channels last, got shape \(4, 3\)"),
        (X, {"window_shape": ()}, ValueError, r"window_shape, wanted 1 positive numbers \(spatial axes\), got \(\)"),
        (X, {"window_shape": (2, 0)}, ValueError, r"window_shape, wanted 2 positive numbers .*, got \(2, 0\)"),
        (X, {"strides": (2,)}, ValueError, r"strides, wanted 2 positive numbers \(spatial axes\), got \(2,\)"),
        (X, {"strides": (1, 0)}, ValueError, r"strides, wanted 2 positive numbers \(spatial axes\), got \(1, 0\)"),
        (
            X,
            {"window_shape": (2, 5)},
            ValueError,
            r"window_shape, wanted windows no larger than x with its padding, got",
        ),
        (X, {"padding": "FULL"}, ValueError, "padding, wanted SAME, SAME_LOWER, VALID or pairs .*, got 'FULL'"),
        (X, {"padding": [(0, 1)]}, ValueError, r"padding, wanted 2 pairs \(low, high\) of numbers ≥ 0, got"),
        (X, {"padding": [(0, 1), (-1, 0)]}, ValueError, r"padding, wanted 2 pairs \(low, high\) of numbers ≥ 0"),
    ],
)
def test_bad_input_is_named(pool, x, options, error, message):
    with pytest.raises(error, match=message):
        pool(x, **{"window_shape": (2, 2), **options})


@pytest.mark.parametrize("spatial", [0, 4])
def test_bad_number_of_spatial_axes_is_named(spatial):
    with pytest.raises(ValueError, match=f"global_avg_pool: spatial, wanted 1 to 3 axes of x .*, got {spatial}"):
        rules.global_avg_pool(X, spatial)
    with pytest.raises(TypeError, match="global_avg_pool: x, wanted a floating point array"):
        rules.global_avg_pool(jnp.ones((2, 3, 4, 5), int))
