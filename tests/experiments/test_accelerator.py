"""The command for a machine with an accelerator, on one without: a few cases and programs at tiny sizes."""

import jax
import pytest

from experiments.accelerator import PROGRAMS, Checked, check_all, document, measured, tiny
from experiments.accelerator.__main__ import main
from jbackprop.report import text


def test_the_command_checks_measures_and_saves(tmp_path, capsys):
    files = [tmp_path / "accelerator.html", tmp_path / "accelerator.md"]
    options = ["--only", "relu", "embedding", "--tiny", "--rounds", "1", "--processes", "1"]
    assert main([*options, "--save", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "4 cases checked, 0 wrong." in printed
    assert all("embedding, bfloat16" in text for text in (printed, *(file.read_text() for file in files)))


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
