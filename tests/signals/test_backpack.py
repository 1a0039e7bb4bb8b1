"""Beside BackPACK, where it is installed: gradients of examples, their norms and moments, and curvature, in float64."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers, rules, signals

torch = pytest.importorskip("torch")
backpack = pytest.importorskip("backpack")
extensions = pytest.importorskip("backpack.extensions")
permute = pytest.importorskip("backpack.custom_module.permute")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SHAPE, CLASSES, EXAMPLES = (5, 6, 2), 3, 4
LOSS = rules.softmax_cross_entropy
CONVOLUTIONAL = layers.chain(
    layers.conv(3, (3, 2), padding="VALID"), layers.tanh(), layers.flatten(), layers.linear(CLASSES)
)
DENSE = layers.chain(layers.flatten(), layers.linear(4), layers.sigmoid(), layers.linear(CLASSES))


def problem(net, examples=EXAMPLES):
    """Parameters, inputs and class numbers."""
    params, _ = net.init(jax.random.key(0), SHAPE)
    x = jax.random.normal(jax.random.key(1), (examples, *SHAPE), jnp.float64)
    labels = jax.random.randint(jax.random.key(2), (examples,), 0, CLASSES)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), x, labels


def twin(net, params):
    """The same network; channels stand first in its inputs."""
    flat = [permute.Permute(0, 2, 3, 1), torch.nn.Flatten()]
    if net is CONVOLUTIONAL:
        conv = torch.nn.Conv2d(SHAPE[-1], 3, (3, 2))
        parts = [conv, torch.nn.Tanh(), *flat, torch.nn.Linear(3 * 5 * 3, CLASSES)]
    else:
        parts = [*flat, torch.nn.Linear(60, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, CLASSES)]
    whole = torch.nn.Sequential(*parts).double()
    with torch.no_grad():
        for theirs, ours in zip(whole.parameters(), ordered(params), strict=True):
            theirs.copy_(torch.from_numpy(np.array(transposed(ours))))
    return whole


def ordered(tree):
    """The leaves of a tree like the parameters, weights before biases, as PyTorch has them."""
    leaves = jax.tree.leaves(tree)
    return [leaf for i in range(0, len(leaves), 2) for leaf in (leaves[i + 1], leaves[i])]


def transposed(array):
    """(*window, in, out) as (out, in, *window)."""
    axes = np.ndim(array)
    return np.transpose(array, (axes - 1, axes - 2, *range(axes - 2)) if axes > 1 else (0,))


def pulled(net, params, x, labels, *wanted, reduction="sum"):
    """The twin's parameters after BackPACK's backward pass."""
    whole = backpack.extend(twin(net, params))
    loss = backpack.extend(torch.nn.CrossEntropyLoss(reduction=reduction))
    inputs = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)
    with backpack.backpack(*wanted):
        loss(whole(inputs), torch.from_numpy(np.array(labels, np.int64))).backward()
    return list(whole.parameters())


def assert_alike(theirs, ours):
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-9, atol=1e-12)


NETS = pytest.mark.parametrize("net", [DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])


@NETS
def test_gradients_of_examples_their_norms_and_moments(net):
    with jax.enable_x64(True):
        params, x, labels = problem(net)
        factors = signals.factored_gradient(net, LOSS)(params, x, labels).factors
        found = (
            signals.per_example(factors),
            *(
                jax.tree.map(f, factors, is_leaf=layers.is_factored)
                for f in (signals.squared_norm, signals.second_moment)
            ),
        )
    wanted = extensions.BatchGrad(), extensions.BatchL2Grad(), extensions.SumGradSquared()
    theirs = pulled(net, params, x, labels, *wanted)
    for one, gradients, norms, squares in zip(theirs, *map(ordered, found), strict=True):
        assert_alike(one.grad_batch, np.stack([transposed(gradient) for gradient in np.asarray(gradients)]))
        assert_alike(one.batch_l2, norms)
        assert_alike(one.sum_grad_squared / EXAMPLES, transposed(np.asarray(squares)))


@NETS
def test_the_diagonal_of_the_gauss_newton_matrix(net):
    with jax.enable_x64(True):
        params, x, labels = problem(net)
        flat, unflat = jax.flatten_util.ravel_pytree(params)

        def entry(direction):
            moved = signals.ggn_vector_product(net, LOSS, params, x, labels, unflat(direction))
            return direction @ jax.flatten_util.ravel_pytree(moved)[0]

        diagonal = unflat(jax.jit(lambda: jax.lax.map(entry, jnp.eye(flat.size)))())
    theirs = pulled(net, params, x, labels, extensions.DiagGGNExact(), reduction="mean")
    for one, ours in zip(theirs, ordered(diagonal), strict=True):
        assert_alike(one.diag_ggn_exact, transposed(np.asarray(ours)))


def test_kronecker_factors_of_one_example():
    """The expectation over its label, which BackPACK takes by the loss's Hessian."""
    with jax.enable_x64(True):
        params, x, _ = problem(DENSE, examples=1)
        p = jax.nn.softmax(DENSE.apply(params, x)[0])
        found = [
            signals.kronecker_factors(signals.factored_gradient(DENSE, LOSS)(params, x, jnp.array([label])).factors)
            for label in range(CLASSES)
        ]
        expected = jax.tree.map(lambda *each: sum(share * one for share, one in zip(p, each, strict=True)), *found)
    theirs = pulled(DENSE, params, x, jnp.array([0]), extensions.KFLR())
    factors = [expected[i][name] for i in (1, 3) for name in ("w", "b")]
    for one, ours in zip(theirs, factors, strict=True):
        assert_alike(one.kflr[0], ours.b)
        if len(one.kflr) > 1:
            assert_alike(one.kflr[1], ours.a)
