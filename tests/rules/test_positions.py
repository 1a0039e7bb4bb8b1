"""What the table of cases leaves out of the positions: what they are for, half precision, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules

X = jax.random.normal(jax.random.key(0), (5, 2, 4))
PLACES = jnp.arange(5)


def test_products_of_turned_vectors_depend_on_their_distance_alone():
    query, key = (rules.rotary_embedding(jnp.broadcast_to(X[i], X.shape), PLACES)[:, 0] for i in (0, 1))
    products = query @ key.T
    np.testing.assert_allclose(jnp.diagonal(products, 2), products[0, 2], rtol=1e-5)
    assert abs(products[0, 2] - products[0, 3]) > 1e-3


def test_turning_back_is_the_inverse():
    np.testing.assert_allclose(rules.rotary_embedding(rules.rotary_embedding(X, PLACES), -PLACES), X, rtol=1e-5)


@pytest.mark.parametrize("x", [X[:0], X.astype(jnp.bfloat16)], ids=["empty", "half"])
def test_shape_and_dtype_are_those_of_x(x):
    table = jnp.ones((7, 4))
    for y in (
        rules.rotary_embedding(x, PLACES[: len(x)]),
        rules.sinusoidal_positions(x.swapaxes(0, 1)).swapaxes(0, 1),
        rules.learned_positions(x.swapaxes(0, 1), table).swapaxes(0, 1),
    ):
        assert (y.shape, y.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rules.learned_positions(X, jnp.ones((7, 4), int)), TypeError, "learned_positions: table, wanted a fl"),
        (lambda: rules.learned_positions(X[0, 0], jnp.ones((7, 4))), ValueError, "learned_positions: x, wanted shape"),
        (lambda: rules.learned_positions(X, jnp.ones((1, 4))), ValueError, "table, wanted at least 2 rows of 4"),
        (lambda: rules.learned_positions(X, jnp.ones((7, 5))), ValueError, r"2 rows of 4 features, got \(7, 5\)"),
        (lambda: rules.sinusoidal_positions(X.astype(int)), TypeError, "sinusoidal_positions: x, wanted a floating"),
        (lambda: rules.sinusoidal_positions(X[0, 0]), ValueError, "sinusoidal_positions: x, wanted shape"),
        (lambda: rules.sinusoidal_positions(X[..., :3]), ValueError, "x, wanted an even number of features, got 3"),
        (lambda: rules.sinusoidal_positions(X, 0.0), ValueError, "base, wanted a positive number, got 0.0"),
        (lambda: rules.rotary_embedding(X[0], PLACES), ValueError, "rotary_embedding: x, wanted shape"),
        (lambda: rules.rotary_embedding(X[..., :3], PLACES), ValueError, "x, wanted an even number of features, got 3"),
        (lambda: rules.rotary_embedding(X, PLACES * 1.0), TypeError, "positions, wanted integers, got float32"),
        (lambda: rules.rotary_embedding(X, PLACES[:4]), ValueError, r"positions, wanted shape \(5,\) or \(5,\), got"),
        (lambda: rules.rotary_embedding(X, PLACES, -1.0), ValueError, "base, wanted a positive number, got -1.0"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
