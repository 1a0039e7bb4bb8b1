"""The README's examples, and those of the pages, pasted one after the other, print what it says they print."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import docs
from jbackprop import rules

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted(docs.PAGES.glob("*.md"))}
TEXT = "\n".join([README, *PAGES.values()])
EXAMPLES = re.findall(r"```python\n(.*?)```\s+```\n(.*?)```", TEXT, re.DOTALL)
OPTIONAL = ("flax", "equinox")
NUMBER = re.compile(r"[−-]?\d[\d.]*(?:e[+-]\d+)?")


def test_it_is_short_enough_to_read():
    assert README.count("\n") <= 200


def test_every_example_has_its_output():
    assert len(EXAMPLES) == TEXT.count("```python") > 0


def test_every_rule_is_named():
    functions = {name for name, rule in vars(rules).items() if isinstance(rule, jax.custom_vjp)} | {"bidirectional"}
    assert functions == {name for name in functions if f"`{name}`" in PAGES["rules"]}


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
