"""On a mesh no rule asks for what another device has, but for sums of gradients, which are those of one device."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jbackprop import rules
from jbackprop.cases import CASES, ON_PURPOSE
from jbackprop.functions import automatic, replaced

MESH = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
GATHERING = ("all-gather", "all-to-all", "collective-permute")


def normal(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def numbers(*shape, below):
    return jax.random.randint(jax.random.key(below), shape, 0, below)


def padding(size, counts):
    return (jnp.arange(size) >= counts).astype(int)


ATTENTION = partial(rules.dot_product_attention, is_causal=True)
LOSS = partial(rules.linear_softmax_cross_entropy, chunk=4)
# A rule, its arguments, and of those that are spread over the devices which axis.
PROGRAMS = {
    "linear": (rules.linear, (normal(8, 3, 4), normal(4, 5), normal(5)), {0: 0}),
    "linear, the second batch axis": (rules.linear, (normal(3, 8, 4), normal(4, 5), normal(5)), {0: 1}),
    "attention, examples": (
        ATTENTION,
        (normal(8, 6, 2, 4), normal(8, 6, 2, 4), normal(8, 6, 2, 5)),
        {0: 0, 1: 0, 2: 0},
    ),
    "attention, heads": (ATTENTION, (normal(2, 6, 8, 4), normal(2, 6, 8, 4), normal(2, 6, 8, 5)), {0: 2, 1: 2, 2: 2}),
    "convolution, groups": (
        partial(rules.conv, feature_group_count=3),
        (normal(8, 7, 5, 3), normal(3, 2, 1, 6), normal(6)),
        {0: 0},
    ),
    "convolution, depthwise in space": (
        partial(rules.conv, feature_group_count=2),
        (normal(8, 4, 5, 3, 2), normal(3, 2, 2, 1, 2), normal(2)),
        {0: 0},
    ),
    "max_pool": (partial(rules.max_pool, window_shape=(2, 2), strides=(2, 2)), (normal(8, 6, 4, 3),), {0: 0}),
    "cross-entropy": (rules.softmax_cross_entropy, (normal(8, 7), numbers(8, below=7)), {0: 0, 1: 0}),
    "output layer and loss, examples": (
        LOSS,
        (normal(8, 3), normal(3, 10), normal(10), numbers(8, below=10)),
        {0: 0, 3: 0},
    ),
    "ctc": (
        rules.ctc,
        (
            normal(8, 6, 5),
            padding(6, 4 + numbers(8, 1, below=3)),
            1 + numbers(8, 2, below=4),
            padding(2, 1 + numbers(8, 1, below=2)),
        ),
        {0: 0, 1: 0, 2: 0, 3: 0},
    ),
    "layer_norm": (rules.layer_norm, (normal(8, 3, 6), normal(6), normal(6)), {0: 0}),
    "embedding": (rules.embedding, (normal(9, 4), numbers(8, 3, below=9)), {1: 0}),
    "rnn": (rules.rnn, (normal(8, 5, 4), normal(4, 3), normal(3, 3), normal(3), normal(8, 3)), {0: 0, 4: 0}),
}


def problem(name):
    """A number that a rule's outputs make, by which of its arguments to differentiate, these, and how they lie."""
    rule, arguments, spread = PROGRAMS[name]
    places = tuple(i for i, array in enumerate(arguments) if jnp.issubdtype(array.dtype, jnp.floating))
    return lambda *arrays: sum(jnp.sin(out).sum() for out in jax.tree.leaves(rule(*arrays))), places, arguments, spread


def placed(arguments, spread, mesh):
    """The arguments over the devices, those that are spread along one axis."""
    places = [PartitionSpec(*[None] * spread[i], "data") if i in spread else None for i in range(len(arguments))]
    return [
        jax.device_put(array, NamedSharding(mesh, place or PartitionSpec()))
        for array, place in zip(arguments, places, strict=True)
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_on_a_mesh_gather_nothing_and_are_those_of_one_device(name):
    total, places, arguments, spread = problem(name)
    on_mesh = placed(arguments, spread, MESH)
    program = jax.jit(jax.grad(total, places)).lower(*on_mesh).compile()
    assert not re.findall("|".join(GATHERING), str(program.as_text()))
    wanted = jax.jit(jax.grad(total, places))(*arguments)
    for i, got, right in zip(places, program(*on_mesh), wanted, strict=True):
        assert jnp.allclose(got, right, rtol=1e-4, atol=1e-5), arguments[i].shape
        assert got.sharding.is_equivalent_to(on_mesh[i].sharding, got.ndim)


EXPLICIT = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_on_an_explicit_mesh_are_those_of_one_device(name):
    total, places, arguments, spread = problem(name)
    with jax.set_mesh(EXPLICIT):
        on_mesh = placed(arguments, spread, EXPLICIT)
        got = jax.jit(jax.value_and_grad(total, places))(*on_mesh)
    wanted = jax.jit(jax.value_and_grad(total, places))(*arguments)
    for found, right in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert jnp.allclose(jax.device_get(found), right, rtol=1e-4, atol=1e-5)
    for i, gradient in zip(places, got[1], strict=True):
        assert gradient.sharding.is_equivalent_to(on_mesh[i].sharding, gradient.ndim)


ONE = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:1])
WITHOUT_LIMITS = ("rnn", "gru", "lstm", "ctc", "attention", "fixed_point")


def _spread(case, how):
    """The case's arguments, but for keys, of which the first, those that begin as it does, or all are spread."""
    arguments = jax.eval_shape(case.draw, jax.random.key(0))
    leading = next(array.shape[:1] for array in arguments if jnp.issubdtype(array.dtype, jnp.floating))

    def placed(i, array):
        chosen = {"first": i == 0, "examples": array.shape[:1] == leading, "all": True}[how]
        if not chosen or not array.shape or array.dtype == jnp.uint32:
            return array
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=NamedSharding(ONE, PartitionSpec("data")))

    return [placed(i, array) for i, array in enumerate(arguments)]


def layout(array):
    return array.sharding.spec if array.sharding else ()


def _refuses(rule, arguments):
    """What it raises, of the value and of the gradients."""
    places = [i for i, array in enumerate(arguments) if jnp.issubdtype(array.dtype, jnp.floating)]

    def gradients(*arrays):
        out, pull = jax.vjp(lambda *chosen: rule(*replaced(arrays, places, chosen)), *(arrays[i] for i in places))
        return pull(jax.tree.map(jnp.cos, out))

    try:
        found = jax.eval_shape(gradients, *arguments)
    except Exception as error:
        return error
    for i, gradient in zip(places, found, strict=True):
        assert list(filter(None, layout(gradient))) == list(filter(None, layout(arguments[i])))
    return None


@pytest.mark.parametrize("case", (*CASES, *ON_PURPOSE), ids=lambda case: case.name)
@pytest.mark.parametrize("how", ["first", "examples", "all"])
def test_on_an_explicit_mesh_of_one_device_a_rule_takes_what_jax_takes(case, how):
    with jax.set_mesh(ONE):
        arguments = _spread(case, how)
        error = _refuses(case.rule, arguments)
        if error is not None:
            assert case.rule_name not in WITHOUT_LIMITS, error
            assert _refuses(case.reference, arguments), error
            assert _refuses(automatic(case.rule), arguments), error
