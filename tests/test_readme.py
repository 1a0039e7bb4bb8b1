"""The README's examples, and those of the pages, pasted one after the other, print what it says they print."""

import contextlib
import importlib.util
import io
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import docs
from jbackprop import rules
from jbackprop.graph import animation
from jbackprop.graph.examples import EXAMPLES as EXAMPLES_OF_GRAPHS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def test_the_picture_is_the_one_that_its_command_draws():
    """Its words; where they stand is another version's matter."""
    pytest.importorskip("igraph")
    path, command = re.findall(r"\]\((\S+) \"python -m jbackprop ([^\"]*--animate[^\"]*)", README)[0]
    assert shlex.split(command)[-1] == path
    drawn, back = ROOT / path, EXAMPLES_OF_GRAPHS["shared-factors"].backpropagate()
    assert ":shared_factors --args 2.0 1.0 -2.0 1.0" in command and drawn.stat().st_size < 300_000
    kept, fresh = (list(ElementTree.fromstring(text).itertext())[1:] for text in (drawn.read_text(), animation(back)))
    assert kept == fresh


@pytest.mark.parametrize("package", OPTIONAL)
def test_examples_with_other_libraries_are_there(package):
    assert sum(f"import {package}" in code or f"from {package}" in code for code, _ in EXAMPLES) == 1


def _missing(code):
    """Whether an example needs a package, or a newer JAX, that is not there."""
    absent = any(package in code and importlib.util.find_spec(package) is None for package in OPTIONAL)
    return absent or ("log_deltas" in code and not hasattr(jax.custom_vjp, "defvjp_with_logs"))


def _words(text):
    """What is printed between the numbers; another machine may round otherwise, and so agree less than exactly."""
    return re.sub(r"exact|to rounding", "agrees", " ".join(NUMBER.sub("#", _verdict(text)).split()))


def _numbers(text):
    return [float(number.replace("−", "-")) for number in NUMBER.findall(_verdict(text)) if number[-1] != "."]


def _verdict(text):
    """The text without the last line of the backprop table, which counts the rows that agree exactly."""
    return re.sub(r"Every row agrees .*", "Every row agrees", text)
