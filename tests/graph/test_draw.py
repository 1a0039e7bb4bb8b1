"""The figures and the pages: well-formed, escaped, of bounded size."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jbackprop import graph
from jbackprop.graph._heatmap import MOST, cells
from jbackprop.graph._layout import layout
from jbackprop.graph.examples import EXAMPLES

pytestmark = pytest.mark.once
SVG = "{http://www.w3.org/2000/svg}"
SCRIPT = "</script><script>alert(1)</script>"


def fan_out():
    return EXAMPLES["fan-out"].backpropagate()


def long_chain(calls):
    @jax.jit
    def block(x):
        return jnp.sin(jnp.cos(jnp.sin(x)))

    def f(x):
        for _ in range(calls):
            x = block(x)
        return x

    return graph.backpropagate(graph.trace(f, 0.5))


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("slug", EXAMPLES)
def test_figure_is_xml_with_every_node_and_edge(slug, direction):
    back = EXAMPLES[slug].backpropagate()
    root = ElementTree.fromstring(graph.svg(back, direction))
    drawn = {int(g.get("data-node", -1)) for g in root.iter(f"{SVG}g")} - {-1}
    shown = {n.index for n in back.graph.nodes if n.operation != "constant" or n.shape}
    edges = {g.get("data-edge") for g in root.iter(f"{SVG}g")} - {None}
    assert drawn == shown
    assert len(edges) == sum(edge.source in shown for edge in back.graph.edges)


def test_nodes_of_a_layer_keep_their_distance():
    back = EXAMPLES["two-layer-net"].backpropagate()
    extents = {node.index: (30.0, 50.0) for node in back.graph.nodes}
    places = layout(back.graph, extents)
    for a in extents:
        for b in extents:
            if a < b and places.layers[a] == places.layers[b]:
                assert abs(places.across[a] - places.across[b]) >= 80.0


def test_layers_follow_the_computation():
    back = EXAMPLES["two-layer-net"].backpropagate()
    places = layout(back.graph, {node.index: (10.0, 10.0) for node in back.graph.nodes})
    for edge in back.graph.edges:
        assert places.layers[edge.source] < places.layers[edge.target]


def test_png_has_two_pixels_to_one():
    back = fan_out()
    picture = graph.png(back)
    width = int.from_bytes(picture[16:20])
    root = ElementTree.fromstring(graph.svg(back))
    assert picture.startswith(b"\x89PNG")
    assert abs(width - 2 * float(root.get("width", 0))) <= 1


def test_large_array_is_shown_by_means():
    value = jnp.arange(100.0 * 60).reshape(100, 60)
    shown = cells(value)
    assert shown.shape == (MOST, MOST)
    assert shown[0, 0] == pytest.approx(float(value[:5, :3].mean()))


@pytest.mark.parametrize("value", [jnp.zeros(3), jnp.array([jnp.nan, 1.0]), jnp.array([jnp.inf])])
def test_odd_numbers_can_be_drawn(value):
    back = graph.backpropagate(graph.trace(jnp.sum, value))
    ElementTree.fromstring(graph.svg(back))


def test_keys_and_empty_arrays_can_be_drawn():
    def f(key, x, empty):
        return jnp.sum(x * jax.random.normal(key, x.shape)) + jnp.sum(empty)

    back = graph.backpropagate(graph.trace(f, jax.random.key(0), jnp.ones(3), jnp.ones((0, 2))))
    back.html()


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_names_are_escaped():
    def f(params):
        return checkpoint_name(params[SCRIPT] * 2.0, "<img src=x onerror=alert(1)>")

    back = graph.backpropagate(graph.trace(f, {SCRIPT: 3.0}))
    parser = _Tags()
    parser.feed(back.html(title=SCRIPT, about="{{data}} & <b>"))
    assert parser.tags.count("script") == 2
    assert "img" not in parser.tags and "b" not in parser.tags
    ElementTree.fromstring(graph.svg(back))


def test_page_loads_nothing():
    parser = _Tags()
    page = fan_out().html()
    parser.feed(page)
    assert parser.sources == []
    assert "@import" not in page and "url(" not in page


def test_too_large_a_graph_says_how_large_and_what_to_do():
    back = long_chain(60)
    message = r"at most 120 nodes, got 181; group\(back\) .*\(61 nodes\), print\(back\).*limit=181"
    with pytest.raises(ValueError, match=message):
        graph.svg(back)
    graph.svg(graph.group(back))
    assert len(str(back).splitlines()) == 183


def test_group_keeps_gradients():
    back = long_chain(3)
    grouped = graph.group(back)
    assert [node.operation for node in grouped.graph.nodes] == ["input", *3 * ["block"]]
    assert grouped.arguments == back.arguments
    assert all(e.source < e.target for e in grouped.graph.edges)
    for node in grouped.graph.nodes[:-1]:
        (message,) = grouped.received[node.index]
        assert message.value == grouped.gradients[node.index]


def test_constants_of_a_group_go_with_it():
    @jax.jit
    def block(x):
        return x * jnp.array([1.0, 2.0]) + 3.0

    back = graph.group(graph.backpropagate(graph.trace(lambda x: block(x).sum(), jnp.ones(2))))
    assert [node.operation for node in back.graph.nodes] == ["input", "block", "reduce_sum"]
    (message,) = back.received[0]
    assert message.formula.endswith("through block") and jnp.array_equal(message.value, back.arguments[0])


def test_what_a_group_uses_twice_it_sends_one_message():
    @jax.jit
    def block(x, y):
        return x * y + jnp.sin(x)

    back = graph.group(graph.backpropagate(graph.trace(lambda x, y: block(x, y) + x * x, 0.5, 2.0)))
    node = next(node for node in back.graph.nodes if node.operation == "block")
    assert [back.graph.nodes[index].name for index in node.operands] == ["x", "y"]
    through, *product = back.received[0]
    assert through.value == pytest.approx(2.0 + np.cos(0.5)) and [message.value for message in product] == [0.5, 0.5]


def test_group_of_steps():
    def f(x, w):
        return jax.lax.scan(lambda h, row: (jnp.tanh(h * w + row.sum()), None), 0.5, x)[0]

    args = (jnp.ones((4, 3)), 2.0)
    back = graph.group(graph.backpropagate(graph.trace(f, *args, unroll=True)))
    assert [n.operation for n in back.graph.nodes].count("scan step 2") == 1
    assert jnp.allclose(back.arguments[1], jax.grad(f, argnums=1)(*args), rtol=1e-5)
    back.html()


def test_group_depth():
    with pytest.raises(ValueError, match="depth, wanted at least 1, got 0"):
        graph.group(fan_out(), 0)


def test_an_animation_shows_each_number_from_its_step_on():
    back = fan_out()
    drawn = graph.animation(back, seconds=2.0)
    ElementTree.fromstring(drawn)
    steps = len(back.messages) + 4  # three values forward, the cost's own gradient
    frames = dict(re.findall(r"@keyframes (\S+?)\{(.*?\})\}", drawn))
    assert [name for name in frames if name.startswith("v")] == ["v1", "v2", "v3"]
    assert frames["v2"].startswith(f"0.00%{{visibility:hidden}}{200 / (steps + 5):.2f}%{{visibility:visible}}")
    assert sum(name.startswith("m") for name in frames) == len(back.messages)
    assert f"{2.0 * (steps + 5):g}s step-end infinite" in drawn and "prefers-reduced-motion" in drawn
    assert "b = 7 + 2 = 9" in drawn and "<script" not in drawn
    with pytest.raises(ValueError, match="animation: seconds, wanted a positive number, got 0"):
        graph.animation(back, seconds=0)


def test_direction():
    with pytest.raises(ValueError, match="wanted 'right' or 'down', got 'up'"):
        graph.svg(fan_out(), "up")


@pytest.mark.parametrize("suffix", ["html", "svg", "png", "txt", "md"])
def test_save(tmp_path, suffix):
    fan_out().save(tmp_path / f"f.{suffix}")
    assert (tmp_path / f"f.{suffix}").stat().st_size > 300


def test_save_refuses_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"wanted one of \.txt, \.md, \.html, \.svg, \.png, got '\.pdf'"):
        fan_out().save("f.pdf")
    with pytest.raises(OSError, match=r"save: path, cannot write .*: No such file"):
        fan_out().save(tmp_path / "nowhere" / "f.svg")


@pytest.mark.parametrize(("module", "draw"), [("igraph", graph.svg), ("resvg_py", graph.png)])
def test_missing_extra_is_named(monkeypatch, module, draw):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'jbackprop\[graph\]'"):
        draw(fan_out())
