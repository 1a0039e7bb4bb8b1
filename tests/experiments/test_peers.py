"""The benchmark against other libraries: what it times is the same function everywhere."""

import importlib
import inspect
import re
import sys
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import peers
from experiments.peers import clipping, jax_peers, steps, their_tests
from jbackprop import signals
from jbackprop.cases import CASES

IN_JAX = [case for case in CASES if case.at_scale and jax_peers.of_jax(case)]
IN_FLAX = [case for case in CASES if case.at_scale and jax_peers.of_flax(case)]


def agrees(case, twin):
    arguments = case.draw(jax.random.key(0), jnp.float32)
    both = jax.jit(lambda *arrays: [jax.tree.leaves(f(*arrays)) for f in (twin, case.rule)])
    for y, w in zip(*both(*arguments), strict=True):
        np.testing.assert_allclose(y, w, rtol=3e-4, atol=3e-5)


@pytest.mark.parametrize("case", IN_JAX, ids=lambda case: case.name)
def test_what_jax_and_optax_have_is_the_same(case):
    if case.rule_name == "attention":
        pytest.skip("jax.nn wants values as deep as keys, which only the large case has")
    agrees(case, jax_peers.of_jax(case))


@pytest.mark.parametrize("case", IN_FLAX, ids=lambda case: case.name)
def test_what_flax_has_is_the_same(case):
    agrees(case, jax_peers.of_flax(case))


def test_a_row_is_measured_by_every_peer_that_is_there():
    (row,) = peers.run(["tanh"], rounds=1)
    assert {"by hand", "autodiff", "jax.nn, optax"} <= row.seconds.keys()
    assert min(row.seconds.values()) > 0
    assert list(peers.table([row]))[-1].startswith("| tanh | 8×64×1024 |")


def test_unknown_case_is_refused():
    with pytest.raises(ValueError, match=r"peers: cases, wanted names among .*, got 'tanhh'"):
        list(peers.run(["tanhh"]))


def test_steps_are_measured_both_ways():
    (row,) = steps.measured(["mlp"], rounds=1, peers=steps.WAYS)
    assert row.name == "mlp" and set(row.seconds) == set(row.bytes) == {"by hand", "automatic"}
    assert min(row.seconds.values()) > 0 < min(row.bytes.values())
    *_, line = steps.table([row])
    share, memory = (float(number) for number in line.split("|")[4].split(","))
    assert share == pytest.approx(row.seconds["by hand"] / row.seconds["automatic"], abs=0.01)
    assert memory == pytest.approx(row.bytes["by hand"] / row.bytes["automatic"], abs=0.01)


@pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated:DeprecationWarning")  # which jax-privacy calls
@pytest.mark.parametrize("program", ["vmap(grad)", "jax-privacy"])
def test_whoever_clips_gives_the_same_gradients(program):
    if program == "jax-privacy":
        pytest.importorskip("jax_privacy")
    problem = clipping.mlp(3)
    params = clipping.drawn(problem)
    both = (clipping.compiled(name, problem)(params, problem.x, problem.y) for name in (program, "clipped"))
    for one, same in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(one, same, rtol=0, atol=1e-5 * float(jnp.abs(same).max()))


def refusing(name):
    raise NotImplementedError("no such thing here")


def missing(name):
    importlib.import_module("no_such_module")


def test_what_is_not_there_or_refuses_is_told_in_a_line(capfd):
    peers = {"clipped": clipping.PEERS["clipped"], "A": refusing, "B": missing}
    row, _ = clipping.measured(["mlp", "mlp"], rounds=1, peers=peers)
    assert set(row.seconds) == set(row.bytes) == {"clipped"}
    told = capfd.readouterr().err.splitlines()
    assert sorted(told) == ["mlp, without A: no such thing here", "without B: No module named 'no_such_module'"]
    *_, line = clipping.table([row])
    assert line.startswith("| mlp | ") and line.endswith(" |  |  |  |  |  |  |")


def test_a_library_that_is_not_made_for_this_jax_counts_as_missing(monkeypatch):
    def outdated(*arguments):
        raise AttributeError("module 'jax' has no attribute 'old'")

    monkeypatch.setattr(importlib, "import_module", outdated)
    with pytest.raises(ImportError, match="'jax' has no attribute 'old'"):
        steps.of_peer("flax_steps", "mlp")


def test_the_cost_of_curvature(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["clipping", "--program", "Kronecker", "--networks", "mlp", "--rounds", "1"])
    clipping.main()
    head, _, line = capsys.readouterr().out.splitlines()
    assert head == "| network | Kronecker, ms | MB | against plain: time, memory |"
    assert all(float(number) > 0 for cell in line.split("|")[2:5] for number in cell.split(","))


