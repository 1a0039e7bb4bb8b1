"""Cases of the linear map."""

import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, normal


def _linear_reference(x, w, b=0):
    """x: (…, n_in), w: (n_in, n_out).  k is an input feature, j an output feature."""
    return jnp.einsum("...k,kj->...j", x, w) + b


LINEAR = (
    Case(
        "linear",
        rules.linear,
        _linear_reference,
        (normal(5, 3), normal(3, 7), normal(7)),
        ("float32[5,3]", "float32[3,7]", "float32[7]"),
        (normal(512, 256), normal(256, 1024), normal(1024)),
    ),
    Case(
        "linear, no batch axis",
        rules.linear,
        _linear_reference,
        (normal(3), normal(3, 7), normal(7)),
        ("float32[3]", "float32[3,7]", "float32[7]"),
        (normal(256), normal(256, 1024), normal(1024)),
        variant_of="linear",
    ),
    Case(
        "linear, two batch axes",
        rules.linear,
        _linear_reference,
        (normal(2, 5, 3), normal(3, 7), normal(7)),
        ("float32[2,5,3]", "float32[3,7]", "float32[7]"),
        (normal(8, 64, 256), normal(256, 1024), normal(1024)),
        variant_of="linear",
    ),
    Case(
        "linear, no bias",
        rules.linear,
        _linear_reference,
        (normal(5, 3), normal(3, 7)),
        ("float32[5,3]", "float32[3,7]"),
        (normal(512, 256), normal(256, 1024)),
    ),
)
