"""The checker is checked with wrong rules: each fault is found by the check that claims it, and right rules pass."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.custom_partitioning import custom_partitioning

import jbackprop as jb
from experiments.detection.faults import FAULTS
from experiments.detection.mutants import Fault, enlarged, spoilt, stale
from jbackprop import rules
from jbackprop.proof import CHECKS
from tests.proof.ruled import ruled_by

X = jnp.array([[0.5, -1.25, 2.0], [0.75, 1.5, -0.375]])
FAST = ("float64", "float32")


square = ruled_by(lambda x: x**2, lambda arguments, u: (2 * arguments[0] * u,))


def _mutant(fault: Fault):
    """A wrong rule and its arguments: of softmax, or of a loss where a fault asks for two arguments."""
    key = jax.random.key(3)
    logits = jax.random.normal(key, (2, 5, 7))
    for rule, arguments in ((rules.softmax, (logits,)), (rules.squared_error, (logits[0], logits[1]))):
        if fault.applies(rule, arguments, 0):
            arguments = enlarged(rule, arguments) if fault.large else arguments
            return fault.make(rule, 0), arguments
    raise AssertionError(fault.name)


@pytest.mark.parametrize(
    ("fault", "check"),
    [(fault, check) for fault in FAULTS for check in fault.found_by],
    ids=lambda value: value.name if isinstance(value, Fault) else value,
)
def test_a_fault_is_found_by_the_checks_that_claim_it(fault, check):
    wrong, arguments = _mutant(fault)
    with pytest.raises(jb.GradientError) as caught:
        jb.check(wrong, *arguments, only=[check])
    assert caught.value.check == check


def _other_value_forward():
    rule = jax.custom_vjp(lambda x: x**2)
    rule.defvjp(lambda x: (1.001 * x**2, x), lambda x, u: (2 * x * u,))
    return rule


def _only_compiled():
    return ruled_by(
        lambda x: x**2, lambda arguments, u: (u * arguments[0] * (2 + isinstance(arguments[0], jax.core.Tracer)),)
    )


def _derivative_held():
    return ruled_by(lambda x: x**3, lambda arguments, u: (3 * jax.lax.stop_gradient(arguments[0]) ** 2 * u,))


def _outputs_confused():
    return ruled_by(lambda x: (x, x**2), lambda arguments, u: (u[1] + 2 * arguments[0] * u[0],))


def _other_on_recomputation():
    calls = []
    rule = jax.custom_vjp(lambda x: x**2)

    def fwd(x):
        calls.append(x.shape)
        return x**2, (x, jnp.full_like(x, len(calls)))

    rule.defvjp(fwd, lambda residuals, u: (2 * residuals[0] * residuals[1] * u,))
    return rule


def _never_summed_over_devices():
    """x + b, where each device sums b's gradient over its own rows and takes that for the whole."""

    @custom_partitioning
    def column_sums(u):
        return u.sum(axis=0)

    def partition(mesh, arguments, result):
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return mesh, lambda u: u.sum(axis=0), whole, tuple(argument.sharding for argument in arguments)

    column_sums.def_partition(partition, sharding_rule="i j -> j")
    return ruled_by(lambda x, b: x + b, lambda arguments, u: (u, column_sums(u)))


def _spoilt_at_infinity():
    return spoilt(rules.squared_error, 0, lambda call: jnp.where(jnp.isinf(call.x).any(), jnp.nan, 1) * call.dx)


def _half_more_where(condition, f, target):
    return spoilt(f, target, lambda call: jnp.where(condition(call.x), 1.5, 1) * call.dx)


def _is_tied(x):
    return x == jnp.roll(x, 1, axis=-1)


REGULAR = jnp.arange(16.0).reshape(4, 4) / 8 + 2 * jnp.eye(4)
"""A matrix that stays one with an inverse when an entry is changed."""


