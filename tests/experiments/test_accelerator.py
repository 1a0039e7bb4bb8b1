"""The command for a machine with an accelerator, on one without: a few cases and programs at tiny sizes."""

import jax
import jax.numpy as jnp
import pytest

from experiments.accelerator import PROGRAMS, Checked, cases, check_all, document, measured, tiny
from experiments.accelerator.__main__ import main
from jbackprop import rules
from jbackprop.report import text


def test_the_command_checks_measures_and_saves(tmp_path, capsys):
    files = [tmp_path / "accelerator.html", tmp_path / "accelerator.md"]
    options = ["--only", "relu", "embedding", "--tiny", "--rounds", "1", "--processes", "1"]
    assert main([*options, "--save", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "4 cases checked, 0 wrong." in printed
    for report in (printed, *(file.read_text() for file in files)):
        assert "Every case at a size for an accelerator" in report and "of 6 cases" in report
        assert all(f"{rule}, {dtype}" in report for rule in ("relu", "embedding") for dtype in ("bfloat16", "float32"))


def test_what_takes_too_long_is_given_up_and_named():
    (given_up,) = check_all(["relu"], processes=1, limit=0.01)
    assert given_up == Checked("relu", "not through after 0.01 s")
    assert "1 cases checked, 1 wrong." in text(document([given_up], {}))


def test_a_way_that_is_not_there_says_why():
    program = tiny(PROGRAMS["attention, causal, T 1024, bfloat16"])
    ways = {"by hand": program.ways["by hand"], "jax.nn, cuDNN": program.ways["jax.nn, cuDNN"]}
    ours, theirs = measured(program._replace(ways=ways), rounds=1)
    assert ours.seconds and ours.bytes
    assert theirs.seconds is None
    assert "cuDNN" in theirs.failure


@pytest.mark.parametrize(
    ("rule", "shapes", "wanted"),
    [
        (rules.linear, [(3, 4), (4, 5)], [(12, 4), (4, 5)]),
        (lambda w, x: x @ w, [(4, 5), (3, 4)], [(4, 5), (12, 4)]),
        (lambda x, y: jnp.vdot(x, y), [(3, 2), (3, 2)], [(12, 2), (12, 2)]),
        (lambda x: x.T, [(3, 2)], [(3, 2)]),
    ],
)
def test_the_outputs_tell_which_arguments_have_an_axis_of_examples(rule, shapes, wanted, monkeypatch):
    monkeypatch.setattr(cases, "_TIMES", 4)
    found = cases.with_more_examples(rule, lambda seed: [jnp.full(shape, seed, float) for shape in shapes])
    assert [array.shape for array in found] == wanted


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_ways_of_a_program_give_the_same_shapes(name):
    program = tiny(PROGRAMS[name])
    shapes = [
        jax.tree.map(lambda out: out.shape, jax.eval_shape(way, *_shapes(program.arguments)))
        for title, way in program.ways.items()
        if "cuDNN" not in title
    ]
    assert all(shape == shapes[0] for shape in shapes)


def _shapes(arguments):
    def of(array):
        return jax.ShapeDtypeStruct(array.shape, "int32" if array.below else array.dtype or "float32")

    return jax.tree.map(of, arguments)
