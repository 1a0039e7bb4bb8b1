"""The worked examples with their exact numbers, as graph, table and gallery."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gallery
from jbackprop import graph
from jbackprop.graph.examples import EXAMPLES

NUMBERS = {
    "shared-factors": (
        {"z": 0.0, "a": 0.5, "C": 0.125},
        {"C": 1.0, "a": -0.5, "z": -0.125, "w": -0.125, "b": -0.125, "x": -0.25, "y": 0.5},
    ),
    "linear-regression": (
        {"w": 5.0, "x": 1.0, "u": 5.0, "ŷ": 6.0, "e": 4.0, "J": 16.0},
        {"J": 1.0, "e": 8.0, "ŷ": 8.0, "u": 8.0, "b": 8.0, "w": 8.0, "x": 40.0, "y": -8.0},
    ),
    "fan-out": (
        {"x": 2.0, "y": 7.0, "f": 14.0},
        {"f": 1.0, "x": 7.0, "y": 2.0, "a": 7.0, "b": 9.0, "c": 2.0},
    ),
    "sigmoid-unit": (
        {"wᵀx": 1.0, "z": 0.0, "y": 0.5},
        {"z": 0.25, "b": 0.25, "w": [0.25, 0.75, 1.0], "x": [0.5, -0.25, 0.125]},
    ),
    "three-layer-chain": (
        {"z1": 0.0, "z2": 0.0, "z3": 0.0, "a1": 0.5, "a2": 0.5, "a3": 0.5, "C": 0.125},
        {
            **{"z3": -0.125, "w3": -0.0625, "b3": -0.125},  # δ₃ = (a₃ − y) σ'(z₃)
            **{"z2": 0.0625, "w2": 0.03125, "b2": 0.0625},  # δ₂ = w₃ δ₃ σ'(z₂)
            **{"z1": 0.0625, "w1": 0.0625, "b1": 0.0625},  # δ₁ = w₂ δ₂ σ'(z₁)
        },
    ),
    "two-layer-net": (
        {
            "Z1": [[3, 4, 2, 1], [0, 4, -1, -2], [1, -3, 7, -1]],
            "A1": [[3, 4, 2, 1], [0, 4, 0, 0], [1, 0, 7, 0]],
            "A2": [[7, 3, 1, 4, 9], [1, 4, 3, -4, 2], [16, -7, -2, 9, 10]],
        },
        {
            # δ₂ = (A2 − y)/3, δ₁ = (δ₂ w2ᵀ) ⊙ [Z1 > 0], and the gradients x ᵀδ
            "A2": np.array([[2, 0, 0, 0, 2], [-7, 2, 0, -3, -5], [-1, -1, 2, -2, 1]]) / 3,
            "Z1": np.array([[4, 0, 6, 2], [0, 5, 0, 0], [-6, 0, -2, 0]]) / 3,
            "b2": np.array([-6, 1, 2, -5, -2]) / 3,
            "b1": np.array([-2, 5, 4, 2]) / 3,
            "w1": np.array([[-8, -5, 2, 2], [14, 5, 14, 4]]) / 3,
        },
    ),
}


def node(back, name):
    return next(node for node in back.graph.nodes if node.name == name)


@pytest.mark.parametrize("slug", NUMBERS)
def test_exact_numbers(slug):
    back = EXAMPLES[slug].backpropagate()
    values, gradients = NUMBERS[slug]
    for name, value in values.items():
        np.testing.assert_array_equal(node(back, name).value, value, err_msg=name)
    for name, gradient in gradients.items():
        got = back.gradients[node(back, name).index]
        np.testing.assert_allclose(got, gradient, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("slug", EXAMPLES)
def test_equals_automatic(slug):
    example = EXAMPLES[slug]
    arguments = tuple(range(len(example.arguments)))
    automatic = jax.grad(example.function, argnums=arguments)(*example.arguments)
    by_hand = example.backpropagate().arguments
    assert jax.tree.structure(by_hand) == jax.tree.structure(automatic)
    for got, want in zip(*map(jax.tree.leaves, (by_hand, automatic)), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


def test_shared_factors_are_computed_once():
    """∂C/∂a and ∂C/∂z stand on one path to both parameters: one message each."""
    back = EXAMPLES["shared-factors"].backpropagate()
    for name in ("a", "z"):
        assert len(back.received[node(back, name).index]) == 1
    reads = [back.received[node(back, name).index][0].received for name in ("w", "b")]
    assert all(float(read) == -0.125 for read in reads)


def test_fan_out_receives_seven_and_two():
    back = EXAMPLES["fan-out"].backpropagate()
    assert [float(message.value) for message in back.received[node(back, "b").index]] == [7.0, 2.0]


def test_table_of_linear_regression():
    lines = str(EXAMPLES["linear-regression"].backpropagate()).splitlines()
    assert [line.rstrip() for line in lines[2:5]] == [
        "J     e²            16                                      ∂J/∂J = 1",
        "e     ŷ − y          4  J     ∂J/∂J · 2e = 1 · 8 = 8        ∂J/∂e = 8",
        "ŷ     u + b          6  e     ∂J/∂e · 1 = 8 · 1 = 8         ∂J/∂ŷ = 8",
    ]


def test_table_shows_the_sum():
    assert "∂f/∂b = 7 + 2 = 9" in str(EXAMPLES["fan-out"].backpropagate())


def test_gallery_writes_every_example_and_an_index(tmp_path):
    index = gallery.write(tmp_path / "pages")
    text = index.read_text(encoding="utf-8")
    for slug in EXAMPLES:
        assert f'href="{slug}.html"' in text
        assert (index.parent / f"{slug}.html").stat().st_size > 10_000
    assert (index.parent / "products.svg").exists()
    assert "http" not in text.replace("http-equiv", "")


def enumerated(back):
    """Every path from every input to the cost, walked one by one."""
    lengths = []

    def walk(index, length):
        if index == back.cost.index:
            lengths.append(length)
        for message in back.received[index]:
            walk(message.edge.target, length + 1)

    for index in back.graph.inputs:
        if back.gradients[index] is not None:
            walk(index, 0)
    return len(lengths), sum(lengths)


def needed(back):
    """The messages of nodes that lead to the cost; the others are zeros from where a gradient is stopped."""
    alive = {back.cost.index}
    for message in back.messages:
        if message.edge.target in alive:
            alive.add(message.edge.source)
    return [message for message in back.messages if message.edge.target in alive]


@pytest.mark.parametrize("slug", EXAMPLES)
def test_count_equals_enumeration(slug):
    back = EXAMPLES[slug].backpropagate()
    counted = graph.count(back)
    assert (counted.paths, counted.path_by_path) == enumerated(back)
    assert counted.reverse == len(needed(back))


def test_counts_of_linear_regression():
    """w and x are four edges from J, b three, y two; seven edges in all."""
    back = EXAMPLES["linear-regression"].backpropagate()
    assert graph.count(back) == graph.Products(paths=4, path_by_path=13, forward=13, reverse=7)


def test_paths_grow_with_the_power_of_the_depth():
    """x ↦ x·x doubles the paths: 2ᵈ of length d, on 2d edges."""

    def squares(x):
        for _ in range(10):
            x = x * x
        return x

    counted = graph.count(graph.backpropagate(graph.trace(squares, 1.0)))
    assert counted == graph.Products(paths=2**10, path_by_path=10 * 2**10, forward=20, reverse=20)


def test_stopped_paths_do_not_count():
    back = graph.backpropagate(graph.trace(lambda x: x * jax.lax.stop_gradient(x * x), 2.0))
    assert graph.count(back).paths == 1
    assert back.arguments == (4.0,)


def test_forward_mode_pays_for_each_input():
    """With n inputs and one chain behind them, forward mode walks the chain n times."""

    def f(xs):
        return jnp.sin(jnp.sin(xs[0] + xs[1] + xs[2]))

    counted = graph.count(graph.backpropagate(graph.trace(f, [1.0, 2.0, 3.0])))
    assert counted.reverse == 6
    assert counted.forward == 4 + 4 + 3
