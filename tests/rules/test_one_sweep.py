"""A loss and its gradients in one sweep are those of its two halves."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jbackprop import rules
from jbackprop.rules.losses import _linear_softmax_cross_entropy

FEATURES, CLASSES, IGNORED = 4, 7, 2


def sweep(*arguments):
    found = rules.sweep_of(rules.linear_softmax_cross_entropy)
    assert found is not None
    return found(*arguments)


@pytest.fixture(autouse=True)
def tiles_of_two_rows(monkeypatch):
    monkeypatch.setattr(_linear_softmax_cross_entropy, "_numbers", lambda: 2 * CLASSES)


def drawn(*batch, bias=True, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(len(batch)), 5)
    shapes = (*batch, FEATURES), (FEATURES, CLASSES), (CLASSES,), batch
    x, w, b, dvalues = (jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=False))
    return x, w, b if bias else None, jax.random.randint(keys[4], batch, 0, CLASSES), dvalues


def both(x, w, b, labels, dvalues):
    """The sweep, and value and gradients of the rule."""
    options = IGNORED, None, "nothing"

    @jax.jit
    def of_rule(x, w, b):
        values, pull = jax.vjp(lambda *a: rules.linear_softmax_cross_entropy(*a, labels, *options), x, w, b)
        return values, pull(dvalues)

    values, gradients = jax.jit(lambda *a: sweep(*options, *a))(x, w, b, labels, dvalues)
    assert gradients[-1] is None
    return (values, gradients[:-1]), of_rule(x, w, b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (5,), (3, 5)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_value_and_gradients_are_those_of_the_rule(dtype, batch, bias):
    with jax.enable_x64(dtype == "float64"):
        swept, wanted = both(*drawn(*batch, bias=bias, dtype=dtype))
    assert jax.tree.structure(swept) == jax.tree.structure(wanted)
    for got, right in zip(jax.tree.leaves(swept), jax.tree.leaves(wanted), strict=True):
        assert (got.shape, got.dtype) == (right.shape, right.dtype)
        got, right = (np.asarray(array, np.float64) for array in (got, right))
        np.testing.assert_allclose(got, right, rtol=0, atol=16 * float(jnp.finfo(dtype).eps) * np.abs(right).max())


def test_an_ignored_row_counts_for_nothing_and_a_label_that_names_no_class_is_not_a_number():
    x, w, b, labels, dvalues = drawn(5)
    labels = labels.at[:2].set(jnp.array([IGNORED, CLASSES]))
    program = jax.jit(lambda *a: sweep(IGNORED, None, "nothing", *a))
    values, (dx, *_) = program(x.at[0].set(jnp.nan), w, b, labels, dvalues)
    assert (float(values[0]), dx[0].tolist()) == (0, [0] * FEATURES)
    assert jnp.isnan(values[1]) and jnp.isnan(dx[1]).all() and jnp.isfinite(dx[2:]).all()


def test_on_a_mesh_each_device_sweeps_its_own_rows():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x, w, b, labels, dvalues = drawn(8, 3)
    rows = NamedSharding(mesh, PartitionSpec("data"))
    arguments = (*jax.device_put((x, w, b), (rows, None, None)), *jax.device_put((labels, dvalues), rows))
    program = jax.jit(lambda *a: sweep(None, None, "nothing", *a)).lower(*arguments).compile()
    assert not re.findall("all-gather|all-to-all|collective-permute", str(program.as_text()))
    swept = program(*arguments)
    assert swept[1][0].sharding.is_equivalent_to(rows, 3)
    wanted = jax.jit(lambda *a: sweep(None, None, "nothing", *a))(x, w, b, labels, dvalues)
    jax.tree.map(lambda got, right: np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5), swept, wanted)
