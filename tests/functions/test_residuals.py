"""What a forward pass keeps is known for these functions, written out by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import rules
from jbackprop.functions import differentiable, draw_cotangents, new_bytes, passes

KEY = jax.random.key(7)
X = jax.random.normal(KEY, (5, 3))
W = jax.random.normal(jax.random.fold_in(KEY, 1), (3, 7))
B = jnp.arange(7.0)
LABELS = jnp.array([2, 0, 1, 2, 0])


@jax.custom_vjp
def hoarder(x):
    return 2 * x


hoarder.defvjp(
    lambda x: (2 * x, (x, jnp.exp(x), x > 0, x.astype(jnp.bfloat16), x.sum(axis=0))), lambda kept, dy: (2 * dy,)
)


def listed(f, *args, **options):
    return [(r.kind, r.shape, r.dtype, r.bytes) for r in jb.residuals(f, *args, **options)]


def test_every_array_is_listed_with_its_bytes():
    assert listed(hoarder, X) == [
        ("argument", (5, 3), "float32", 60),
        ("computed", (5, 3), "float32", 60),
        ("computed", (5, 3), "bool", 15),
        ("computed", (5, 3), "bfloat16", 30),
        ("computed", (3,), "float32", 12),
    ]
    assert new_bytes(jb.residuals(hoarder, X)) == 60 + 15 + 30 + 12


def test_an_output_that_is_kept_is_no_new_memory():
    (kept,) = jb.residuals(rules.softmax, X)
    assert (kept.kind, kept.shape, new_bytes([kept])) == ("output", (5, 3), 0)


def test_arguments_are_named_after_the_signature():
    assert [r.name for r in jb.residuals(rules.linear, X, W, B)] == ["x", "w", "b"]


def test_arguments_in_trees_are_named_by_their_path():
    def layer(params, x):
        return x @ params["w"]

    assert {r.name for r in jb.residuals(layer, {"w": W}, X)} == {"params['w']", "x"}


def test_a_closed_over_array_is_a_constant():
    assert listed(lambda x: x @ W, X) == [("constant", (3, 7), "float32", 84)]


def test_a_number_in_the_program_is_no_residual():
    assert listed(lambda x: 3.0 * x, X) == []


def test_a_jitted_function_hides_nothing():
    assert listed(jax.jit(hoarder), X) == listed(hoarder, X)
    assert listed(jax.jit(lambda x: jax.jit(rules.softmax)(x)), X) == listed(rules.softmax, X)


def test_an_array_that_is_kept_twice_is_listed_once():
    @jax.custom_vjp
    def twice(x):
        return 2 * x

    def forward(x):
        y = jnp.exp(x)
        return 2 * x, (y, {"again": y})

    twice.defvjp(forward, lambda kept, dy: (2 * dy,))
    assert listed(twice, X) == [("computed", (5, 3), "float32", 60)]


def test_a_scan_keeps_one_slice_for_each_step():
    def unrolled(w, x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c @ w), None), x, None, length=4)[0]

    stacked = [r.shape for r in jb.residuals(unrolled, W[:, :3], X) if r.kind == "computed"]
    assert (4, 5, 3) in stacked


def test_checkpoint_keeps_the_arguments_alone():
    def block(w, x):
        return jnp.tanh(jnp.tanh(x @ w) @ w)

    assert {r.kind for r in jb.residuals(jax.checkpoint(block), W[:, :3], X)} == {"argument"}
    assert new_bytes(jb.residuals(block, W[:, :3], X)) > 0


def test_shapes_are_enough():
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (X, W, B)]
    assert listed(rules.linear, *shapes) == listed(rules.linear, X, W, B)


def test_wrt_leaves_out_what_the_other_gradients_want():
    assert listed(lambda x, w: x @ w, X, W, wrt=0) == [("argument", (3, 7), "float32", 84)]
    assert listed(lambda x, w: x @ w, X, W, wrt=(1,)) == [("argument", (5, 3), "float32", 60)]


FUNCTIONS = {
    "our rule": (rules.linear, (X, W, B)),
    "a rule inside": (lambda x, w, b: jax.nn.gelu(rules.linear(x, w, b)), (X, W, B)),
    "integers": (rules.softmax_cross_entropy, (X, LABELS)),
    "a key": (lambda key, x: x * jax.random.normal(key, x.shape), (KEY, X)),
    "a tree": (lambda p, x: jnp.tanh(x @ p["w"]) + p["b"], ({"w": W, "b": B}, X)),
    "two outputs and an integer": (lambda x: {"a": jnp.sin(x), "b": x.sum(), "n": LABELS}, (X,)),
    "constant": (lambda x: jnp.exp(x @ W), (X,)),
    "jit": (jax.jit(lambda x: jnp.exp(jax.jit(jnp.sin)(x)) * x), (X,)),
    "jax.nn": (jax.nn.log_softmax, (X,)),
    "optax": (optax.softmax_cross_entropy_with_integer_labels, (X, LABELS)),
    "complex": (lambda x: jnp.exp(1j * x), (X.astype(jnp.complex64),)),
    "empty": (rules.softplus, (X[:0],)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_two_passes_are_the_gradient(name):
    f, args = FUNCTIONS[name]
    problem = differentiable(f, *args)
    cotangents = draw_cotangents(jax.eval_shape(problem.primal, *problem.leaves), KEY)

    @jax.jit
    def in_one(leaves, cotangents):
        outputs, pullback = problem.vjp(*leaves)
        return [*outputs, *pullback(cotangents)]

    two = passes(problem)
    out, kept = jax.jit(two.forward)(*problem.leaves)
    got = jax.jit(two.backward)(two.borrow(problem.leaves, out), kept, cotangents)
    assert sum(array.nbytes for array in kept) == new_bytes(two.residuals)
    for a, b in zip([*out, *got], in_one(problem.leaves, cotangents), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(jb.residuals, rules.softmax, LABELS), "a floating-point array"),
        (partial(jb.residuals, rules.linear, X, W, wrt=2), "wrt, wanted names or positions among x, w, got 2"),
        (partial(jb.residuals, rules.softmax_cross_entropy, X, LABELS, wrt=1), r"wrt, .* got 1 \(labels\)"),
        (partial(jb.residuals, lambda x: x > 0, X), "a function with a floating-point output"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
