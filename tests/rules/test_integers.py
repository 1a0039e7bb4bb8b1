"""Integers in every dtype: class numbers, rows, lengths and positions mean the same in few bits as in many."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import rules
from jbackprop.cases import CASES, Case

DTYPES = ("int8", "uint8", "int16", "uint16")


def _narrowed(argument, dtype):
    """Integers in another dtype, if it holds them."""
    narrow = argument.astype(dtype) if jnp.issubdtype(argument.dtype, jnp.integer) else argument
    return narrow if np.array_equal(narrow, argument) else argument


def _has_integers(case):
    """A random key is no number, and needs all its bits."""
    drawn = jax.eval_shape(case.draw, jax.random.key(0))
    return case.rule_name != "dropout" and any(jnp.issubdtype(argument.dtype, jnp.integer) for argument in drawn)


WITH_INTEGERS = list(filter(_has_integers, CASES))


@pytest.mark.parametrize("case", WITH_INTEGERS, ids=lambda case: case.name)
def test_every_dtype_that_holds_the_numbers_gives_the_same_bits(case: Case):
    arguments = jax.device_get(case.draw(jax.random.key(2)))
    numbers = [[_narrowed(argument, dtype) for argument in arguments] for dtype in DTYPES]
    kinds = {str([argument.dtype for argument in narrow]): narrow for narrow in (arguments, *numbers)}
    wanted, *found = (_value_and_gradients(case.rule, arguments) for arguments in kinds.values())
    for got in found:
        jax.tree.map(np.testing.assert_array_equal, got, wanted)


def _value_and_gradients(rule, arguments):
    floating = [i for i, argument in enumerate(arguments) if jnp.issubdtype(argument.dtype, jnp.floating)]

    def value_and_gradients(*arguments):
        def of_floating(*chosen):
            places = dict(zip(floating, chosen, strict=True))
            return rule(*(places.get(i, argument) for i, argument in enumerate(arguments)))

        out, pull = jax.vjp(of_floating, *(arguments[i] for i in floating))
        return out, pull(jax.tree.map(jnp.ones_like, out))

    return jax.jit(value_and_gradients)(*arguments)


def _normal(*shape):
    return jax.random.normal(jax.random.key(0), shape)


def _labelled(rule, classes, **options):
    return lambda labels: rule(_normal(3, classes), labels, **options)


def _recurrent(rule, gates, time=300):
    x, w, u = _normal(3, time, 2), _normal(2, 2 * gates), _normal(2, 2 * gates)
    return lambda lengths: rule(x, w, u, seq_lengths=lengths)[1]


def _attending(name):
    x = _normal(3, 300, 1, 2)
    return lambda lengths: rules.dot_product_attention(x, x, x, **{name: lengths})


def _ctc(labels):
    logits, blank = _normal(3, 4, 257), 256
    return rules.ctc(logits, jnp.zeros((3, 4)), labels[:, None], jnp.zeros((3, 1)), blank_id=blank)


WIDE = {
    "softmax_cross_entropy": _labelled(rules.softmax_cross_entropy, 256),
    "softmax_cross_entropy, ignoring": _labelled(rules.softmax_cross_entropy, 256, ignore_index=-100),
    "softmax_cross_entropy, weighted": _labelled(rules.softmax_cross_entropy, 300, weights=_normal(300)),
    "linear_softmax_cross_entropy": lambda labels: rules.linear_softmax_cross_entropy(
        _normal(3, 2), _normal(2, 1027), None, labels, chunk=512
    ),
    "linear_softmax_cross_entropy, ignoring": lambda labels: rules.linear_softmax_cross_entropy(
        _normal(3, 2), _normal(2, 256), None, labels, ignore_index=-100
    ),
    "multiclass_hinge": _labelled(rules.multiclass_hinge, 300),
    "nt_xent": lambda labels: rules.nt_xent(_normal(3, 2), labels),
    "ctc": _ctc,
    "embedding": partial(rules.embedding, _normal(256, 2)),
    "rotary_embedding": partial(rules.rotary_embedding, _normal(3, 2, 4)),
    "rnn": _recurrent(rules.rnn, 1),
    "gru": _recurrent(rules.gru, 3),
    "lstm": _recurrent(rules.lstm, 4),
    "attention, queries": _attending("query_seq_lengths"),
    "attention, keys": _attending("key_value_seq_lengths"),
}


@pytest.mark.parametrize("rule", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize(
    ("transform", "dtype", "numbers"),
    [(jax.jit, "uint8", (156, 255, 1)), (jax.jit, "int8", (127, 0, 1)), (partial, "uint8", (156, 255, 1))],
    ids=["jit, uint8", "jit, int8", "eager, uint8"],
)
def test_what_stands_beside_the_numbers_may_be_larger_than_their_dtype(rule, transform, dtype, numbers):
    got, wanted = (transform(rule)(jnp.array(numbers, kind)) for kind in (dtype, "int32"))
    np.testing.assert_array_equal(got, wanted)


def test_number_beyond_the_largest_signed_one_names_nothing():
    labels = jnp.array([2**32 - 1, 1], jnp.uint32)
    losses = jax.jit(partial(rules.softmax_cross_entropy, ignore_index=-1))(_normal(2, 3), labels)
    assert jnp.isnan(losses).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_gradient_of_a_table_reaches_every_row(dtype):
    gradient = jax.grad(lambda table: rules.embedding(table, jnp.array([255, 3, 255], dtype)).sum())(_normal(300, 1))
    assert (gradient[255], gradient[3], gradient.sum()) == (2, 1, 3)
