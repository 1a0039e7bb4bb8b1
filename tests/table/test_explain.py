"""The backprop table: right networks agree row by row, a planted fault is found where it is, and every form says so."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.layers import About, Factored, Outer, Summed, factored
from tests.layers.user_layers import Add, Scale, Twice, altered

M, N = 7, 5


def draw(*shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape), dtype)


def explained(net, x, loss=rules.squared_error, y=None, key=None, batch_axes=1):
    params, shape = net.init(jax.random.key(0), x.shape[batch_axes:])
    return jb.explain(net, loss)(params, x, draw(*x.shape[:batch_axes], *shape, dtype=x.dtype) if y is None else y, key)


def kinds(table):
    return {row.verdict.kind for row in table.rows}


NETWORKS = {
    "one layer": lambda: layers.linear(3),
    "one activation": layers.tanh,
    "no bias": lambda: layers.chain(layers.linear(4, bias=False), layers.tanh()),
    "two in a row": lambda: layers.chain(layers.linear(4), layers.linear(3)),
    "activation first": lambda: layers.chain(layers.relu(), layers.linear(3), layers.silu(), layers.softplus()),
    "nested": lambda: layers.chain(
        layers.chain(layers.linear(4), layers.chain(layers.elu(), Scale())), layers.linear(3)
    ),
    "deep": lambda: layers.chain(*[part for _ in range(12) for part in (layers.linear(N), layers.tanh())]),
    "saturated softmax": lambda: layers.chain(layers.linear(6, weights=layers.he_normal()), Scale(), layers.softmax()),
    "dropout": lambda: layers.chain(layers.linear(4), layers.dropout(0.5), layers.linear(3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_network_agrees_in_every_row(name):
    table = explained(NETWORKS[name](), 9 * draw(M, N), key=jax.random.key(3))
    assert table.first_difference is None
    assert kinds(table) <= {"exact", "rounding"}
    assert "Every row agrees" in str(table)


def test_every_activation_has_its_rows():
    names = [
        "elu",
        "gelu",
        "leaky_relu",
        "log_softmax",
        "relu",
        "selu",
        "sigmoid",
        "silu",
        "softmax",
        "softplus",
        "tanh",
    ]
    table = explained(layers.chain(layers.linear(4), *(getattr(layers, name)() for name in names)), draw(M, N))
    assert [block.title for block in table.layers[1:]] == [
        f"layer 1, {name} (part {i})" for i, name in enumerate(names, 1)
    ]
    assert kinds(table) <= {"exact", "rounding"}


def test_rows_and_symbols():
    table = explained(layers.chain(layers.linear(4), layers.relu(), Scale(), layers.linear(3, bias=False)), draw(M, N))
    assert [(row.symbol, row.equation) for block in table.blocks for row in block.rows] == [
        ("∂C/∂x", "δ¹ W¹ᵀ"),
        ("z¹", "x W¹ + b¹"),
        ("δ¹ = ∂C/∂z¹", "∂C/∂a¹ ⊙ relu′(z¹)"),
        ("∂C/∂W¹", "xᵀ δ¹"),
        ("∂C/∂b¹", "Σ δ¹"),
        ("a¹", "relu(z¹)"),
        ("∂C/∂a¹", "∂C/∂z² · ∂z²/∂a¹"),
        ("z²", "scale(a¹)"),
        ("∂C/∂z²", "δ³ W³ᵀ"),
        ("δ²", "backward(∂C/∂z²)"),
        ("∂C/∂s²", "Σ δ²"),
        ("z³", "z² W³"),
        ("δ³ = ∂C/∂z³", "(z³ − y) / m"),
        ("∂C/∂W³", "z²ᵀ δ³"),
        ("C", "1/m Σ squared_error(z³, y)"),
    ]


def test_values_are_those_of_backprop_and_of_jax_grad():
    net, x, y = layers.chain(layers.linear(4), layers.gelu(), Scale(), layers.linear(3)), draw(M, N), draw(M, 3)
    params, _ = net.init(jax.random.key(0), (N,))
    table = jb.explain(net, rules.squared_error)(params, x, y)
    for read, differentiate in (("value", jb.backprop), ("automatic", jb.autodiff)):
        cost, gradients, _ = differentiate(net, rules.squared_error)(params, x, y)
        for layer, wanted in zip(table.layers, gradients, strict=True):
            got = {row.name: getattr(row, read) for row in layer.rows if row.role == "gradient"}
            assert got.keys() == (wanted or {}).keys()
            for name in got:
                np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(getattr(table.cost.rows[0], read), cost, rtol=1e-6)


def test_half_precision():
    net, x, y = layers.chain(layers.linear(4), layers.tanh(), layers.linear(3)), draw(M, N), draw(M, 3)
    params, _ = net.init(jax.random.key(0), (N,))
    params, x, y = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, x, y))
    assert jb.explain(net, rules.squared_error)(params, x, y).first_difference is None


def test_integers_as_input():
    net = layers.chain(layers.embedding(9, 4), layers.linear(3))
    params, _ = net.init(jax.random.key(0), ())
    ids, y = jnp.array([3, 1, 3, 8]), jnp.array([0, 2, 1, 1])
    table = jb.explain(net, rules.softmax_cross_entropy)(params, ids, y)
    assert table.input.rows == ()
    assert kinds(table) <= {"exact", "rounding"}


@dataclasses.dataclass(frozen=True, repr=False)
class Numbered(layers.Layer):
    """(x, n) ↦ (x + b, n), n integers."""

    def init(self, key, shape):
        return {"b": jax.random.normal(key, shape[0])}, shape

    def forward(self, params, x, key=None):
        return (x[0] + params["b"], x[1]), ()

    def backward(self, params, cache, dy):
        return (dy[0], None), dy[0]

    def factors(self, params, cache, delta):
        return {"b": Summed(delta, params["b"].shape)}


LENGTHS = layers.lstm(4, lengths=True)
BESIDE_LENGTHS = {
    "a branch": layers.chain(layers.parallel(layers.linear(3), layers.identity(), split=True), LENGTHS),
    "a branch of one layer": layers.parallel(layers.chain(layers.linear(4)), layers.identity(), split=True),
    "a branch inside another": layers.checkpoint(
        layers.parallel(layers.residual(layers.linear(N)), layers.chain(layers.identity()), split=True), LENGTHS
    ),
    "a layer": layers.chain(Numbered(), LENGTHS),
}


@pytest.mark.parametrize("name", BESIDE_LENGTHS)
def test_integers_beside_another_input(name):
    net, x, n = BESIDE_LENGTHS[name], draw(3, 6, N), jnp.array([4, 6, 1])
    params, _ = net.init(jax.random.key(0), ((6, N), ()))
    table = jb.explain(net, lambda z, y: rules.squared_error(jax.tree.leaves(z)[0], y))(params, (x, n), draw(3, 6, 4))
    assert table.first_difference is None
    alone = [(row.role, row.source) for row in table.rows if row.verdict.kind == "alone"]
    assert all(role == "delta" and "lstm" in source for role, source in alone)
    assert "Every row agrees" in str(table)


BLOCK = layers.residual(layers.chain(layers.linear(N), layers.tanh()))
HALF = layers.chain(layers.linear(N), layers.tanh())
TWO = (layers.tanh(), layers.relu())
BOTH = layers.parallel(layers.linear(N), layers.identity())
COMBINED = {
    "residual": (BLOCK, (N,)),
    "residual of one layer": (layers.residual(layers.linear(N)), (N,)),
    "parallel, tuple": (layers.chain(layers.parallel(layers.linear(3), layers.linear(3)), Add()), (N,)),
    "parallel, sum": (layers.parallel(layers.linear(N), HALF, layers.identity(), join="sum"), (N,)),
    "parallel, concatenate": (layers.parallel(layers.linear(3), HALF, join="concatenate"), (N,)),
    "stack": (layers.stack(BLOCK, 3), (N,)),
    "shared": (layers.shared(layers.chain(layers.linear(N), layers.tanh(), layers.linear(N)), ("0.w", "2.w.T")), (N,)),
    "checkpoint": (layers.checkpoint(layers.linear(4), layers.tanh()), (N,)),
    "reversible": (layers.chain(BOTH, layers.reversible(HALF, layers.linear(N), 2), Add()), (N,)),
    "map_over_time": (layers.map_over_time(layers.chain(layers.linear(4), layers.tanh())), (3, N)),
}


@pytest.mark.parametrize("name", COMBINED)
def test_a_combinator_is_shown_part_by_part(name):
    net, shape = COMBINED[name]
    table = explained(net, 0.5 * draw(M, *shape), key=jax.random.key(3))
    assert table.first_difference is None
    assert kinds(table) <= {"exact", "rounding"}
    assert len(table.dictionary()) == len(table.rows)


def test_rows_and_symbols_inside_combinators():
    net = layers.chain(layers.residual(layers.linear(N, bias=False), layers.tanh()), layers.stack(layers.relu(), 2))
    table = explained(net, draw(M, N))
    assert [(block.title, row.symbol, row.equation) for block in table.blocks for row in block.rows] == [
        ("input", "∂C/∂x", "∂C/∂a¹′ + δ¹ W¹ᵀ"),
        ("inside residual (part 0)", "∂C/∂x through 0.0", "δ¹ W¹ᵀ"),
        ("layer 1, linear (part 0.0)", "z¹", "x W¹"),
        ("layer 1, linear (part 0.0)", "δ¹ = ∂C/∂z¹", "∂C/∂a¹ ⊙ tanh′(z¹)"),
        ("layer 1, linear (part 0.0)", "∂C/∂W¹", "xᵀ δ¹"),
        ("layer 1, tanh (part 0.1)", "a¹", "tanh(z¹)"),
        ("layer 1, tanh (part 0.1)", "∂C/∂a¹", "∂C/∂a¹′"),
        ("residual (part 0)", "a¹′", "x + a¹"),
        ("residual (part 0)", "∂C/∂a¹′", "∂C/∂a¹′′ ⊙ relu′(a¹′)"),
        ("layer 1, relu (part 1.0)", "a¹′′", "relu(a¹′)"),
        ("layer 1, relu (part 1.0)", "∂C/∂a¹′′", "∂C/∂a¹′′′ ⊙ relu′(a¹′′)"),
        ("layer 1, relu (part 1.1)", "a¹′′′", "relu(a¹′′)"),
        ("layer 1, relu (part 1.1)", "∂C/∂a¹′′′", "(a¹′′′ − y) / m"),
        ("cost", "C", "1/m Σ squared_error(a¹′′′, y)"),
    ]


def test_each_part_of_a_tuple_has_its_own_equation():
    net = layers.chain(layers.parallel(layers.linear(3), layers.linear(3)), layers.parallel(*TWO, split=True), Add())
    equations = {row.symbol: row.equation for row in explained(net, draw(M, N)).rows}
    assert (equations["a²[0]"], equations["a²[1]"]) == ("z¹", "z²")
    assert (equations["∂C/∂a²[0]"], equations["∂C/∂a²[1]"]) == ("∂C/∂a²′ ⊙ tanh′(a²[0])", "∂C/∂a²′′ ⊙ relu′(a²[1])")
    assert equations["∂C/∂x"] == "δ¹ W¹ᵀ + δ² W²ᵀ"


@pytest.mark.parametrize(
    ("norm", "equation"),
    [
        (layers.layer_norm(), "γ¹ ⊙ x̂ + β¹"),
        (layers.rms_norm(), "γ¹ ⊙ x̂"),
        (layers.batch_norm(scale=False), "x̂ + β¹"),
        (layers.batch_norm(scale=False, offset=False), "x̂"),
    ],
)
def test_the_equation_of_a_normalisation_has_the_parameters_that_it_has(norm, equation):
    assert explained(norm, draw(M, N)).rows[0].equation == equation


def test_a_parameter_with_two_uses_has_a_row_for_each_and_one_for_their_sum():
    table = explained(*_with_input(COMBINED["shared"]))
    sums = {row.symbol: row.equation for block in table.blocks for row in block.rows if row.role == "gradient"}
    assert sums["∂C/∂(0.w)"] == "Σ over its uses"
    value = {row.symbol: row.value for row in table.rows}
    np.testing.assert_allclose(value["∂C/∂(0.w)"], value["∂C/∂W¹"] + value["∂C/∂W²"].T, rtol=1e-5)


def _with_input(combined):
    net, shape = combined
    return net, draw(M, *shape)


def test_blocks_of_a_stack_get_their_own_gradients():
    net, x = _with_input(COMBINED["stack"])
    table = explained(net, x)
    params, _ = net.init(jax.random.key(0), (N,))
    _, gradients, _ = jb.backprop(net, rules.squared_error)(params, x, draw(M, N))
    rows = {row.symbol: row.value for row in table.rows}
    for i in range(3):
        np.testing.assert_allclose(rows[f"∂C/∂W{'¹²³'[i]}"], gradients[0]["w"][i], rtol=1e-5)


@pytest.mark.parametrize("name", ["residual", "parallel", "checkpoint", "stack", "map_over_time", "reversible"])
def test_a_fault_inside_a_combinator_is_found_where_it_is(name):
    faulty = layers.chain(layers.linear(N), with_fault(layers.tanh(), "dx"))
    make = {
        "parallel": lambda part: layers.parallel(part, layers.identity(), join="sum"),
        "stack": lambda part: layers.stack(part, 2),
        "reversible": lambda part: layers.chain(BOTH, layers.reversible(part, layers.linear(N), 2), Add()),
    }.get(name, getattr(layers, name))
    first = explained(make(faulty), draw(M, 3, N) if name == "map_over_time" else draw(M, N)).first_difference
    assert first is not None and first.source.startswith("layer") and ", tanh" in first.source
    assert first.source.endswith(": backward")


def test_a_faulty_combinator_is_found_too():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Wrong(type(BLOCK)):
        def backward(self, params, cache, dy):
            dx, delta = super().backward(params, cache, dy)
            return off(dx), delta

    first = explained(layers.chain(layers.linear(N), Wrong(BLOCK.inner)), draw(M, N)).first_difference
    assert first is not None and first.source == "wrong (part 1): backward"


def test_a_users_combinator_is_one_block():
    table = explained(layers.chain(Twice(layers.linear(N)), layers.linear(3)), draw(M, N))
    assert [block.title for block in table.layers] == ["layer 1, twice (part 0)", "layer 2, linear (part 1)"]


def test_the_order_of_computation():
    net, x, y = layers.chain(layers.linear(4), layers.tanh()), draw(M, N), draw(M, 4)
    params, _ = net.init(jax.random.key(0), (N,))
    lines = str(jb.explain(net, rules.squared_error, "computation")(params, x, y)).splitlines()
    titles = [line for line in lines if line.endswith((": forward", ": backward", ": factors"))]
    assert titles == [
        "layer 1, linear (part 0): forward",
        "layer 1, tanh (part 1): forward",
        "loss, squared_error: forward",
        "loss, squared_error: backward",
        "layer 1, tanh (part 1): backward",
        "layer 1, linear (part 0): factors",
        "layer 1, linear (part 0): backward",
    ]
    symbols = [line.split("  ")[0] for line in lines]
    assert [s for s in symbols if s in ("z¹", "a¹", "C", "∂C/∂a¹", "δ¹ = ∂C/∂z¹", "∂C/∂W¹", "∂C/∂x")] == [
        *("z¹", "a¹", "C", "∂C/∂a¹", "δ¹ = ∂C/∂z¹", "∂C/∂W¹", "∂C/∂x")
    ]
    not_an_order: Any = "time"
    with pytest.raises(ValueError, match="explain: order, wanted one of layers, computation, got 'time'"):
        jb.explain(net, rules.squared_error, not_an_order)


def off(tree):
    """A fault of 2 % in one column."""
    return jax.tree.map(lambda a: a.at[..., 0].multiply(1.02), tree)


@factored
class Off(Factored):
    factor: Factored

    def total(self):
        return off(self.factor.total())


def with_fault(layer, part):
    def backward(params, cache, dy):
        dx, delta = layer.backward(params, cache, dy)
        return (off(dx), delta) if part == "dx" else (dx, off(delta))

    def factors(params, cache, delta):
        return jax.tree.map(Off, layer.factors(params, cache, delta), is_leaf=layers.is_factored)

    return altered(layer, factors=factors) if part == "factors" else altered(layer, backward=backward)


def subjects() -> list[layers.Layer]:
    return [layers.linear(6), layers.relu(), layers.linear(4, bias=False), Scale(), layers.tanh(), layers.linear(3)]


OUTPUTS = ["∂C/∂x", "δ¹ = ∂C/∂z¹", "∂C/∂a¹", "∂C/∂z²", "∂C/∂z³", "∂C/∂a³"]
FAULTS = {
    **{(i, "dx"): (symbol, "backward") for i, symbol in enumerate(OUTPUTS)},
    **{(i, "delta"): (f"δ{above}", "backward") for i, above in {0: "¹", 2: "²", 3: "³", 5: "⁴"}.items()},
    **{(i, "factors"): (f"∂C/∂{p}", "factors") for i, p in {0: "W¹", 2: "W²", 3: "s³", 5: "W⁴"}.items()},
}


@pytest.mark.parametrize(("place", "part"), FAULTS)
def test_a_fault_is_found_at_the_first_row_that_differs(place, part):
    parts = subjects()
    parts[place] = with_fault(parts[place], part)
    table = explained(layers.chain(*parts), draw(M, N))
    symbol, function = FAULTS[place, part]
    first = table.first_difference
    assert first is not None
    # δ² = ∂C/∂z² is one row as long as the layer hands on what it receives.
    assert first.symbol in (symbol, f"δ{symbol[-1]} = {symbol}")
    assert first.source == f"{table.layers[place].title}: {function}"
    assert f"First difference: {first.symbol}, computed by {first.source}" in str(table)


def test_a_fault_in_a_nested_chain():
    faulty = with_fault(layers.gelu(), "dx")
    net = layers.chain(layers.linear(6), layers.chain(layers.relu(), layers.chain(layers.linear(4), faulty)), Scale())
    first = explained(net, draw(M, N)).first_difference
    assert first is not None and first.source == "layer 2, gelu (part 1.1.1): backward"


def test_a_forward_pass_that_is_not_apply():
    wrong = altered(layers.tanh(), apply=lambda params, x, key=None: jnp.sin(x))
    first = explained(layers.chain(layers.linear(4), wrong, layers.linear(3)), draw(M, N)).first_difference
    assert first is not None and (first.symbol, first.source) == ("a¹", "layer 1, tanh (part 1): forward")


def test_a_loss_with_a_wrong_rule():
    @jax.custom_vjp
    def loss(a, y):
        return 0.5 * ((a - y) ** 2).sum(axis=-1)

    loss.defvjp(lambda a, y: (loss.fun(a, y), (a, y)), lambda kept, d: (1.5 * d[:, None] * (kept[0] - kept[1]), None))
    first = explained(layers.chain(layers.linear(4), layers.tanh()), draw(M, N), loss).first_difference
    assert first is not None and (first.symbol, first.source) == ("∂C/∂a¹", "loss, loss: backward")


def test_a_gradient_of_a_wrong_shape_is_a_difference_and_the_rest_goes_on():
    tanh = layers.tanh()
    wrong = altered(tanh, backward=lambda params, a, da: (tanh.backward(params, a, da)[0].T, ()))
    table = explained(layers.chain(layers.linear(4), wrong, layers.linear(3)), draw(M, N))
    differ = [row for row in table.rows if row.verdict.kind == "differs"]
    assert [row.symbol for row in differ] == ["∂C/∂z¹"]
    assert differ[0].verdict.text == "DIFFERS: got float32[4,7], wanted float32[7,4]"


def test_a_gradient_that_is_missing():
    linear = layers.linear(4)
    wrong = altered(
        linear,
        factors=lambda params, cache, delta: {"w": Outer(cache.arrays[0], delta), "c": Summed(delta)},
    )
    first = explained(wrong, draw(M, N)).first_difference
    assert first is not None and (first.symbol, first.shape) == ("∂C/∂b¹", "missing")


SIZES = [6, 5, 4, 3]


def course_backpropagation(params, x, y):
    """Column form with relu and softmax, 1/m in dW and db, as courses have it."""
    grads, m = {"A0": x}, x.shape[1]
    for i in (1, 2, 3):
        grads[f"W{i}"], grads[f"b{i}"] = params[2 * i - 2]["w"].T, params[2 * i - 2]["b"][:, None]
        grads[f"Z{i}"] = grads[f"W{i}"] @ grads[f"A{i - 1}"] + grads[f"b{i}"]
        grads[f"A{i}"] = np.maximum(grads[f"Z{i}"], 0)
    grads["A3"] = np.exp(grads["Z3"]) / np.exp(grads["Z3"]).sum(axis=0)
    grads["dZ3"] = grads["A3"] - y
    for i in (3, 2, 1):
        grads[f"dW{i}"] = grads[f"dZ{i}"] @ grads[f"A{i - 1}"].T / m
        grads[f"db{i}"] = grads[f"dZ{i}"].sum(axis=1, keepdims=True) / m
        grads[f"dA{i - 1}"] = grads[f"W{i}"].T @ grads[f"dZ{i}"]
        grads[f"dZ{i - 1}"] = grads[f"dA{i - 1}"] * (grads[f"A{i - 1}"] > 0)
    del grads["dZ0"]
    return grads


@pytest.fixture(scope="module")
def course():
    net = layers.chain(
        *(part for n in SIZES[1:-1] for part in (layers.linear(n), layers.relu())), layers.linear(SIZES[-1])
    )
    params, _ = net.init(jax.random.key(0), SIZES[:1])
    params = jax.tree.map(lambda p: p + 0.1, params)
    x, y = draw(M, SIZES[0]), jnp.arange(M) % SIZES[-1]
    table = jb.explain(net, rules.softmax_cross_entropy)(params, x, y)
    return table, course_backpropagation(params, x.T, jax.nn.one_hot(y, SIZES[-1]).T)


@pytest.mark.parametrize("automatic", [False, True])
def test_course_notation_in_columns(course, automatic):
    table, wanted = course
    got = table.course(automatic=automatic)
    assert got.keys() == wanted.keys()
    for name in wanted:
        assert got[name].shape == wanted[name].shape
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_course_notation_in_rows_with_the_mean_in_delta(course):
    table, wanted = course
    got = table.course(form="row", mean="dZ")
    for name, column in wanted.items():
        row = column[:, 0] if name.startswith(("b", "db")) else column.T
        share = 1 / M if name.startswith(("dZ", "dA")) else 1
        np.testing.assert_allclose(got[name], share * row, rtol=1e-4, atol=1e-5, err_msg=name)


def test_course_notation_of_other_layers():
    table = explained(
        layers.chain(layers.relu(), Scale(), layers.tanh(), layers.dropout(0.1), layers.linear(3)), draw(M, N)
    )
    got = table.course("row", "dZ")
    assert " ".join(got) == "A0 dA0 Z1 dZ1 s1 ds1 A1 dA1 Z2 dZ2 b2 db2 W2 dW2 A2 dA2"
    np.testing.assert_array_equal(got["A0"], jax.nn.relu(table.x))
    np.testing.assert_array_equal(got["A1"], table.layers[3].rows[0].value)
    np.testing.assert_array_equal(got["A2"], got["Z2"])


def test_dictionary(course):
    table, _ = course
    entries = table.dictionary()
    assert entries["z¹"]["layer"] == "layer 1, linear (part 0)"
    assert entries["∂C/∂W²"]["equation"] == "a¹ᵀ δ²" and entries["∂C/∂W²"]["value"].shape == (5, 4)
    assert entries["C"]["verdict"].kind in ("exact", "rounding")
    assert len(entries) == len(table.rows)


EVIL = "<script>document.title='run'</script>"


def test_text_of_users_is_escaped():
    about = About(EVIL, output=f"{EVIL} {{x}} {{unknown}}", delta=EVIL, input=EVIL)
    page = explained(layers.chain(layers.linear(4), Scale(EVIL, about)), draw(M, N)).html(EVIL)
    assert "<script" not in page
    assert "&lt;script&gt;" in page and "{unknown}" in page
    assert "http" not in page.replace("http-equiv", "")


def test_save(tmp_path, course):
    table, _ = course
    table.save(tmp_path / "a.txt")
    table.save(tmp_path / "a.html", "A title")
    assert (tmp_path / "a.txt").read_text() == f"{table}\n"
    assert "<title>A title</title>" in (tmp_path / "a.html").read_text()
    with pytest.raises(ValueError, match=r"save: path, wanted one of .txt, .md, .html, got '.pdf'"):
        table.save("a.pdf")
    with pytest.raises(OSError, match=r"save: path, cannot write .*No such file") as error:
        table.save(tmp_path / "none" / "a.html")
    assert "\n" not in str(error.value)


def test_bad_network_or_loss():
    not_a_layer: Any = layers.relu
    with pytest.raises(TypeError, match=r"explain: net, wanted a Layer, got <function relu"):
        jb.explain(not_a_layer, rules.squared_error)
    not_a_function: Any = 3
    with pytest.raises(TypeError, match=r"explain: loss, wanted a function of \(output, target\), got 3"):
        jb.explain(layers.relu(), not_a_function)


MLP = layers.chain(layers.linear(4), layers.relu(), layers.chain(layers.linear(3)))
BAD = {
    "x, features": (
        draw(M, 6),
        draw(M, 3),
        r"x, wanted an input that layer 1, linear \(part 0\) takes, got float32\[7, 6\]: linear",
    ),
    "y, features": (
        draw(M, N),
        draw(M, 2),
        r"y, wanted targets for an output float32\[7, 3\], got float32\[7, 2\]: squared",
    ),
    "y, examples": (
        draw(M, N),
        draw(6, 3),
        r"y, wanted targets for an output float32\[7, 3\], got float32\[6, 3\]: squared",
    ),
    "no example": (draw(0, N), draw(0, 3), r"x, wanted at least one example, got losses \(0,\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_one_line(name):
    x, y, message = BAD[name]
    params, _ = MLP.init(jax.random.key(0), (N,))
    with pytest.raises(ValueError, match=f"explain: {message}") as error:
        jb.explain(MLP, rules.squared_error)(params, x, y)
    assert "\n" not in str(error.value)


def test_bad_parameters_and_targets():
    params, _ = MLP.init(jax.random.key(0), (N,))
    with pytest.raises(ValueError, match=r"explain: params, wanted one entry for each of 3 layers, got 2"):
        jb.explain(MLP, rules.squared_error)(params[:2], draw(M, N), draw(M, 3))
    with pytest.raises(ValueError, match=r"explain: params, wanted one entry for each of 1 layers of part 2, got dict"):
        jb.explain(MLP, rules.squared_error)((*params[:2], params[2][0]), draw(M, N), draw(M, 3))
    with pytest.raises(ValueError, match=r"labels, wanted class numbers in \[0, 3\), got 0 to 6"):
        jb.explain(MLP, rules.softmax_cross_entropy)(params, draw(M, N), jnp.arange(M))


def test_a_backward_pass_that_fails_is_one_line():
    wrong = altered(layers.tanh(), backward=lambda params, cache, dy: (dy @ dy, ()))
    with pytest.raises(
        ValueError, match=r"explain: layer 1, .*: backward, wanted to run, got float32\[7, 4\]"
    ) as error:
        explained(layers.chain(layers.linear(4), wrong), draw(M, N))
    assert "\n" not in str(error.value)


def test_a_second_call_compiles_nothing(programs):
    """Nor does a table of an equal network that is made anew; other numbers, other verdicts."""
    params, _ = MLP.init(jax.random.key(0), (N,))
    x, other, y = draw(M, N), 2 * draw(M, N), draw(M, 3)
    jb.explain(MLP, rules.squared_error)(params, x, y)
    again = layers.chain(layers.linear(4), layers.relu(), layers.chain(layers.linear(3)))
    compiled = programs()
    table = jb.explain(again, rules.squared_error)(params, other, y)
    assert table.first_difference is None
    assert programs() == compiled


def test_more_layers_than_rounding_leaves_are_refused():
    net = layers.chain(*[layers.relu()] * 401)
    with pytest.raises(ValueError, match="explain: net, wanted at most 400 layers, got 401"):
        explained(net, draw(M, N))


def test_column_form_needs_one_batch_axis():
    table = explained(layers.chain(layers.linear(4), layers.tanh()), draw(2, M, N), batch_axes=2)
    assert table.first_difference is None
    with pytest.raises(ValueError, match=r"course: form, wanted 'row' for 2 batch axes, got 'column'"):
        table.course()
    assert table.course("row")["dZ1"].shape == (2, M, 4)
    with pytest.raises(ValueError, match=r"course: form, wanted one of row, column, got 'rows'"):
        table.course("rows")
    with pytest.raises(ValueError, match=r"course: mean, wanted one of dZ, dW, got 'db'"):
        table.course(mean="db")
