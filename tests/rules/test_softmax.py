"""Softmaxes of no rows, and along an axis that is not there."""

import jax.numpy as jnp
import pytest

from jbackprop import rules


def test_no_rows_are_no_rows():
    assert rules.softmax(jnp.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(("rule", "name"), [(rules.softmax, "x"), (rules.log_softmax, "x"), (rules.logsumexp, "a")])
@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_axis_that_is_not_there_is_refused(rule, name, axis):
    with pytest.raises(ValueError, match=f"{rule.__name__}: axis, wanted one of the 2 of {name}, got"):
        rule(jnp.ones((2, 3)), axis)
