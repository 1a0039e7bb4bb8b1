"""What the table of cases leaves out of attention: `jax.nn`, bad input, empty sequences, masked rows, halves."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import rules
from jbackprop.rules.attention import _cudnn

QUERY, KEY, VALUE = (
    jax.random.normal(jax.random.key(seed), shape)
    for seed, shape in enumerate([(2, 7, 4, 3), (2, 5, 2, 3), (2, 5, 2, 3)])
)


def _pulled(attention, *arguments, **options):
    """The output, and the gradients for a random cotangent."""
    out, pull = jax.jit(lambda *a: jax.vjp(lambda *a: attention(*a, **options), *a))(*arguments)
    return out, *pull(jax.random.normal(jax.random.key(7), out.shape, out.dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"is_causal": True, "local_window_size": (2, 1), "scale": 0.7},
        {"bias": jax.random.normal(jax.random.key(3), (2, 4, 7, 5)), "local_window_size": 3},
        {"bias": jax.random.normal(jax.random.key(4), (7, 5)), "mask": jnp.tri(7, 5, 3, dtype=bool)},
        {"query_seq_lengths": jnp.array([4, 7]), "key_value_seq_lengths": jnp.array([5, 2])},
    ],
    ids=lambda options: ", ".join(options),
)
def test_agrees_with_jax(options):
    wanted = _pulled(jax.nn.dot_product_attention, QUERY, KEY, VALUE, **options)
    got = _pulled(rules.dot_product_attention, QUERY, KEY, VALUE, **options, block_size=3)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


def test_memory_grows_with_the_sequence_not_with_its_square():
    def temporary_bytes(time):
        x = jax.ShapeDtypeStruct((1, time, 2, 8), jnp.float32)
        total = jax.grad(lambda *a: rules.dot_product_attention(*a, is_causal=True, block_size=64).sum(), (0, 1, 2))
        memory = jax.jit(total).lower(x, x, x).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert temporary_bytes(4096) < 9 * temporary_bytes(512)


def test_masked_rows_give_zero_and_get_zero():
    mask = jnp.ones((2, 1, 7, 5), bool).at[1, 0, 4].set(False)
    out, dquery, *_ = _pulled(lambda q, k, v: rules.dot_product_attention(q, k, v, None, mask), QUERY, KEY, VALUE)
    assert not out[1, 4].any() and not dquery[1, 4].any()
    assert out[1, 3].all() and dquery[1, 3].all()


@pytest.mark.parametrize(("time", "source", "batch"), [(0, 5, 2), (7, 0, 2), (7, 5, 0)])
def test_empty_sequences_and_batches(time, source, batch):
    arguments = QUERY[:batch, :time], KEY[:batch, :source], VALUE[:batch, :source]
    arguments = (*arguments, jnp.ones((batch, 1, time, source)))
    out, *gradients = _pulled(rules.dot_product_attention, *arguments)
    assert out.shape == arguments[0].shape
    for gradient, argument in zip(gradients, arguments, strict=True):
        assert gradient.shape == argument.shape
    assert not any(array.any() for array in (out, *gradients))


def test_half_precision_is_accumulated_in_single():
    half = [array.astype(jnp.bfloat16) for array in (QUERY, KEY, VALUE)]
    wanted = _pulled(rules.dot_product_attention, *[array.astype(jnp.float32) for array in half])
    got = _pulled(rules.dot_product_attention, *half)
    assert {array.dtype for array in got} == {jnp.dtype(jnp.bfloat16)}
    np.testing.assert_allclose(got[0], wanted[0], rtol=2**-8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": QUERY[0, 0]}, ValueError, "query, wanted shape"),
        ({"query": QUERY[:, :, :3]}, ValueError, "query, wanted a multiple of 2 heads .* got 3"),
        ({"key": KEY[:1]}, ValueError, "key, wanted the batch axes and the depth of the query"),
        ({"value": VALUE[:, :4]}, ValueError, "value, wanted shape"),
        ({"value": jnp.ones(VALUE.shape, int)}, TypeError, "value, wanted a floating point array, got int32"),
        ({"bias": jnp.ones((2, 2, 7, 5))}, ValueError, "bias, wanted a shape that broadcasts to"),
        ({"mask": jnp.ones((7, 4), bool)}, ValueError, "mask, wanted a shape that broadcasts to"),
        ({"mask": jnp.ones((1, 1, 7, 5))}, TypeError, "mask, wanted booleans, got float32"),
        ({"query_seq_lengths": jnp.array([7, 8])}, ValueError, r"query_seq_lengths, wanted lengths in \[0, 7\]"),
        ({"key_value_seq_lengths": jnp.array([5])}, ValueError, "key_value_seq_lengths, wanted shape"),
        ({"key_value_seq_lengths": jnp.ones(2)}, TypeError, "key_value_seq_lengths, wanted integers"),
        ({"local_window_size": (-1, 2)}, ValueError, "local_window_size, wanted numbers that are not negative"),
        ({"block_size": 0}, ValueError, "block_size, wanted at least 1"),
    ],
)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        rules.dot_product_attention(**{"query": QUERY, "key": KEY, "value": VALUE, **change})


def test_tiles_without_number_are_refused():
    array = jax.ShapeDtypeStruct((10**5, 2, 4), jnp.float32)
    message = r"block_size, wanted at least some 98 \(at most 1048576 tiles\), got 1"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: rules.dot_product_attention(x, x, x, block_size=1), array)


@pytest.mark.parametrize("filling", [jnp.nan, jnp.inf])
def test_whatever_fills_what_is_beyond_the_lengths_counts_for_nothing(filling):
    queries, keys = jnp.array([4, 7]), jnp.array([5, 2])

    def filled(x, lengths, filling):
        return jnp.where(jnp.arange(x.shape[1])[:, None, None] < lengths[:, None, None, None], x, filling)

    def pulled(filling):
        lengths = {"query_seq_lengths": queries, "key_value_seq_lengths": keys}
        out, pull = jax.vjp(
            lambda *a: rules.dot_product_attention(*a, **lengths),
            *(filled(x, n, filling) for x, n in ((QUERY, queries), (KEY, keys), (VALUE, keys))),
        )
        return out, pull(filled(jnp.ones_like(out), queries, filling))

    jax.tree.map(np.testing.assert_array_equal, pulled(filling), pulled(0))


def test_few_keys_lose_no_digits_in_the_backward_pass():
    arrays = [
        2 * jax.random.normal(jax.random.key(seed), (2, time, 4, 32)) for seed, time in enumerate((256, 8, 8, 256))
    ]
    twin = jb.automatic(rules.dot_product_attention)

    def dvalue(attention, dtype):
        *inputs, dout = (jnp.asarray(array, dtype) for array in arrays)
        return np.asarray(jax.jit(lambda *a: jax.vjp(attention, *a)[1](dout)[2])(*inputs), np.float64)

    with jax.enable_x64(True):
        wanted = dvalue(twin, jnp.float64)
    errors = [
        np.abs(dvalue(attention, jnp.float32) - wanted).max() for attention in (rules.dot_product_attention, twin)
    ]
    assert errors[0] < 1.2 * errors[1]


def test_an_implementation_says_why_it_cannot_be():
    with pytest.raises(ValueError, match="wanted an NVIDIA GPU as JAX's default device, not cpu for 'cudnn'"):
        rules.dot_product_attention(QUERY, KEY, VALUE, implementation="cudnn")
    with pytest.raises(ValueError, match="implementation, wanted 'xla', 'cudnn' or None, got 'flash'"):
        rules.dot_product_attention(QUERY, KEY, VALUE, implementation="flash")


H200 = SimpleNamespace(device_kind="NVIDIA H200", compute_capability="9.0")
LONG = jnp.zeros((2, 64, 4, 16), jnp.bfloat16)
LONG_AND_ODD = jnp.zeros((2, 65, 4, 16), jnp.bfloat16)
REFUSED = {
    "bfloat16": {"query": LONG.astype(jnp.float32)},
    "a multiple of 8 up to 256": dict.fromkeys(("query", "key", "value"), LONG[..., :12]),
    "at least 64": {"key": LONG[:, :63], "value": LONG[:, :63]},
    "a bias in the query's dtype": {"bias": jnp.zeros((64, 64))},
    "of even length": {"query": LONG_AND_ODD, "mask": jnp.ones((65, 64), bool)},
    "for at most": {"mask": jnp.ones((2, 4, 1, 1), bool)},
    "no local_window_size": {"local_window_size": 3},
    "in equal sequences": {"query": LONG_AND_ODD, "local_window_size": (3, 0)},
    "without key lengths": {"local_window_size": (3, 0), "key_value_seq_lengths": jnp.array([3, 64])},
    "no block_size": {"block_size": 16},
    "empty": dict.fromkeys(("query", "key", "value"), LONG[:0]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_cudnn_is_not_chosen_for_what_it_cannot_take(reason, monkeypatch):
    monkeypatch.setattr(_cudnn, "_device", lambda: H200)
    monkeypatch.setattr(_cudnn, "_OLDEST", (0, 10))
    monkeypatch.setattr(_cudnn, "_MOST_LOGITS", 2**14)
    given: dict[str, Any] = {"query": LONG, "key": LONG, "value": LONG, **REFUSED[reason]}
    with pytest.raises(ValueError, match=reason):
        rules.dot_product_attention(**given, implementation="cudnn")
    assert rules.dot_product_attention(**given).shape == given["query"].shape


MASK = jax.random.bernoulli(jax.random.key(5), 0.6, (2, 1, 7, 5)).at[1, 0, 3].set(False)
KERNEL_OPTIONS = {
    "causal": {"is_causal": True},
    "bias": {"bias": jax.random.normal(jax.random.key(3), (4, 7, 5)).at[:, 2].set(-jnp.inf)},
    "mask": {"mask": MASK},
    "bias and mask": {"bias": jax.random.normal(jax.random.key(3), (1, 1, 7, 1)), "mask": MASK},
    "lengths": {"query_seq_lengths": jnp.array([4, 0]), "key_value_seq_lengths": jnp.array([5, 2])},
    "lengths and causal mask": {
        "mask": MASK[0, 0],
        "key_value_seq_lengths": jnp.array([3, 5], jnp.uint8),
        "is_causal": True,
    },
}


_LENGTHS = "query_seq_lengths", "key_value_seq_lengths"


def _with_jax_in_the_kernels_place(monkeypatch, calls):
    def kernels(query, key, value, bias, mask, *lengths, **options):
        calls.append(query.dtype)
        ends = {name: each for name, each in zip(_LENGTHS, lengths, strict=True) if each is not None}
        assert not any((each < 1).any() for each in ends.values() if not isinstance(each, jax.core.Tracer))
        ends = {name: each.astype(jnp.int32) for name, each in ends.items()}
        out = jax.nn.dot_product_attention(query, key, value, bias, mask, implementation="xla", **ends, **options)
        if lengths[0] is None:
            return out
        counts = jnp.arange(query.shape[1]) < lengths[0][:, None]  # what cuDNN does not write may hold anything
        return jnp.where(counts[..., None, None], out, jnp.nan)

    monkeypatch.setattr(_cudnn, "_kernels", kernels)
    monkeypatch.setattr(_cudnn, "refusal", lambda *_: "")


@pytest.mark.parametrize("options", KERNEL_OPTIONS.values(), ids=KERNEL_OPTIONS)
def test_the_kernels_are_asked_for_what_the_tiles_compute(options, monkeypatch):
    """Of queries that see no key they may make anything, and what fills a padded key may be anything."""
    _with_jax_in_the_kernels_place(monkeypatch, [])
    key, value = (x.at[1, 4].set(jnp.nan) if "query_seq_lengths" in options else x for x in (KEY, VALUE))
    got = _pulled(rules.dot_product_attention, QUERY, key, value, **options)
    wanted = _pulled(partial(rules.dot_product_attention, implementation="xla"), QUERY, key, value, **options)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("side", [2, (2, 0)])
def test_the_kernels_see_a_window_to_the_left(side, monkeypatch):
    _with_jax_in_the_kernels_place(monkeypatch, [])
    options = {"local_window_size": side, "is_causal": isinstance(side, int)}
    got, wanted = (
        _pulled(partial(rules.dot_product_attention, implementation=each), KEY, KEY, VALUE, **options)
        for each in (None, "xla")
    )
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_the_gradient_of_a_bias_comes_from_the_kernels(monkeypatch):
    _with_jax_in_the_kernels_place(monkeypatch, [])
    bias = jax.random.normal(jax.random.key(3), (4, 1, 5)).at[1].set(-jnp.inf)

    def gradient(bias, implementation):
        y = rules.dot_product_attention(QUERY, KEY, VALUE, bias, MASK, implementation=implementation)
        return (y * jax.random.normal(jax.random.key(8), y.shape)).sum()

    got, wanted = (jax.grad(gradient)(bias, each) for each in (None, "xla"))
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


def test_the_halves_of_a_kernel_hold_together_and_have_the_second_derivatives_of_the_tiles(monkeypatch):
    """With JAX's own attention in the kernel's place, which has none of its limits but on derivatives of its halves."""
    calls: list[Any] = []
    _with_jax_in_the_kernels_place(monkeypatch, calls)
    only = ("structure", "gradient", "linearity", "jit", "vmap", "scan", "checkpoint", "second order", "residuals")
    attention = partial(rules.dot_product_attention, is_causal=True)
    bias, lengths = jax.random.normal(jax.random.key(3), (4, 7, 5)), jnp.array([7, 3])
    given = QUERY, KEY, VALUE, bias, None, lengths
    assert jb.check(attention, *given, only=only, dtypes=("float64", "float32")).passed
    assert {str(dtype) for dtype in calls} == {"float64", "float32"}
