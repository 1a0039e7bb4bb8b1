"""Gated units refuse halves that do not belong together."""

import jax.numpy as jnp
import pytest

from jbackprop import rules


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: rules.glu(jnp.ones((2, 3))),
            ValueError,
            r"glu: x, wanted an even number .* axis -1, got shape \(2, 3\)",
        ),
        (lambda: rules.glu(jnp.ones((2, 4)), 2), ValueError, "glu: x, wanted .* along axis 2"),
        (lambda: rules.swiglu(jnp.ones((2, 3)), jnp.ones(3)), ValueError, "swiglu: value, wanted shape"),
        (lambda: rules.swiglu(jnp.ones((2, 3))), ValueError, r"swiglu: gate, wanted an even number .* shape \(2, 3\)"),
        (lambda: rules.reglu(jnp.ones(())), ValueError, r"reglu: gate, wanted an even number .* shape \(\)"),
        (lambda: rules.geglu(jnp.ones(3), jnp.arange(3)), TypeError, "geglu: value, wanted a floating"),
        (lambda: rules.reglu(jnp.arange(3), jnp.ones(3)), TypeError, "reglu: gate, wanted a floating"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
