"""The benchmark against other libraries: what it times is the same function everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import peers
from experiments.peers import clipping, jax_peers, steps
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
