"""The figures are right where the answer is known; speed itself is asserted nowhere."""

import importlib.util
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

import jbackprop as jb
from jbackprop import rules
from jbackprop.comparison import _targets

KEY = jax.random.key(3)
X = jax.random.normal(KEY, (5, 3))
W = jax.random.normal(jax.random.fold_in(KEY, 1), (3, 7))
B = jnp.arange(7.0)
LABELS = jnp.array([2, 0, 1, 2, 0])

compare = partial(jb.compare, repeats=2)


@jax.custom_vjp
def scaled(x):
    return jnp.sin(x)


scaled.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (1.001 * dy * jnp.cos(x),))


@pytest.fixture(scope="module")
def found():
    return compare(rules.linear, X, W, B)


def test_a_right_rule_is_within_a_few_roundings(found):
    assert [e.of for e in found.manual.errors] == ["value", "∂x", "∂w", "∂b"]
    assert found.manual.roundings < 8
    assert found.agrees


def test_a_factor_of_1_001_shows():
    found = compare(scaled, X)
    value, gradient = found.manual.errors
    assert value.roundings < 8
    assert gradient.relative == pytest.approx(1e-3, rel=0.01)
    assert gradient.roundings == pytest.approx(1e-3 / float(jnp.finfo(jnp.float32).eps), rel=0.01)
    assert found.automatic.roundings < 8
    assert not found.agrees
    assert "DISAGREES" in str(found)


def test_a_wrong_forward_shows_against_a_reference():
    found = compare(lambda x: 1.001 * jnp.sin(x), X, reference=jnp.sin)
    assert not found.agrees
    assert found.automatic.label == "reference"


def square(at_zero):
    """x² as √(x⁴), whose automatic gradient is NaN at 0."""

    @jax.custom_vjp
    def square(x):
        return jnp.sqrt(x**4)

    square.defvjp(lambda x: (square(x), x), lambda x, dy: (dy * jnp.where(x == 0, at_zero, 2 * x),))
    return square


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(("at_zero", "right"), [(0.0, True), (5.0, False), (jnp.nan, True)])
def test_an_automatic_gradient_of_nan_is_no_truth(at_zero, right, dtype):
    found = compare(square(at_zero), X.at[1:3, 1].set(0), dtype=dtype)
    assert found.agrees == right
    assert (found.manual.errors[1].roundings < 8) == (at_zero == 0)
    assert found.automatic.errors[1].roundings == jnp.inf
    assert "the automatic gradient ∂x is NaN at 2 of 15 entries: finite differences judge" in str(found)


def test_at_a_kink_whose_automatic_gradient_is_nan_every_slope_between_is_right():
    @jax.custom_vjp
    def length(x):
        return jnp.sqrt(x**2)

    length.defvjp(lambda x: (length(x), x), lambda x, dy: (dy * jnp.sign(x),))
    found = compare(length, X.at[0].set(0))
    assert found.agrees and found.manual.roundings < 8


def test_memory_is_what_the_arrays_take(found):
    x, w, b, y = 60, 84, 28, 140
    assert found.manual.forward.program.argument_bytes == x + w + b
    assert y <= found.manual.forward.program.output_bytes <= y + 8  # XLA may add a table of pointers
    assert found.manual.backward.program.argument_bytes in (x + w + y, x + w + b + y)  # b gives its dtype alone
    assert found.manual.whole.program.argument_bytes == x + w + b + y
    assert found.manual.whole.program.flops >= 2 * 3 * 5 * 3 * 7


def test_residuals_and_their_difference():
    found = compare(rules.softmax, X)
    assert [r.kind for r in found.manual.residuals] == ["output"]
    assert found.manual.residual_bytes == 0 < found.automatic.residual_bytes
    assert found.only_manual() == found.manual.residuals
    assert found.only_automatic() == found.automatic.residuals
    same = compare(rules.softmax, X, reference=rules.softmax)
    assert same.only_manual() == same.only_automatic() == ()


def test_times_are_positive_and_labelled(found):
    for side in (found.manual, found.automatic):
        for stage in (side.forward, side.backward, side.whole):
            assert 0 < stage.seconds.low <= stage.seconds.middle <= stage.seconds.high
            assert stage.program.compile_seconds > 0
    assert found.device.startswith(jax.devices()[0].platform)
    assert jax.__version__ in found.versions


def test_arguments_are_described(found):
    assert found.arguments == ("x* float32[5,3]", "w* float32[3,7]", "b* float32[7]")
    assert compare(rules.softmax_cross_entropy, X, LABELS).arguments[1] == "labels int32[5]"


def test_wrt_chooses_the_gradients():
    for wrt in [(0, 2), ("x", "b")]:
        found = compare(rules.linear, X, W, B, wrt=wrt)
        assert [e.of for e in found.manual.errors] == ["value", "∂x", "∂b"]


def test_a_python_number_is_an_option():
    found = compare(jnp.power, X**2, 3)
    assert found.arguments == ("x1* float32[5,3]",)
    assert found.agrees


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", jnp.complex64])
def test_every_floating_dtype(dtype):
    found = compare(jnp.sin, X, reference=jnp.sin, dtype=dtype)
    assert found.arguments == (f"x* {jnp.dtype(dtype)}[5,3]",)
    assert found.agrees
    assert found.manual.roundings < 8
    assert not jax.config.read("jax_enable_x64")


