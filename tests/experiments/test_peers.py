"""The benchmark against other libraries: what it times is the same function everywhere."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import peers
from experiments.peers import clipping, jax_peers, steps, their_tests
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
def test_whoever_clips_gives_the_same_gradients():
    problem = clipping.mlp(3)
    params, _ = problem.net.init(jax.random.key(2), problem.shape)
    programs = clipping.programs(problem, params)
    first, *others = (jax.jit(programs[name]) for name in ("clipped", "vmap(grad)", "jax-privacy") if name in programs)
    for other in others:
        both = (jax.tree.leaves(f(params, problem.x, problem.y)) for f in (first, other))
        for one, same in zip(*both, strict=True):
            np.testing.assert_allclose(one, same, rtol=0, atol=1e-5 * float(jnp.abs(same).max()))


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