@pytest.mark.parametrize(
    ("wrong", "arguments", "check"),
    [
        (_other_value_forward(), (X,), "primal"),
        (_only_compiled(), (X,), "jit"),
        (_derivative_held(), (X,), "second order"),
        (_outputs_confused(), (X,), "each output"),
        (_other_on_recomputation(), (X,), "checkpoint"),
        (_spoilt_at_infinity(), (X, X[::-1]), "non-finite inputs"),
        (_half_more_where(lambda a: a == 0, jnp.linalg.inv, 0), (REGULAR,), "special inputs"),
        (_half_more_where(_is_tied, jnp.linalg.inv, 0), (REGULAR,), "special inputs"),
        (_half_more_where(lambda b: b > 3, jnp.add, 1), (X, jnp.zeros(3)), "random inputs"),
        (stale(rules.tanh, 0), (X,), "scan"),
        (_never_summed_over_devices(), (jnp.arange(48.0).reshape(16, 3), X[0]), "sharding"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_check_finds_what_it_is_for(wrong, arguments, check):
    with pytest.raises(jb.GradientError) as caught:
        jb.check(wrong, *arguments, only=[check])
    assert caught.value.check == check


def test_a_reference_finds_a_wrong_forward_pass():
    jb.check(square, X, only=["primal", "reference"])
    for check in ("primal", "reference"):
        with pytest.raises(jb.GradientError, match=f"{check}: .*against the reference"):
            jb.check(square, X, reference=lambda x: 1.001 * x**2, only=[check])


def test_the_message_says_what_is_wrong_and_by_how_much():
    wrong = spoilt(rules.linear, 1, lambda call: call.dx.at[2, 1].multiply(1.5))
    with pytest.raises(jb.GradientError) as caught:
        jb.check(wrong, X, jnp.arange(1.0, 13.0).reshape(3, 4), jnp.ones(4), only=["gradient"])
    failure = caught.value.failure
    assert (failure.entry, failure.dtype) == ((2, 1), "float64")
    assert failure.got == pytest.approx(1.5 * float(failure.wanted))
    assert failure.units > 1e12
    pattern = r"^wrong: gradient: gradient of arguments\[1\]\[2, 1\], float64: got \S+, wanted \S+, off by \S+ units"
    assert re.search(pattern, str(caught.value))


def test_the_report_is_a_table():
    report = jb.check(square, X, raises=False, dtypes=FAST)
    assert report.passed
    assert [result.check for result in report.results] == list(CHECKS)
    assert [result.check for result in report.results if result.skipped] == ["reference"]
    lines = str(report).splitlines()
    assert lines[0] == "<lambda>"
    assert [line.split("  ")[0] for line in lines[4:] if line.rstrip().endswith("s")][: len(CHECKS)] == list(CHECKS)
    assert re.fullmatch(r"every check passed in [\d.]+ m?s", lines[-3])
    assert report.seconds == sum(result.seconds for result in report.results) > 0
    assert lines[-1] == "keeps 24 bytes: argument x float32[2,3]"
    wrong = jb.check(ruled_by(lambda x: x**2, lambda a, u: (u,)), X, raises=False, only=["gradient", "linearity"])
    assert [result.passed for result in wrong.results] == [False, True]
    assert re.search(r"gradient +FAILED .*\n    gradient of x\[\d, \d\], float64: got", str(wrong))
    assert "WRONG: gradient\n" in str(wrong)


def test_the_report_is_a_page_and_a_file(tmp_path):
    wrong = jb.check(ruled_by(lambda x: x**2, lambda a, u: (u,)), X, raises=False, only=["gradient", "linearity"])
    for suffix in (".txt", ".md", ".html"):
        wrong.save(tmp_path / f"report{suffix}")
    assert (tmp_path / "report.txt").read_text() == f"{wrong}\n"
    assert "| gradient" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert page == wrong.html()
    assert "<h1>&lt;lambda&gt;</h1>" in page and "WRONG: gradient" in page and "float64: got" in page
    with pytest.raises(ValueError, match=r"save: path, wanted one of \.txt, \.md, \.html, got '\.pdf'"):
        wrong.save(tmp_path / "report.pdf")


def test_only_what_is_asked_for_is_differentiated():
    half = ruled_by(lambda x, y: x * y, lambda arguments, u: (u * arguments[1], jnp.zeros_like(u)))
    for wrt in (["x"], [0]):
        jb.check(half, X, X + 1, wrt=wrt, only=["gradient"])
    with pytest.raises(jb.GradientError, match="gradient of y"):
        jb.check(half, X, X + 1, wrt=["y"], only=["gradient"])


def test_dtypes_only_and_skip():
    coarse = ruled_by(
        lambda x: x**2, lambda arguments, u: (2 * arguments[0] * u * (1 + 0.2 * (u.dtype == jnp.bfloat16)),)
    )
    jb.check(coarse, X, dtypes=FAST, only=["gradient"])
    with pytest.raises(jb.GradientError, match="bfloat16"):
        jb.check(coarse, X, dtypes=["bfloat16"], only=["gradient"])
    report = jb.check(square, X, only=["jit", "scan"], skip=["scan"])
    assert [result.check for result in report.results] == ["jit"]


def test_a_seed_repeats_the_numbers():
    def worst(seed):
        report = jb.check(ruled_by(lambda x: x**2, lambda a, u: (u,)), X, only=["gradient"], raises=False, seed=seed)
        return [(failure.entry, failure.got, failure.wanted) for failure in report.results[0].failures]

    assert worst(0) == worst(0) != worst(1)


def _complains(x):
    raise RuntimeError("its own complaint")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(jb.check, square, X, only=["gradients"]), ValueError, "check: only, wanted names among .*'gradients'"),
        (partial(jb.check, square, X, skip=["jits"]), ValueError, "check: skip, wanted names among .*'jits'"),
        (partial(jb.check, square, X, dtypes=["int32"]), ValueError, "check: dtypes, wanted real floating"),
        (partial(jb.check, square, X, wrt=["y"]), ValueError, "wrt, wanted names or positions among .*'y'"),
        (partial(jb.check, square, jnp.arange(3)), TypeError, "args, wanted a floating-point array .*int32"),
        (partial(jb.check, square, 3.0), TypeError, "args, wanted a floating-point array .*got float"),
        (partial(jb.check, _complains, X), RuntimeError, "its own complaint"),
    ],
)
def test_what_cannot_be_checked_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_rule_that_raises_is_wrong():
    def pull(arguments, u):
        raise RuntimeError("not today")

    with pytest.raises(jb.GradientError, match="structure: call: got RuntimeError: not today"):
        jb.check(ruled_by(lambda x: x**2, pull), X)


