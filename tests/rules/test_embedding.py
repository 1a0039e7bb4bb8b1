"""What the table of cases leaves out of the embedding: bad input, numbers of no row, half precision."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules
from jbackprop.rules import _factors
from jbackprop.rules._factors import _added_apart, _added_up

TABLE = jnp.arange(6.0).reshape(3, 2)


def test_looks_up_rows():
    np.testing.assert_array_equal(rules.embedding(TABLE, jnp.array([[2, 0]])), [[[4.0, 5.0], [0.0, 1.0]]])


def test_numbers_of_no_row_are_nan_under_jit_and_have_no_gradient():
    weights = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    ids = jnp.array([3, 1, -1])
    out, pull = jax.vjp(jax.jit(rules.embedding), TABLE, ids)
    np.testing.assert_array_equal(out, [[np.nan] * 2, [2.0, 3.0], [np.nan] * 2])
    np.testing.assert_array_equal(pull(weights)[0], [[0, 0], [3, 4], [0, 0]])


def test_padding_row_is_read_and_gets_no_gradient():
    ids, dy = jnp.array([[2, 1, 2], [0, 1, 1]]), jax.random.normal(jax.random.key(0), (2, 3, 2))
    padded = partial(rules.embedding, padding_index=1)
    np.testing.assert_array_equal(padded(TABLE, ids), rules.embedding(TABLE, ids))
    wanted = jax.vjp(rules.embedding, TABLE, ids)[1](dy)[0].at[1].set(0)
    assert wanted[0].all() and wanted[2].all()
    np.testing.assert_array_equal(jax.vjp(padded, TABLE, ids)[1](dy)[0], wanted)
    checks = ("structure", "linearity", "determinism", "jit", "vmap", "scan", "checkpoint", "residuals")
    jb.check(padded, TABLE, ids, only=checks)


def test_gradient_of_half_precision_is_summed_in_single():
    table, ids = jnp.zeros((2, 1), jnp.bfloat16), jnp.zeros(1000, int)
    gradient = jax.grad(lambda table: rules.embedding(table, ids).sum())(table)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(gradient.astype(float), [[1000.0], [0.0]])


@pytest.mark.parametrize("ids", [jnp.zeros((2, 0), int), jnp.zeros(4, jnp.uint8)])
def test_shapes_and_dtypes_of_the_numbers(ids):
    assert rules.embedding(TABLE, ids).shape == (*ids.shape, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((jnp.ones((3, 2), int), jnp.array([1])), TypeError, "embedding: table, wanted a floating point array"),
        ((jnp.ones(3), jnp.array([1])), ValueError, r"embedding: table, wanted shape \(rows, features\), got \(3,\)"),
        ((TABLE, jnp.array([1.0])), TypeError, "embedding: ids, wanted integers, got float32"),
        ((TABLE, jnp.array([0, 3])), ValueError, r"embedding: ids, wanted rows in \[0, 3\), got 0 to 3"),
        ((TABLE, jnp.array([-1])), ValueError, r"embedding: ids, wanted rows in \[0, 3\), got -1 to -1"),
        ((TABLE, jnp.array([0]), 3), ValueError, r"embedding: padding_index, wanted a row in \[0, 3\), got 3"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        rules.embedding(*arguments)


@pytest.mark.parametrize("seed", range(3))
def test_adding_rows_apart_from_the_table_is_adding_them_in_it(seed):
    ids = jax.random.randint(jax.random.key(seed), (9,), -3, 25)
    delta = jax.random.normal(jax.random.key(7), (9, 4), jnp.bfloat16)
    wanted = _added_up(ids, delta, 20).astype(delta.dtype)
    np.testing.assert_array_equal(jax.jit(_added_apart, static_argnames="count")(ids, delta, count=20), wanted)


def test_a_gradient_of_half_precision_needs_no_table_of_single_precision_on_an_accelerator(monkeypatch):
    monkeypatch.setattr(_factors, "may_be_spread", lambda array: False)  # as where there is one device

    def program(platform):
        table, ids = jnp.zeros((50, 7), jnp.bfloat16), jnp.arange(5)
        gradient = jax.jit(lambda table, dy: jax.vjp(lambda table: rules.embedding(table, ids), table)[1](dy))
        return jax.export.export(gradient, platforms=[platform])(table, table[:5]).mlir_module()

    for platform in ("cuda", "tpu"):
        assert "}) : (tensor<50x7x" not in program(
            platform
        )  # the table is written once, from sums of the rows looked up
        assert "}) : (tensor<5x7xf32>" in program(platform)
    assert "}) : (tensor<50x7xf32>" in program("cpu")
