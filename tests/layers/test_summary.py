"""A network's summary: every layer in its place, and figures that are those of the network itself."""

import math

import jax
import pytest

from jbackprop import layers

BLOCK = layers.residual(layers.layer_norm(), layers.linear(64), layers.gelu(), layers.linear(16))
NET = layers.shared(
    layers.chain(layers.embedding(50, 16), layers.stack(layers.checkpoint(BLOCK), 3), layers.linear(50, bias=False)),
    ("0.table", "2.w.T"),
)
T = 32


def test_every_layer_in_its_place():
    found = layers.summary(NET, (T,))
    assert [(row.place, row.name, row.out_shape) for row in found.rows] == [
        ("0", "embedding", (T, 16)),
        ("1", "stack", (T, 16)),
        ("1.0", "checkpoint", (T, 16)),
        ("1.0.0", "residual", (T, 16)),
        ("1.0.0.0", "layer_norm", (T, 16)),
        ("1.0.0.1", "linear", (T, 64)),
        ("1.0.0.2", "gelu", (T, 64)),
        ("1.0.0.3", "linear", (T, 16)),
        ("2", "linear", (T, 50)),
    ]


def test_the_figures_are_those_of_the_network():
    found = layers.summary(NET, (T,))
    params, _ = NET.init(jax.random.key(0), (T,))
    _, cache = NET.forward(params, jax.numpy.zeros((1, T), int))
    assert found.total.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert found.total.kept_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(cache))
    stack, checkpoint, residual = found.rows[1:4]
    assert stack.parameters == 3 * checkpoint.parameters == 3 * residual.parameters
    assert stack.kept_bytes == 3 * checkpoint.kept_bytes == 3 * T * 16 * 4 < residual.kept_bytes
    assert found.total.flops is not None and math.isclose(
        found.total.flops, sum(found.rows[i].flops or 0 for i in (0, 1, 8))
    )
    products = 3 * 2 * T * 16 * 64 * 2 + 2 * T * 16 * 50
    assert products < found.total.flops < 1.5 * products


def test_it_prints_as_a_table():
    lines = str(layers.summary(layers.chain(layers.linear(5), layers.tanh()), (3,))).splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "kept", "an", "example", "FLOPs", "forward"]
    assert [line.split()[:4] for line in lines[2:4]] == [["0", "linear", "[5]", "20"], ["1", "tanh", "[5]", "0"]]
    assert lines[4].split()[:3] == ["all", "[5]", "20"]


def test_a_single_layer():
    (row,) = layers.summary(layers.linear(5), (3,)).rows
    assert (row.name, row.out_shape, row.parameters, row.kept_bytes) == ("linear", (5,), 20, 12)


def test_a_shape_that_does_not_fit():
    with pytest.raises(
        ValueError, match=r"conv: shape, wanted 3 axes \(of one example, without the batch\), got \(8,\)"
    ):
        layers.summary(layers.conv(4, (3, 3)), (8,))


LOSSES = layers.linear_softmax_cross_entropy(5)
MIXED = {
    "lengths": (layers.lstm(4, lengths=True), ((5, 3), ())),
    "labels": (layers.chain(layers.parallel(layers.linear(8), layers.identity(), split=True), LOSSES), ((4,), ())),
}


@pytest.mark.parametrize("name", MIXED)
def test_inputs_of_numbers_and_of_integers(name):
    net, shape = MIXED[name]
    params, _ = net.init(jax.random.key(0), shape)
    found = layers.summary(net, shape).total
    assert found.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert not jax.tree.leaves(layers.initial_statistics(net, params, shape))