def test_trees_options_keys_and_shapes():
    def noisy(parameters, x, key, power, name):
        noise = jax.random.normal(key, x.shape, x.dtype)
        return {name: square(x @ parameters["w"]) ** power, "count": (x > 0).sum(), "noisy": (x + noise).sum()}

    shapes = {"w": jax.ShapeDtypeStruct((3, 4), jnp.bfloat16)}
    checks = ["structure", "gradient", "finite differences", "special inputs", "vmap"]
    jb.check(noisy, shapes, X, jax.random.key(0), 2, "y", dtypes=["float32"], only=checks)


def test_batches_are_tried_of_a_function_with_integer_outputs():
    wrong = spoilt(rules.tanh, 0, lambda call: call.dx / (1 if call.x.ndim < 3 else 2))
    with pytest.raises(jb.GradientError, match=r"batches: .*two more batch axes"):
        jb.check(lambda x: (wrong(x), (x > 0).sum()), X, only=["batches"])


def test_mixed_dtypes_are_tried_as_given():
    def pull(arguments, u):
        x, w = arguments
        same = x.dtype == w.dtype
        return (u @ w.T).astype(x.dtype), (x.T @ u).astype(w.dtype) * (1 if same else 2)

    mixed = ruled_by(lambda x, w: x @ w, pull)
    w = jnp.arange(12.0).reshape(3, 4)
    jb.check(mixed, X, w, only=["structure", "gradient"])
    with pytest.raises(jb.GradientError, match=r"in the dtypes as given"):
        jb.check(mixed, X.astype(jnp.bfloat16), w, only=["structure", "gradient"])


def test_large_arrays_are_affordable():
    x = jax.random.normal(jax.random.key(0), (1000, 300))
    jb.check(square, x, only=["gradient", "finite differences", "random inputs", "special inputs"], dtypes=FAST)


def test_float64_switched_on_by_the_user():
    with jax.enable_x64(True):
        jb.check(square, X.astype(jnp.float64), only=["structure", "gradient", "jit", "special inputs"])


def test_a_function_that_computes_in_float32_is_judged_by_it():
    def f(x):
        return square(x.astype(jnp.float32)).astype(x.dtype)

    jb.check(f, X, only=["gradient", "finite differences", "linearity", "random inputs"], dtypes=FAST)


def test_a_function_that_draws_other_numbers_in_float64_is_judged_in_its_own_dtype():
    """Its float64 gradient is that of another mask, and must excuse nothing."""

    def masked(x):
        return jnp.where(jax.random.normal(jax.random.key(3), x.shape, x.dtype) > 0, x, 0)

    half_wrong = ruled_by(
        masked, lambda arguments, u: (jax.vjp(masked, *arguments)[1](u)[0] * (1 + (u.dtype == jnp.bfloat16) / 10),)
    )
    jb.check(half_wrong, X, dtypes=["float32"])
    with pytest.raises(jb.GradientError, match="bfloat16"):
        jb.check(half_wrong, X, only=["gradient"])


def test_a_function_of_random_numbers_is_allowed_its_rounding():
    """A layer norm of equal numbers magnifies it three hundred times."""

    def block(key, x, w):
        return rules.layer_norm(rules.gelu(rules.linear(rules.dropout(key, x, 0.5), w)))

    x, w = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(7, 33), (33, 29)]))
    jb.check(block, jax.random.key(2), x, w, only=["gradient", "special inputs"])


def test_no_second_derivative_is_asked_of_a_function_that_has_none():
    report = jb.check(jax.scipy.special.gammainc, X + 3, X + 4, only=["second order"])
    assert "NotImplementedError" in report.results[0].skipped


def _relu(slope_at_zero):
    def pull(arguments, u):
        (x,) = arguments
        return (u * jnp.where(x == 0, slope_at_zero, (x > 0).astype(x.dtype)),)

    return ruled_by(lambda x: jnp.where(x > 0, x, 0), pull)


