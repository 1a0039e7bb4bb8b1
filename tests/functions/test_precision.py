"""Arrays in one floating point type or another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop.functions import as_float64, cast, precision, rounded_to


def has_float64():
    return jnp.ones(()).dtype == jnp.float64


@pytest.mark.parametrize("dtype", ["float64", np.dtype("float64"), "complex128", "int64", np.dtype("uint64")])
def test_64_bits_are_switched_on_where_they_are_needed(dtype):
    with precision("float32", dtype):
        assert has_float64()
    assert not has_float64()


@pytest.mark.parametrize("dtypes", [(), ("float32",), (jnp.dtype("bfloat16"), np.dtype("int32"))])
def test_the_switch_of_the_user_stays_as_it_is_otherwise(dtypes):
    with precision(*dtypes):
        assert not has_float64()
    with jax.enable_x64(True), precision(*dtypes):
        assert has_float64()


@pytest.mark.parametrize("users", [False, True])
def test_the_switch_stands_as_the_user_has_it_inside_64_bits_too(users):
    with jax.enable_x64(users):
        with precision("float64"), precision("float64"):
            with precision("float32"):
                assert has_float64() == users
            assert has_float64()
        assert has_float64() == users


def test_a_tree_is_cast_where_it_is_of_floating_point():
    key = jax.random.key(0)
    tree = {
        "x": jnp.ones(3),
        "n": np.arange(3),
        "option": 0.5,
        "key": key,
        "none": None,
        "z": np.ones(2, np.complex128),
    }
    done = cast("float16", tree)
    assert (done["x"].dtype, done["n"].dtype, done["z"].dtype) == (np.float16, tree["n"].dtype, np.complex64)
    assert done["option"] == 0.5 and done["key"] is key
    assert cast("float64", tree)["z"].dtype == np.complex128
    assert cast("complex64", tree)["x"].dtype == np.complex64


def test_what_is_too_large_becomes_infinite():
    assert np.isinf(cast("float16", (np.array(1e30),))[0])


def test_rounded_numbers_are_those_of_the_type_in_float64():
    (x,) = rounded_to("bfloat16", (np.array([1 + 2.0**-9, 3.0]),))
    assert (x.dtype, x.tolist()) == (np.float64, [1.0, 3.0])


def test_everything_is_numpy_in_float64():
    x, n, key = as_float64([jnp.ones(3, jnp.bfloat16), jnp.arange(2), jax.random.key(0)])
    assert (x.dtype, n.dtype) == (np.float64, np.int32)
    assert key.dtype == np.uint32
