"""The quick tier: fewer checks in two dtypes, and what it claims it finds."""

import jax
import pytest

import jbackprop as jb
from experiments.detection.faults import FAULTS
from jbackprop import rules
from jbackprop.command_line import main
from jbackprop.proof import CHECKS, QUICK

X = jax.random.normal(jax.random.key(0), (5, 3))


def _seen(x, seen):
    seen.add(x.dtype.name)
    return x**2


def _square(seen):
    square = jax.custom_vjp(lambda x: _seen(x, seen))
    square.defvjp(lambda x: (_seen(x, seen), x), lambda x, u: (2 * x * u,))
    return square


def test_it_runs_its_checks_in_two_dtypes():
    seen = set()
    report = jb.check(_square(seen), X, quick=True)
    assert [result.check for result in report.results] == list(QUICK)
    assert seen == {"float64", "float32"}
    assert not report.notes


def test_what_is_asked_for_is_done_all_the_same():
    seen = set()
    report = jb.check(_square(seen), X, quick=True, only=["jit", "gradient"], dtypes=["bfloat16"], skip=["jit"])
    assert [result.check for result in report.results] == ["gradient"]
    assert "bfloat16" in seen


def test_its_checks_are_those_of_the_whole_proof():
    assert list(QUICK) == [name for name in CHECKS if name in QUICK]


CLAIMED = [fault for fault in FAULTS if set(fault.found_by) & set(QUICK)]


def test_it_claims_most_faults():
    assert len(CLAIMED) > len(FAULTS) / 2


def test_a_wrong_rule_fails():
    fault = CLAIMED[0]
    wrong = fault.make(rules.squared_error, 0)
    with pytest.raises(jb.GradientError):
        jb.assert_gradients(wrong, X, X[::-1], quick=True)


def test_what_the_function_raises_is_passed_on():
    def complains(x):
        raise RuntimeError("its own complaint")

    with pytest.raises(RuntimeError, match="its own complaint"):
        jb.check(complains, X, quick=True)


def test_the_command_line_has_it(capsys):
    assert main(["check", "jax.nn:silu", "--args", "f32[5,3]", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "special inputs" in printed and "finite differences" not in printed
