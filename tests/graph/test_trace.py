"""What a trace holds, and what is said about bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.ad_checkpoint import checkpoint_name

from jbackprop import graph
from jbackprop.command_line import main
from jbackprop.graph import _rules


def operations(f, *args, **options):
    return [node.operation for node in graph.trace(f, *args, **options).nodes]


def names(f, *args):
    return [node.name for node in graph.trace(f, *args).nodes]


def test_names_come_from_the_arguments():
    def loss(params, x, *rest):
        return params["W"] * x + params["layers"][1] + rest[0]

    assert names(loss, {"W": 1.0, "layers": [2.0, 3.0]}, 4.0, 5.0)[:5] == [
        "params.W",
        "params.layers.0",
        "params.layers.1",
        "x",
        "rest[0]",
    ]


def test_result_is_named_after_the_function():
    def loss(x):
        return jnp.sin(x)

    assert names(loss, 1.0) == ["x", "loss"]
    assert names(lambda x: checkpoint_name(jnp.sin(x), "z") * x, 1.0) == ["x", "z", "f"]


def test_nodes_know_shape_dtype_and_value():
    traced = graph.trace(lambda x, n: jnp.sum(x) * n, jnp.ones((2, 3)), 4)
    x, n = (traced.nodes[index] for index in traced.inputs)
    assert (x.shape, str(x.dtype), n.shape, str(n.dtype)) == ((2, 3), "float32", (), "int32")
    assert float(traced.nodes[traced.outputs[0]].value) == 24.0


def test_a_row_is_repeated_by_the_sum_itself():
    traced = graph.trace(lambda z, b: (z + b).sum(), jnp.ones((3, 2)), jnp.ones(2))
    assert [node.operation for node in traced.nodes] == ["input", "input", "add", "reduce_sum"]
    back = graph.backpropagate(traced)
    assert jnp.array_equal(back.arguments[1], jnp.full(2, 3.0))
    assert back.received[1][0].formula == "Σ ∂f/∂v1 ⊙ 1 over the copies"


@pytest.mark.parametrize("reduced", [jnp.sum, jnp.max, jnp.min, jnp.prod])
def test_a_sum_keeps_its_axis(reduced):
    def f(x):
        return (x / reduced(x, axis=1, keepdims=True)).sum()

    x = jnp.array([[1.0, 2.0, 4.0], [3.0, 0.5, -1.0]])
    traced = graph.trace(f, x)
    assert len(traced.nodes) == 4 and traced.nodes[1].shape == (2, 1)
    assert jnp.allclose(graph.backpropagate(traced).arguments[0], jax.grad(f)(x), atol=1e-6)


def test_copies_that_have_a_name_or_another_use_stay():
    def named(x):
        return (jnp.ones((3, 2)) * checkpoint_name(x[None], "row")).sum()

    assert "row" in names(named, jnp.ones(2))
    column = [
        node.operation for node in graph.trace(lambda x, b: (x + b[:, None]).sum(), jnp.ones((2, 2)), jnp.ones(2)).nodes
    ]
    assert "broadcast_in_dim" in column


def test_edges_lead_forward():
    traced = graph.trace(lambda x, y: jnp.sin(x) * y + x, 1.0, 2.0)
    assert all(edge.source < edge.target for edge in traced.edges)


def test_calls_are_inlined():
    @jax.jit
    def inner(x):
        return jax.checkpoint(jnp.sin)(x)

    assert operations(lambda x: inner(x) + jax.nn.relu(x), 1.0) == ["input", "sin", "relu", "add"]


def test_what_depends_on_no_input_is_a_constant():
    assert operations(lambda x: x * jnp.sum(jnp.arange(3.0) ** 2), 1.0) == [
        "input",
        "constant",
        "mul",
    ]


def test_unused_results_are_left_out():
    def f(x):
        jnp.cos(x)
        return jnp.sin(x)

    assert operations(f, 1.0) == ["input", "sin"]


def test_scan_is_one_node_or_its_steps():
    def f(x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=3)[0]

    assert operations(f, 1.0) == ["input", "scan"]
    assert operations(f, 1.0, unroll=True) == ["input", "sin", "sin", "sin"]


def test_missing_derivative_is_named_and_can_be_added(monkeypatch):
    monkeypatch.setattr(_rules, "TABLE", dict(_rules.TABLE))
    traced = graph.trace(lambda x: jax.lax.bessel_i0e(x), 0.5)
    with pytest.raises(NotImplementedError, match=r"'bessel_i0e'; add one with graph\.derivative"):
        graph.backpropagate(traced)
    local = graph.Factor("i₁({x}) − sign {x} · {y}", lambda c: jax.lax.bessel_i1e(c.x) - c.y)
    graph.derivative("bessel_i0e", local)
    (got,) = graph.backpropagate(traced).arguments
    assert jnp.allclose(got, jax.grad(jax.lax.bessel_i0e)(0.5))


def test_loop_that_is_not_unrolled_says_how():
    traced = graph.trace(lambda x: jax.lax.fori_loop(0, 2, lambda i, y: y * x, x), 2.0)
    with pytest.raises(NotImplementedError, match=r"'scan' \(trace with unroll=True"):
        graph.backpropagate(traced)


@pytest.mark.parametrize(
    ("f", "args", "error", "message"),
    [
        (lambda x: x, (jnp.ones(3),), ValueError, r"wanted one scalar, got shapes \[\(3,\)\]"),
        (lambda x: (x, x), (1.0,), ValueError, r"wanted one scalar, got shapes \[\(\), \(\)\]"),
        (lambda n: n * 1.5, (3,), TypeError, r"wanted a float among them, got \['int32'\]"),
        (lambda x: jnp.argmax(x), (jnp.ones(3),), TypeError, "wanted a float, got int32"),
    ],
)
def test_functions_without_a_gradient_are_refused(f, args, error, message):
    with pytest.raises(error, match=message):
        graph.backpropagate(graph.trace(f, *args))


def test_a_second_call_compiles_nothing(programs):
    arguments = [(jnp.full((2, 3), x), jnp.ones(3)) for x in (1.0, 2.0)]
    before = -1
    for given in arguments:
        before = programs()
        graph.backpropagate(graph.trace(lambda w, x: jnp.sum(jnp.tanh(w @ x)), *given, unroll=True))
    assert programs() == before


LOOPS = {
    "a scan": (lambda x: jax.lax.fori_loop(0, 10**9, lambda i, y: y * x, x), "100 steps of a scan .*, got 1000000000"),
    "a while without end": (lambda x: jax.lax.while_loop(lambda y: y == y, lambda y: y, x), "100 steps of a while"),
    "long steps": (lambda x: jax.lax.fori_loop(0, 99, lambda i, y: jnp.sin(y) * x, x), "100 nodes, got more"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_too_long_to_be_written_out_is_refused(name):
    f, message = LOOPS[name]
    with pytest.raises(ValueError, match=f"trace: f, wanted at most {message}"):
        graph.trace(f, 2.0, unroll=True, limit=100)


def test_traced_arguments_are_refused():
    with pytest.raises(TypeError, match="wanted concrete values"):
        jax.jit(lambda x: graph.trace(jnp.sin, x))(1.0)


def test_a_rule_that_is_none_is_refused():
    wrong: Any = 3
    with pytest.raises(TypeError, match="wanted Factor, Linear or None, got 3"):
        graph.derivative("mine", wrong)


def graph_command(*words):
    return main(["graph", *words])


FAN_OUT = "jbackprop.graph.examples:fan_out"


def test_graph_prints_the_table(capsys):
    graph_command(FAN_OUT, "--args", "-1.0", "3.0", "4.0")
    assert "∂f/∂b = 7 + 2 = 9" in capsys.readouterr().out


def test_graph_writes_a_picture_that_steps(tmp_path, capsys):
    words = (FAN_OUT, "--args", "-1.0", "3.0", "4.0", "--animate", "--out")
    assert graph_command(*words, str(tmp_path / "out.svg")) == 0
    assert "@keyframes" in (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert graph_command(*words, str(tmp_path / "out.html")) == graph_command(*words[:-1]) == 2
    assert "wanted one of .svg" in capsys.readouterr().err


def test_graph_writes_a_page(tmp_path, capsys):
    page = tmp_path / "out.html"
    graph_command(FAN_OUT, "--args", "-1.0", "3.0", "4.0", "--html", str(page))
    assert capsys.readouterr().out == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere', wanted PKG.MODULE:FUNCTION"),
        (["nowhere:f"], "module 'nowhere' does not import"),
        (["jax.numpy:nothing"], "there is no 'nothing' in jax.numpy"),
        (["jax.numpy:pi"], "wanted a function, got float"),
        ([FAN_OUT, "--args", "1.0"], "missing a required argument: 'b'"),
        ([FAN_OUT, "--args", "f32[3"], "argument 'f32[3', wanted an array such as f32[8,16]"),
        ([FAN_OUT, "--args", "-1.0", "3.0", "4.0", "--out", "nowhere/page.html"], "cannot write nowhere/page.html"),
    ],
)
def test_graph_refuses(words, message, capsys):
    assert graph_command(*words) == 2
    assert message in capsys.readouterr().err
