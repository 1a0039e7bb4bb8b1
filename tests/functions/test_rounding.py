"""How far apart two arrays are, where the answer is known."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop.functions import UNITS, Allowance, absolute_errors, distance_to_truth, neighbours, noise_of, shaken

DISTANCES = [
    ([1.0, 2.0], [1.0, 2.0], 0, 0),
    ([np.nan, np.inf], [np.nan, np.inf], 0, 0),
    ([1.0, np.nan], [1.0, 2.0], math.inf, math.inf),
    ([1.0, 2.0], [1.0, np.inf], math.inf, math.inf),
    ([1.0, np.inf], [1.0, -np.inf], math.inf, math.inf),
    ([1.0, 4.0], [0.0, 4.0], 0.25 * 2**23, 0.25),
    ([0.5, 0.0], [0.0, 0.0], 0.5 * 2**23, 0.5),
    ([], [], 0, 0),
]


@pytest.mark.parametrize(("got", "truth", "roundings", "relative"), DISTANCES)
def test_the_distance_to_the_truth(got, truth, roundings, relative):
    found = distance_to_truth(jnp.array(got, jnp.float32), np.array(truth))
    assert found == pytest.approx((roundings, relative))


def test_roundings_are_of_the_dtype():
    assert distance_to_truth(jnp.array([1.0078125], jnp.bfloat16), np.array([1.0])).roundings == 1


def test_complex_numbers_are_measured_in_the_plane():
    found = distance_to_truth(jnp.array([3 + 4j], jnp.complex64), np.array([0 + 4j]))
    assert found == pytest.approx((0.75 * 2**23, 0.75))


def test_errors_entry_by_entry():
    got = np.array([1.0, np.nan, np.inf, np.inf, np.nan, 1e308])
    wanted = np.array([3.0, np.nan, np.inf, 0.0, 0.0, -1e308])
    assert absolute_errors(got, wanted).tolist() == [2, 0, 0, math.inf, math.inf, math.inf]


def test_units_grow_with_the_scale_and_the_root_of_the_sum():
    got, wanted = np.array([1.0, 2.0**-23]), np.array([1.0, 0.0])
    assert Allowance("float32", length=1).units(got, wanted).tolist() == [0, 1]
    assert Allowance("float32", length=16).units(got, wanted).tolist() == [0, 0.25]
    assert Allowance("float32", length=1, scale=8.0).units(got, wanted).tolist() == [0, 0.125]


def test_noise_is_allowed_besides():
    units = Allowance("float64", length=1, noise=0.5).units(np.array([1.5, 2.0]), np.array([1.0, 1.0]))
    assert units[0] == 0 < UNITS < units[1]


def test_a_nan_is_infinitely_wrong_where_the_truth_has_an_opinion():
    got, wanted = np.array([np.nan, np.nan, 1.0]), np.array([1.0, np.nan, np.inf])
    assert Allowance("float32", length=1, noise=1.0).units(got, wanted).tolist() == [math.inf, 0, 0]


def test_the_noise_of_a_twin_is_told_from_the_farthest_truth():
    got, near, far = map(np.array, ([1.0, np.inf], [1.5, 0.0], [3.0, np.inf]))
    assert noise_of([got], [[near], [far]], factor=1.0) == [2.0]


def test_noise_is_what_moves_with_the_arguments_and_not_what_jumps():
    here, once, twice = np.zeros(3), np.array([1.0, 5.0, np.nan]), np.array([2.0, 5.0, 0.0])
    assert noise_of([here], [[here]], [[once], [twice]], factor=1.0) == [1.0]


def test_shaking_moves_each_number_by_a_rounding_and_by_two():
    x, labels = np.full(64, 2.0), np.array([3])
    (once, same), (twice, _) = shaken([x, labels], "float32", np.random.default_rng(0))
    assert set(once - x) == {-(2.0**-22), 2.0**-22}
    np.testing.assert_array_equal(twice - x, 2 * (once - x))
    assert same is labels


def test_neighbours_move_floating_point_numbers_alone():
    x, labels = np.array([0.0, 1.0], np.float32), np.array([3])
    for moved, same in neighbours([x, labels]):
        assert moved[0] == 0 < abs(float(moved[1]) - 1) < 3 * 2**-23
        assert same is labels
