"""The book: its notation is typeset as it is meant, its examples run, its page fits every window."""

import html
import importlib
import pkgutil
import re
import shlex
import xml.etree.ElementTree as ElementTree

import pytest

from experiments.book._chapters import ARGUMENTS, chapters
from experiments.book._mathml import mathml
from experiments.book._typeset import docstring, equations, inline, prose
from jbackprop import rules
from jbackprop.command_line import main

CHAPTERS = chapters()


def shape(text):
    """A formula's tags and signs, without what says how they are set."""
    drawn = re.sub(r"<math[^>]*>|</math>|</?mrow[^>]*>|<mspace[^>]*/>", "", mathml(text))
    drawn = re.sub(r"<(\w+)[^>]*>", r"<\1>", drawn)
    return re.sub(r"</?m[ino]>", "", drawn)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x_ik", "<msub>xik</msub>"),
        ("h_{t−1}", "<msub>ht−1</msub>"),
        ("e^{z_j}", "<msup>e<msub>zj</msub></msup>"),
        ("xᵀ δ", "<msup>xT</msup>δ"),
        ("δˡ⁺¹", "<msup>δl+1</msup>"),
        ("δᵘ_ij", "<msubsup>δiju</msubsup>"),
        ("x_tᵀ", "<msubsup>xtT</msubsup>"),
        ("∂C/∂W_kj", "<mfrac>∂C∂<msub>Wkj</msub></mfrac>"),
        ("1/m", "<mfrac>1m</mfrac>"),
        ("a / b", "a/b"),
        ("1/√(σ² + ε)", "<mfrac>1<msqrt><msup>σ2</msup>+ε</msqrt></mfrac>"),
        ("Σ_k W'_k'", "<munder>∑k</munder><msubsup>Wk′′</msubsup>"),
        ("½ x̂", "<mfrac>12</mfrac><mover>x^</mover>"),
        ("a ≠ b < c", "a≠b&lt;c"),
        ("log dW", "logdW"),
        ("Σ_{p: i ∈ S_p} y", "<munder>∑p:i∈<msub>Sp</msub></munder>y"),
    ],
)
def test_notation(text, wanted):
    assert shape(text) == wanted


@pytest.mark.parametrize("text", ["((", "x_", "^", "∂", "/", "√", "1[i", "}{", "<script>", "∂/∂", "a_{b", "'"])
def test_what_is_no_formula_comes_out_well_formed(text):
    ElementTree.fromstring(mathml(text))


def test_words_stay_words():
    assert inline("A window is a box.") == "A window is a box."
    assert inline("<b> & `x_i`") == "&lt;b&gt; &amp; <code>x_i</code>"
    drawn = inline("Each gets a δ, as in PyTorch.")
    assert drawn.startswith("Each gets a <") and 'alttext="δ"' in drawn and drawn.endswith(" as in PyTorch.")


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("y = x + f(x), f one layer or a chain.", ["y = x + f(x)"]),
        ("x with A x = b, by LU.", ["A x = b"]),
        ("else α (eᶻ − 1), as before", ["α (eᶻ − 1)"]),
        ("no longer than max_norm; x and y; (params, x, y, key=None)", []),
        ("min(max(z, −1), 1), as in [0, 1]; 1 − rate", ["min(max(z, −1), 1)"]),
        ("max(z, 0) of (x, y), of (*batch, n_in) and f(x, None)", ["max(z, 0)", "n_in"]),
        ('such as "z¹", δ\'s last axis', []),
    ],
)
def test_in_prose_about_code_only_whole_formulas_are_typeset(text, formulas):
    drawn = prose(text)
    assert re.findall(r'alttext="([^"]*)"', drawn) == formulas
    assert formulas or drawn == html.escape(text)


def test_what_begins_below_the_same_letter_stands_in_one_column():
    drawn = equations("    a = b      c = d\n    e          f = g\n               h = i", lambda: "3.1")
    rows = re.findall(r"<tr>(.*?)</tr>", drawn)
    assert [row.count("<td") for row in rows] == [2, 2, 2] and 'class="empty"' in rows[2]
    assert 'id="eq-3.1"' in drawn and 'href="#eq-3.1"' in drawn


def test_every_derivation_is_well_formed():
    for found in pkgutil.walk_packages(rules.__path__, "jbackprop.rules."):
        drawn = docstring(importlib.import_module(found.name).__doc__ or "")
        ElementTree.fromstring(f"<div>{drawn.replace('&nbsp;', ' ')}</div>")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.anchor)
def test_examples_run_and_the_page_is_well_formed(chapter):
    drawn = chapter.html()
    ElementTree.fromstring(re.sub(r"<br>", "", drawn))
    assert len(set(re.findall(r'id="([^"]+)"', drawn))) == len(re.findall(r'id="([^"]+)"', drawn))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_check_that_a_chapter_shows_can_be_run(name, capsys):
    arguments = shlex.split(f"check jbackprop.rules:{name} --args {ARGUMENTS[name]} --only structure")
    assert main(arguments) == 0, capsys.readouterr()


def test_every_rule_that_leads_a_line_of_links_has_such_a_check():
    lines = [line for chapter in CHAPTERS for line in re.findall(r"^@see (\w.*)", chapter.text, re.MULTILINE)]
    assert {line.split()[0] for line in lines} <= ARGUMENTS.keys()
    names = {name for line in lines for name in line.partition("|")[0].split()}
    assert all(hasattr(rules, name) for name in names)
