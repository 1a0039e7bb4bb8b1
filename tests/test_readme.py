"""The README's examples, pasted one after the other, print what it says they print."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest

from jbackprop import rules

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\s+```\n(.*?)```", README, re.DOTALL)
OPTIONAL = ("flax", "equinox")
NUMBER = re.compile(r"[−-]?\d[\d.]*(?:e[+-]\d+)?")


def test_every_example_has_its_output():
    assert len(EXAMPLES) == README.count("```python") > 0


def test_every_rule_is_named():
    parts = {"bias_gradient", "input_gradient", "weight_gradient"}
    functions = {name for name, rule in vars(rules).items() if callable(rule)} - parts
    assert functions == {name for name in functions if f"`{name}`" in README}


def test_examples_print_what_the_readme_says():
    names = {}
    for code, printed in EXAMPLES:
        if _missing(code):
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        assert _words(out.getvalue()) == _words(printed)
        np.testing.assert_allclose(_numbers(out.getvalue()), _numbers(printed), rtol=0.01)


@pytest.mark.parametrize("package", OPTIONAL)
def test_examples_with_other_libraries_are_there(package):
    assert sum(f"import {package}" in code or f"from {package}" in code for code, _ in EXAMPLES) == 1


def _missing(code):
    return any(package in code and importlib.util.find_spec(package) is None for package in OPTIONAL)


def _words(text):
    """What is printed between the numbers; another machine may round otherwise, and so agree less than exactly."""
    return re.sub(r"exact|to rounding", "agrees", " ".join(NUMBER.sub("#", _verdict(text)).split()))


def _numbers(text):
    return [float(number.replace("−", "-")) for number in NUMBER.findall(_verdict(text)) if number[-1] != "."]


def _verdict(text):
    """The text without the last line of the backprop table, which counts the rows that agree exactly."""
    return re.sub(r"Every row agrees .*", "Every row agrees", text)
