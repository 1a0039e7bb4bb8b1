"""The experiments on error signals: what their runs leave behind."""

import json

import numpy as np
import pytest

from experiments import __main__

PNG = b"\x89PNG\r\n"


def main(*arguments):
    return __main__.main([str(argument) for argument in arguments])


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_gradient_flow(tmp_path, capsys):
    assert main("gradient-flow", "--depth", 12, "--width", 16, "--examples", 32, "--out", tmp_path) == 0
    (run,) = tmp_path.iterdir()
    lines = {line["network"]: line for line in lines_of(run)}
    assert all(len(line["delta_norms"]) == 12 for line in lines.values())
    first = {name: line["delta_norms"][0] for name, line in lines.items()}
    assert first["sigmoid"] < 1e-4
    assert first["with residuals"] > 0.1
    assert first["relu, 1 / √n"] < 0.3 * first["relu, 2 / √n"]
    assert np.mean(lines["relu"]["zeros"]) > 0.2
    printed = capsys.readouterr().out
    for question in ("activations", "initialisations", "shortcuts"):
        assert (run / f"{question}.png").read_bytes().startswith(PNG)
        assert f"{question}.png" in printed


@pytest.mark.parametrize("name", ["depth", "width", "examples"])
def test_a_size_that_is_none(name, tmp_path, capsys):
    assert main("gradient-flow", f"--{name}", 0, "--out", tmp_path) != 0
    assert f"--{name}, wanted a positive number, got 0" in capsys.readouterr().err