@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.3, True), (1.0, True), (1.5, False), (jnp.nan, False)])
def test_any_slope_between_those_on_both_sides_of_a_kink(slope, right):
    report = jb.check(_relu(slope), X, only=["special inputs"], raises=False)
    assert report.passed == right


def _maximum(first, second):
    """The larger of two arrays, whose slope at a tie goes in these shares to the first and the second."""

    def pull(arguments, u):
        a, b = arguments
        return u * jnp.where(a == b, first, a > b), u * jnp.where(a == b, second, b > a)

    return ruled_by(jnp.maximum, pull)


@pytest.mark.parametrize(("first", "second", "right"), [(0.5, 0.5, True), (1, 0, True), (1, 1, False), (0, 0, False)])
def test_the_slope_at_a_tie_is_given_once(first, second, right):
    report = jb.check(_maximum(first, second), X, X + 1, only=["special inputs"], raises=False)
    assert report.passed == right


@pytest.mark.parametrize(
    ("f", "arguments"),
    [
        (jax.nn.relu6, (X,)),
        (jax.nn.silu, (X,)),
        (jax.nn.gelu, (X,)),
        (jax.nn.softmax, (X,)),
        (jax.nn.standardize, (X,)),
        (jnp.logaddexp, (X, X[::-1])),
        (jnp.sinc, (X,)),
        (jax.scipy.special.log_ndtr, (X,)),
        (jax.scipy.special.xlogy, (jnp.abs(X), X**2)),
        (jnp.linalg.det, (X.T @ X + jnp.eye(3),)),
        (optax.projections.projection_simplex, (X[0],)),
        (optax.softmax_cross_entropy, (X, X**2)),
        (optax.losses.poly_loss_cross_entropy, (X, jax.nn.softmax(X))),
        (partial(optax.scale_gradient, scale=1.0), (X,)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_functions_of_others_pass(f, arguments):
    checks = ("structure", "gradient", "finite differences", "linearity", "random inputs", "special inputs", "jit")
    jb.check(f, *arguments, dtypes=FAST, only=checks)


def test_there_must_be_something_to_assert():
    jb.assert_gradients(jnp.logaddexp, X[0], X[1], only=["gradient"])  # a custom_jvp rule
    with pytest.raises(
        ValueError, match="assert_gradients: f, wanted a function with a rule in it, got sin, which holds"
    ):
        jb.assert_gradients(jnp.sin, X, only=["gradient"])


def test_the_layers_of_equinox_pass():
    equinox = pytest.importorskip("equinox")
    layer = equinox.nn.MLP(3, 2, 4, 1, activation=jax.nn.gelu, key=jax.random.key(0))
    jb.check(lambda layer, x: layer(x), layer, X[0], dtypes=FAST, only=["gradient", "finite differences"])


def test_the_layers_of_flax_pass():
    linen = pytest.importorskip("flax.linen")
    layer = linen.LayerNorm()
    parameters = layer.init(jax.random.key(0), X)
    jb.check(layer.apply, parameters, X, dtypes=["float32"], only=["gradient", "linearity", "jit"])


def test_a_gradient_that_is_wrong_by_design_is_told():
    with pytest.raises(jb.GradientError, match="gradient of inputs"):
        jb.check(partial(optax.scale_gradient, scale=0.5), X, only=["gradient"])


def test_no_check_sees_other_numbers_than_it_was_given():
    before = np.asarray(X).copy()
    jb.check(square, X, only=["random inputs", "special inputs", "non-finite inputs", "batches"])
    np.testing.assert_array_equal(before, X)


def test_products_of_float32_are_computed_in_float32_on_every_platform():
    found = set()

    def square(x):
        found.add("precision=(Precision.HIGHEST" in str(jax.make_jaxpr(jnp.dot)(x, x)))
        return x * x

    jb.check(ruled_by(square, lambda arguments, u: (2 * arguments[0] * u,)), X[0])
    assert found == {True}


def test_a_gradient_that_is_wrong_in_shard_map_alone_is_found():
    """The rule is right on one device and on a mesh that the compiler knows, and twice too large in `shard_map`."""

    def shared(x, b):
        return x + b

    def pull(arguments, u):
        db = u.sum(axis=tuple(range(u.ndim - 1)))
        axes = tuple(jax.typeof(db).manual_axis_type.varying)
        return u, 2 * jax.lax.psum(db, axes) if axes else db

    x, b = jax.random.normal(jax.random.key(0), (4, 3)), jnp.arange(3.0)
    with pytest.raises(jb.GradientError, match=r"sharding: gradient of b\[\d\], .* \(shard_map\)"):
        jb.check(ruled_by(shared, pull), x, b, dtypes=("float64", "float32"))
