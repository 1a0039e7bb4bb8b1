"""Softmaxes of nothing, and along an axis that is not there."""

import jax.numpy as jnp
import pytest

from jbackprop import rules


@pytest.mark.parametrize(("shape", "axis"), [((3, 0), -1), ((3, 0), None), ((0, 3), (0, 1))])
def test_softmax_of_nothing_is_refused(shape, axis):
    with pytest.raises(ValueError, match="softmax: z, wanted at least one entry along axis"):
        rules.softmax(jnp.zeros(shape), axis)


def test_no_rows_are_no_rows():
    assert rules.softmax(jnp.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("rule", [rules.softmax, rules.log_softmax, rules.logsumexp])
@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_axis_that_is_not_there_is_refused(rule, axis):
    with pytest.raises(ValueError, match=f"{rule.__name__}: axis, wanted one of the 2 of z, got"):
        rule(jnp.ones((2, 3)), axis)
