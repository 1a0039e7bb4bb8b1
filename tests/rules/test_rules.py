"""Every rule of the table through every check; then other tools, forward mode, recompiling and other platforms."""

import re

import jax
import jax.export
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

import jbackprop as jb
from jbackprop.cases import CASES, FIRST_CASES, Case
from jbackprop.functions import DTYPES, count_rules, described, every_equation, replaced
from jbackprop.proof import CHECKS
from jbackprop.rules import _meshes

# Of the two versions of JAX the newer proves what a rule computes, and the older what JAX makes of it.
NEWER = jax.__version_info__ >= (0, 12)
PROVED = CASES if NEWER else FIRST_CASES
EVERY_CHECK = {"only": tuple(CHECKS), "dtypes": DTYPES}
VALUES = {"only": ("primal", "gradient", "reference"), "dtypes": ("float64", "float32")}
VALUES_ALONE = {"reference", "finite differences", "random inputs", "special inputs", "large inputs", "batches"}
ABOUT_JAX = {"only": tuple(check for check in CHECKS if check not in VALUES_ALONE), "dtypes": DTYPES}
each_case = pytest.mark.parametrize("case", PROVED, ids=lambda case: case.name)
each_rule = pytest.mark.parametrize("case", FIRST_CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True, scope="module")
def _code_of_one_device():
    """Proves the code that runs on one device, although there are eight; `test_meshes.py` proves the other."""
    of_mesh = _meshes.automatic_devices
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_meshes, "automatic_devices", lambda mesh: 1 if mesh.empty else of_mesh(mesh))
        yield
    jax.clear_caches()


def pytest_generate_tests(metafunc):
    """One proof a case: of a variant of another case the values, of what JAX makes of a rule its first case."""
    whole = metafunc.config.getoption("--whole-proof")
    if "first_case" in metafunc.fixturenames:
        metafunc.parametrize("first_case", FIRST_CASES if NEWER or whole else [], ids=lambda case: case.name)
    if "proof" in metafunc.fixturenames:
        proofs = [(case, EVERY_CHECK if whole else push(case)) for case in (CASES if whole else PROVED)]
        metafunc.parametrize(("case", "proof"), proofs, ids=[case.name for case, _ in proofs])


def push(case: Case):
    """The options of the proof of a case that every push gets."""
    return ABOUT_JAX if not NEWER else VALUES if case.variant_of else EVERY_CHECK


def shapes(case: Case, dtype=jnp.float32):
    """Of the arguments, for what is traced and not computed."""
    return jax.eval_shape(lambda: case.draw(jax.random.key(0), dtype))


def floating(arguments):
    """The positions of the arguments to differentiate by."""
    return [i for i, argument in enumerate(arguments) if jnp.issubdtype(argument.dtype, jnp.floating)]


def function(case: Case):
    """The rule without its options."""
    return getattr(case.rule, "func", case.rule)


def total(case: Case):
    """All outputs of the rule in one sum."""
    return lambda *arguments: sum(output.sum() for output in jax.tree.leaves(case.rule(*arguments)))


def test_every_check_passes_and_the_residuals_are_those_of_the_case(case: Case, proof):
    report = jb.check(case.rule, *case.draw(jax.random.key(0)), reference=case.reference, **proof)
    skipped = {result.check for result in report.results if result.skipped}
    assert skipped <= {"batches", *(["reference"] if case.reference is None else [])}
    assert sorted(map(described, report.residuals)) == sorted(case.kept)


def test_agrees_with_the_checker_of_jax(first_case: Case):
    with jax.enable_x64(True):
        arguments = first_case.draw(jax.random.key(1), jnp.float64)
        places = floating(arguments)

        @jax.jit
        def of_floating(*chosen):
            return first_case.rule(*replaced(arguments, places, chosen))

        check_grads(of_floating, [arguments[i] for i in places], order=2, modes=["rev"], eps=1e-5)


@each_rule
def test_forward_mode_raises(case: Case):
    def along_ones(*arguments):
        place = floating(arguments)[0]
        x = arguments[place]
        return jax.jvp(lambda x: case.rule(*replaced(arguments, [place], [x])), (x,), (jnp.ones_like(x),))

    with pytest.raises(TypeError, match="forward-mode"):
        jax.jit(along_ones).lower(*shapes(case))


@each_case
def test_no_product_of_half_precision_mixes_dtypes(case: Case):
    """It would be one of float32, of twice the bytes and half the speed or less on an accelerator."""
    arguments = shapes(case, jnp.bfloat16)
    jaxpr = jax.make_jaxpr(jax.grad(total(case), floating(arguments)))(*arguments)
    products = [e for e in every_equation(jaxpr) if e.primitive.name in ("dot_general", "conv_general_dilated")]
    assert all(len({str(value.aval).partition("[")[0] for value in product.invars}) == 1 for product in products)


@pytest.mark.parametrize("given", [None, [0.5, 1.5]], ids=["none", "list"])
@pytest.mark.parametrize(
    "case", [case for case in FIRST_CASES if case.name != "fixed_point"], ids=lambda case: case.name
)
def test_what_is_no_array_is_refused_by_its_name(case: Case, given):
    """Or taken, where an argument may be left out or labels are a list; what is fixed_point's is its function's."""
    arguments = case.draw(jax.random.key(0))
    for place in range(len(arguments)):
        try:
            jax.eval_shape(lambda *rest, i=place: case.rule(*rest[:i], given, *rest[i + 1 :]), *arguments)
        except (TypeError, ValueError) as error:
            assert re.match(r"\w+: \w+, wanted .*, got ", str(error)), f"argument {place}: {error}"


@pytest.mark.parametrize("case", [case for case in CASES if case.variant_of], ids=lambda case: case.name)
def test_a_variant_of_another_case_differs_in_batch_axes_or_numbers_alone(case: Case):
    (other,) = [other for other in CASES if other.name == case.variant_of]
    assert not other.variant_of
    assert function(case) == function(other)
    differ = {value for _, value in case.options.items() ^ other.options.items()}
    assert all(type(value) in (int, float) for value in differ)
    ours, others = map(shapes, (case, other))
    assert [a.dtype for a in ours] == [a.dtype for a in others]
    assert differ or [a.ndim for a in ours] != [a.ndim for a in others]


@each_case
def test_automatic_holds_no_rule(case: Case):
    arguments = shapes(case)
    assert count_rules(case.rule, *arguments)
    assert not count_rules(jb.automatic(case.rule), *arguments)


@each_rule
def test_second_call_does_not_compile_again(case: Case):
    traces = []

    def counted(*arguments):
        traces.append(arguments)
        return total(case)(*arguments)

    gradient = jax.jit(jax.grad(counted, floating(shapes(case))[0]))
    for _ in range(2):
        gradient.trace(*shapes(case))
    assert len(traces) == 1


@each_rule
def test_lowers_for_every_platform(case: Case):
    arguments = shapes(case)
    gradients = jax.jit(jax.grad(total(case), floating(arguments)))
    exported = jax.export.export(gradients, platforms=("cpu", "cuda", "rocm", "tpu"))(*arguments)
    assert exported.platforms == ("cpu", "cuda", "rocm", "tpu")
    assert [gradient.shape for gradient in exported.out_avals] == [arguments[i].shape for i in floating(arguments)]
