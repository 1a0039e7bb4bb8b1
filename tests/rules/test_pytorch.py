"""The rules against PyTorch's autograd, where it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop.cases import CASES, Case
from jbackprop.functions import differentiable, draw_cotangents

torch_peer = pytest.importorskip(
    "experiments.peers.torch_peer", reason="PyTorch is not installed", exc_type=ImportError
)

WITHOUT_TWIN = {"dropout", "sparse_plus", "sparse_sigmoid", "bidirectional"}
"""PyTorch has no such function, or draws other random numbers."""
IN_FLOAT32 = {"hard_sigmoid", "celu"}
"""PyTorch rounds their constants to float32, whatever it is given."""


def test_every_rule_has_its_twin():
    assert {case.rule_name for case in CASES if torch_peer.twin(case) is None} == WITHOUT_TWIN


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.rule_name not in WITHOUT_TWIN], ids=lambda case: case.name
)
def test_values_and_gradients_are_those_of_pytorch(case: Case):
    with jax.enable_x64(True):
        arguments = case.draw(jax.random.key(3), jnp.float64)
        outputs, pull = differentiable(case.rule, *arguments).vjp(*arguments)
        cotangents = draw_cotangents(outputs, jax.random.key(4))
        gradients = pull(cotangents)
    f, rtol = torch_peer.twin(case), 1e-7 if case.rule_name in IN_FLOAT32 else 1e-11
    wanted = f(*map(torch_peer.tensor, arguments))
    for y, w in zip(outputs, wanted if isinstance(wanted, tuple) else (wanted,), strict=False):
        np.testing.assert_allclose(y, w.numpy(), rtol=rtol, atol=1e-12)
    for dx, w in zip(gradients, torch_peer.gradients(f, arguments, cotangents)(), strict=True):
        np.testing.assert_allclose(dx, w.numpy(), rtol=rtol, atol=1e-12)