@pytest.mark.parametrize(("transform", "step"), [("vmap", (3,)), ("scan", (3,)), ("checkpoint", (5, 3))])
def test_transformations(transform, step):
    seen = []

    def f(x):
        seen.append(x.shape)
        return rules.softmax(x)

    found = compare(f, X, transform=transform)
    assert set(seen) == {step}
    assert found.agrees
    assert found.title == f"{transform} of f"


def test_any_function_of_functions_is_a_transformation():
    found = compare(rules.linear, X, W, transform=lambda f: jax.vmap(f, in_axes=(0, None)))
    assert found.agrees


def test_a_sweep_has_one_comparison_for_each_size():
    sweep = compare(rules.softmax, lambda n: jnp.ones((n, 3)), sizes=[4, 16])
    assert [c.size for c in sweep.comparisons] == [4, 16]
    assert [c.arguments for c in sweep.comparisons] == [(f"x* float32[{n},3]",) for n in (4, 16)]
    assert sweep.comparisons[0].title == "softmax, n = 4"


NOBODYS = {
    "gelu": (jax.nn.gelu, (X,)),
    "silu": (jax.nn.silu, (X,)),
    "softmax": (jax.nn.softmax, (X,)),
    "logsumexp": (jax.nn.logsumexp, (X,)),
    "relu6": (jax.nn.relu6, (X,)),
    "standardize": (jax.nn.standardize, (X,)),
    "logaddexp": (jnp.logaddexp, (X, 2 * X)),
    "huber": (optax.huber_loss, (X, 3 * X)),
    "cosine": (optax.cosine_distance, (X, jnp.cos(X))),
    "cross entropy": (optax.softmax_cross_entropy_with_integer_labels, (X, LABELS)),
    "sigmoid cross entropy": (optax.sigmoid_binary_cross_entropy, (X, jax.nn.sigmoid(2 * X))),
    "log cosh": (optax.log_cosh, (X, 3 * X)),
}


@pytest.mark.parametrize("name", NOBODYS)
def test_functions_that_nobody_here_wrote(name):
    f, args = NOBODYS[name]
    found = compare(f, *args, repeats=1)
    assert found.agrees
    assert found.automatic.roundings < 100


def test_a_function_without_a_rule_is_said_to_have_none(found):
    assert "no custom_vjp rule" in " ".join(compare(jnp.sin, X).notes)
    assert found.notes == ()


def test_a_random_key_is_warned_of():
    def noisy(key, x):
        return rules.silu(x) * jax.random.normal(key, x.shape, jnp.float32)

    found = compare(noisy, KEY, X)
    assert "random key" in " ".join(found.notes)
    assert found.agrees


@jax.custom_vjp
def _ruled_loop(x):
    return jax.lax.while_loop(lambda y: (y < 8).any(), lambda y: 2 * y, x)


_ruled_loop.defvjp(lambda x: (_ruled_loop(x), x), lambda x, u: (u * _ruled_loop(x) / x,))


def test_shapes_are_filled_with_numbers():
    found = compare(rules.linear, jax.ShapeDtypeStruct((5, 3), jnp.float32), W, repeats=1)
    assert found.agrees and found.arguments[0] == "x* float32[5,3]"


BAD = {
    "f": (partial(compare, *[3, X]), "f, wanted a function, got 3"),
    "reference": (lambda: compare(jnp.sin, X, reference="sin"), "reference, wanted a function, got 'sin'"),
    "reference's shape": (lambda: compare(jnp.sin, X, reference=jnp.sum), r"reference, wanted .*\(5, 3\).*\(\)"),
    "repeats": (lambda: compare(jnp.sin, X, repeats=0), "repeats, wanted a positive number, got 0"),
    "target": (lambda: compare(jnp.sin, X, targets=["a100"]), "targets, wanted some of h100, v5e, got 'a100'"),
    "transform": (lambda: compare(jnp.sin, X, transform="pmap"), "transform, wanted vmap, scan, .* got 'pmap'"),
    "dtype": (lambda: compare(jnp.sin, X, dtype=jnp.int32), "dtype, wanted a floating-point type, got int32"),
    "sizes": (lambda: compare(jnp.sin, X, sizes=[3]), "args, with sizes wanted one function"),
    "no automatic gradient": (
        lambda: compare(_ruled_loop, X),
        "f, wanted a function that has an automatic gradient, or a reference, got ValueError: Reverse-mode",
    ),
    "no array": (lambda: compare(jnp.sin, 3.0), "a floating-point array"),
    "wrt": (lambda: compare(rules.linear, X, W, wrt="y"), "wrt, wanted names or positions among x, w, got 'y'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_words(name):
    call, words = BAD[name]
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_an_absent_compiler_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = " ".join(str(compare(rules.silu, X, targets=["h100", "v5e"])).split())
    assert "h100: its compiler is not installed" in text
    assert "v5e: its compiler is not installed (libtpu): pip install 'jbackprop[targets]'" in text
    assert "compiled for" not in text


@pytest.mark.parametrize("target", _targets.TARGETS)
def test_a_target_reports_memory_and_no_time(target):
    if not any(map(importlib.util.find_spec, _targets.TARGETS[target].wheels)):
        pytest.skip(f"the compiler for {target} is not installed")
    found = compare(rules.linear, X, W, B, targets=[target])
    for side in (found.manual, found.automatic):
        (compiled,) = side.targets
        assert compiled.note == ""
        assert compiled.program is not None
        assert compiled.program.peak_bytes or compiled.program.argument_bytes
    assert f"compiled for {target}" in str(found)
    assert jb.Comparison.from_json(found.json()) == found
