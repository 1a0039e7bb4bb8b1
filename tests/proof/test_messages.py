"""What a person reads: the worst of each check, its relative error, a guess, and in pytest the test's own line."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop.proof._guess import guess
from tests.proof.ruled import ruled_by

X = jax.random.normal(jax.random.key(0), (5, 4))
WIDE = ["float64"]
NO_FUNCTION: Any = 3


def _square(factor):
    """x² with a gradient that many times as large as it should be, for a factor of x."""
    return ruled_by(lambda x: x**2, lambda arguments, u: (2 * arguments[0] * u * factor(arguments[0]),))


def _error(f, *args, check="gradient", **options):
    with pytest.raises(jb.GradientError) as caught:
        jb.check(f, *args, only=[check], dtypes=WIDE, **options)
    return str(caught.value)


def test_the_message_tells_the_relative_error_and_a_guess():
    said = _error(_square(lambda x: 0.999), X)
    assert re.search(r"wanted \S+, off by \S+ units of rounding, 0\.1 % \(against automatic", said)
    assert said.splitlines()[1] == "    all of it is 0.999 times what is wanted"


GUESSES = {
    "all of it has the other sign": _square(lambda x: -1),
    "all of it is 0": _square(lambda x: 0),
    "the relative error grows with |x|": _square(lambda x: 1 + x**2),
    "wrong only where x ≥ 0.": _square(lambda x: jnp.where(x > 0.5, 2, 1)),
    "wrong only where x ≤ −0.": _square(lambda x: jnp.where(x < -0.5, 2, 1)),
    "wrong only where |x| ≥ ": _square(lambda x: jnp.where(jnp.abs(x) > 0.7, 2, 1)),
}


@pytest.mark.parametrize("words", GUESSES)
def test_a_guess_where_one_fits(words):
    assert words in _error(GUESSES[words], X).splitlines()[1]


def test_random_inputs_tell_where_it_begins_to_be_wrong():
    far = _square(lambda x: jnp.where(x > 3, 2, 1))
    assert re.search(r"\n    wrong only where x ≥ 3\.\d+$", _error(far, X, check="random inputs"))


def test_a_transpose_and_a_missing_term_are_guessed():
    w = jax.random.normal(jax.random.key(1), (4, 4))
    turned = ruled_by(lambda x, w: x @ w, lambda arguments, u: (u @ arguments[1].T, u.T @ arguments[0]))
    assert "it is the transpose of what is wanted" in _error(turned, X, w)
    centred = ruled_by(lambda x: x - x.mean(axis=1, keepdims=True), lambda arguments, u: (u,))
    assert "off by the same number all along axis 1: a term is missing" in _error(centred, X)


def test_a_single_wrong_entry_is_counted():
    wrong = ruled_by(lambda x: x**2, lambda arguments, u: ((2 * arguments[0] * u).at[2, 1].multiply(1.5),))
    assert _error(wrong, X).splitlines()[1] == "    1 of 20 entries are wrong"


def test_no_guess_where_none_fits():
    draw = np.random.default_rng(0).normal
    agree = partial(np.isclose, rtol=1e-9)
    assert guess(draw(size=(5, 4)), draw(size=(5, 4)), agree, draw(size=(5, 4))) == ""
    assert guess(np.array([1.0]), np.array([2.0]), agree) == ""
    assert guess(np.array([1.0, np.nan]), np.array([2.0, 3.0]), agree) == ""


def test_a_report_shows_the_worst_of_each_check_and_how_many_more():
    report = jb.check(_square(lambda x: 1 + x**2), X, raises=False, only=["gradient", "special inputs", "jit"])
    for result in report.results[:2]:
        assert len(result.failures) > 1
        assert result.worst is not None and result.worst.units == max(failure.units for failure in result.failures)
    lines = str(report).splitlines()
    assert sum("got" in line for line in lines) == 2
    counts = [f"and {len(result.failures) - 1} more" for result in report.results[:2]]
    assert [line.strip() for line in lines if "more" in line] == counts
    assert all(count in report.html() for count in counts)


@jax.custom_jvp
def _half(x):
    """x², of which automatic differentiation is told half the slope."""
    return x * x


_half.defjvp(lambda x, dx: (x[0] * x[0], x[0] * dx[0]))


def test_finite_differences_say_where_autodiff_agrees_and_where_a_kink_is():
    half = ruled_by(_half, lambda arguments, u: (arguments[0] * u,))
    assert "automatic differentiation agrees with the rule here" in _error(half, X, check="finite differences")
    wrong = _error(_square(lambda x: 1.5), X, check="finite differences")
    assert "automatic differentiation" not in wrong and "kink" not in wrong
    steep = ruled_by(jnp.abs, lambda arguments, u: (jnp.where(arguments[0] == 0, 3, jnp.sign(arguments[0])) * u,))
    kinked = X.at[1, 2].set(0)
    for check in ("gradient", "finite differences"):
        assert "x is at a kink there" in _error(steep, kinked, check=check)
    assert "kink" not in _error(ruled_by(jnp.abs, lambda arguments, u: (2 * u,)), X)


def test_a_function_has_the_name_that_it_is_given():
    assert _error(_square(lambda x: 2), X, name="my rule").startswith("my rule: gradient: ")
    assert jb.check(jnp.logaddexp, X, X, only=["jit"], name="mine").name == "mine"


def test_each_check_is_announced_before_it_runs():
    said = []
    jb.check(jnp.logaddexp, X, X, only=["jit", "structure"], progress=said.append)
    assert said == ["structure", "jit"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (partial(jb.assert_gradients, _square(lambda x: 2), X), jb.GradientError),
        (partial(jb.assert_gradients, _square(lambda x: 1), X, dtypes=["fp32"]), ValueError),
        (partial(jb.assert_gradients, _square(lambda x: 1), X, only=["gradients"]), ValueError),
        (partial(jb.assert_gradients, NO_FUNCTION, X), TypeError),
        (partial(jb.assert_gradients, jnp.sin, X, only=["jit"]), ValueError),
    ],
)
def test_pytest_shows_the_line_of_the_test_and_nothing_of_ours(call, error):
    with pytest.raises(error) as caught:
        call()
    assert {str(entry.path) for entry in caught.traceback.filter(caught)} == {__file__}


TYPES = "check: dtypes, wanted real floating point types such as float64, float32, bfloat16, float16, got "


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtypes": ["fp32"]}, f"{TYPES}'fp32'"),
        ({"dtypes": ["int32"]}, f"{TYPES}'int32'"),
        ({"dtypes": "float32"}, "check: dtypes, wanted a list of types, as in ['float32'], got 'float32'"),
        ({"only": "jit"}, "check: only, wanted a list of names, as in ['jit'], got 'jit'"),
        ({"seed": -1}, "check: seed, wanted a whole number from 0 to 2⁶³ − 1, got -1"),
        ({"seed": 2**64}, "check: seed, wanted a whole number from 0 to 2⁶³ − 1, got 18446744073709551616"),
        ({"reference": 3}, "check: reference, wanted a function, got int"),
    ],
)
def test_an_option_without_a_meaning_is_one_line(options, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        jb.check(_square(lambda x: 1), X, **options)
    assert str(caught.value) == said


def test_a_function_that_is_none():
    with pytest.raises(TypeError, match=r"^check: f, wanted a function, got int$"):
        jb.check(NO_FUNCTION, X)


def test_types_go_by_short_names_and_by_themselves():
    right = _square(lambda x: 1)
    for dtypes in (["f32"], [jnp.float32], [np.dtype("float32")]):
        with pytest.raises(jb.GradientError, match="float32: got"):
            jb.check(_square(lambda x: 1 + (x.dtype == jnp.float32)), X, dtypes=dtypes, only=["gradient"])
        assert jb.check(right, X, dtypes=dtypes, only=["gradient"]).passed