SMALL = {
    "mlp": partial(clipping.mlp, 5),
    "cnn": partial(clipping.cnn, 3),
    "lstm": partial(clipping.lstm, 3, 6, 7, 5),
    "gpt": partial(clipping.gpt, 3, 6, 8, 2, vocabulary=11),
}
"""Of `clipping.NETWORKS`."""


def by_opacus(way, name, params, problem, max_norm):
    opacus_clipping = pytest.importorskip("experiments.peers.opacus_clipping")
    twin = opacus_clipping.TWINS[name](params)
    twin.net.double()
    opacus_clipping.load(twin, jax.tree.leaves(params))
    return opacus_clipping.leaves(twin, getattr(opacus_clipping, way)(twin, problem.x, problem.y, max_norm)())


def widened(array):
    return array.astype(jnp.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array


def in_float64(name):
    """A problem, parameters, and a norm that about half of its gradients are longer than."""
    problem = SMALL[name]()
    params, x = jax.tree.map(widened, (clipping.drawn(problem), problem.x))
    norms = signals.clipped_gradient(problem.net, problem.loss, 1.0)(params, x, problem.y).norms
    return problem._replace(x=x), params, float(jnp.median(norms))


OF_TORCH = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@OF_TORCH
@pytest.mark.parametrize(("name", "way"), [*product(SMALL, ["written_out"]), *product(list(SMALL)[:3], ["ghost"])])
def test_opacus_gives_the_same_clipped_gradient(name, way):
    """But for the 1e-6 that it adds to each norm, on the same parameters in float64."""
    with jax.enable_x64(True):
        problem, params, max_norm = in_float64(name)
        found = signals.clipped_gradient(problem.net, problem.loss, max_norm)(params, problem.x, problem.y)
        wanted = jax.tree.leaves(found.gradients)
    largest = max(float(jnp.abs(leaf).max()) for leaf in wanted)
    for got, one in zip(by_opacus(way, name, params, problem, max_norm), wanted, strict=True):
        np.testing.assert_allclose(got, one, rtol=0, atol=3e-6 * largest)


@OF_TORCH
def test_ghost_clipping_refuses_a_tied_table():
    with jax.enable_x64(True):
        problem, params, max_norm = in_float64("gpt")
    with pytest.raises(NotImplementedError, match="Parameter tying is not supported with Ghost Clipping"):
        by_opacus("ghost", "gpt", params, problem, max_norm)


def test_a_rule_has_the_arguments_of_what_it_stands_in_for():
    """All but those that its docstring says it is "without"."""
    for peer in ("jax", "optax", "lax"):
        for theirs, rule in their_tests.stand_ins(peer).items():
            ours = list(inspect.signature(rule).parameters)
            missing = {name for name in list(inspect.signature(theirs).parameters)[1:] if name not in ours}
            without = re.findall(r"without `(\w+)`", their_tests.first_lines(rule))
            assert missing <= set(without), f"{rule.__name__} in the place of {theirs.__name__}"


_THEIRS = """
import unittest
import jax
import optax


class CosineTest(unittest.TestCase):
    x = jax.numpy.array([3.0, 4.0])

    def test_right(self):
        self.assertAlmostEqual(optax.cosine_similarity(self.x, self.x), 1, places=5)

    def test_ours_fails(self):
        self.assertEqual(optax.cosine_similarity(self.x, self.x[None]).shape, (1,))

    def test_forward(self):
        jax.jvp(lambda x: optax.cosine_similarity(x, self.x), (self.x,), (self.x,))

    def test_fails_anyway(self):
        self.assertEqual(optax.cosine_similarity(self.x, self.x), 2)

    def test_of_others(self):
        optax.smooth_labels(self.x, 0.1)
"""


def test_their_tests_run_as_they_are_with_ours_in_place(tmp_path):
    file = tmp_path / "cosine_test.py"
    file.write_text(_THEIRS)
    with their_tests.staged("optax") as stage:
        outcomes = list(their_tests.run(stage, [file]))
    kinds = {outcome.test.rpartition(".")[2]: outcome.kind for outcome in outcomes}
    assert kinds == {
        "test_right": "passed",
        "test_ours_fails": "failed",
        "test_forward": "forward mode",
        "test_fails_anyway": "not about us",
        "test_of_others": "not about us",
    }
    assert "| all, each test once | 1 | 1 | 1 |" in list(their_tests.table("optax", outcomes))
