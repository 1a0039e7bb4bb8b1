"""The ways of an accelerator, on a CPU: one reduction of the logits, steps in a turn, rows in large tiles, gates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop.cases import CASES
from jbackprop.rules.losses._class_chunks import statistics

LOGITS = 5 * jax.random.normal(jax.random.key(0), (3, 7)).at[1, 2].set(-jnp.inf).at[2].set(-jnp.inf)
HIT = jnp.arange(7) == jnp.array([1, 3, 6])[:, None]


@pytest.fixture
def on_gpu(monkeypatch):
    """What is traced from now on is for another device than a CPU."""
    _, before = jax.clear_caches(), jax.default_backend()
    yield lambda wanted: monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if wanted else before)
    jax.clear_caches()


def test_one_pass_over_the_logits_finds_what_three_do(on_gpu):
    def with_derivatives(z):
        def cost(z):
            largest, total, chosen = statistics(z, HIT[: len(z)])
            return (jnp.log(total) + largest - chosen).sum()

        return statistics(z, HIT[: len(z)]), jax.grad(cost)(z), jax.hessian(cost)(z)

    found = []
    for wanted in (True, False):
        on_gpu(wanted)
        found.append((with_derivatives(LOGITS[:2]), statistics(LOGITS, HIT)))
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


NAMES = (
    "ctc",
    "glu, axis 1",
    "gru, lengths, reverse, two batch axes",
    "linear_softmax_cross_entropy",
    "linear_softmax_cross_entropy, no batch axis",
    "lstm",
    "swiglu, one array",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_computes_the_same_in_the_ways_of_an_accelerator(name, on_gpu):
    (case,) = (case for case in CASES if case.name == name)

    def pulled(*arguments):
        y, pull = jax.vjp(case.rule, *arguments)
        gradients = pull(jax.tree.map(jnp.sin, y))
        return y, [each for each in gradients if each.dtype != jax.dtypes.float0]

    found = []
    for wanted in (True, False):
        on_gpu(wanted)
        jax.clear_caches()
        found.append(jax.jit(pulled)(*case.draw(jax.random.key(0))))
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
