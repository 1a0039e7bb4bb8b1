"""What the conventions share: float64, one source of random numbers, and what it means to agree."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _in_float64(float64):
    """In every file here."""


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture
def agree():
    """(ours, theirs) have one shape and differ by less than 1e-12 of the largest entry."""

    def check(ours, theirs):
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())

    return check
