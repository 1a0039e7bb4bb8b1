"""What functions and their arguments are called."""

from functools import partial

import jax.numpy as jnp
import pytest

from jbackprop import rules
from jbackprop.functions import argument_names, function_name


class Callable:
    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("f", "names"),
    [
        (lambda x, y: x, ["x", "y"]),
        (lambda x, /, *rest: x, ["x", "rest[0]"]),
        (lambda *rest, y=0: rest, ["rest[0]", "rest[1]"]),
        (partial(lambda x, y, z: x, 1), ["y", "z"]),
        (type, ["args[0]", "args[1]"]),
    ],
)
def test_arguments_are_named_after_the_signature(f, names):
    assert argument_names(f, 2) == names


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (rules.silu, "silu"),
        (partial(partial(jnp.sum, axis=0), keepdims=True), "sum"),
        (Callable(), "Callable"),
    ],
)
def test_functions_are_named(f, name):
    assert function_name(f) == name
