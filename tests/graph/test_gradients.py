"""`backpropagate` equals `jax.grad`, primitive by primitive, and uses nothing of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jbackprop import graph
from jbackprop.graph._rules import TABLE


def weighted(y: jax.Array) -> jax.Array:
    """A scalar whose gradient is different at every element of y."""
    weights = np.random.default_rng(7).normal(size=y.shape)
    return jnp.sum(y * jnp.asarray(weights, y.dtype))


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def unit(*shape: int) -> jax.Array:
    """Distinct numbers in (0.05, 0.95), in no order."""
    size = int(np.prod(shape))
    numbers = np.random.default_rng(3).permutation(np.linspace(0.05, 0.95, size))
    return jnp.asarray(numbers.reshape(shape), jnp.float32)


X, Y, Z = normal(3, 4), normal(3, 4, seed=1), normal(4, 5, seed=2)
UNIT = unit(2, 3)
ROWS = jnp.array([2, 0, 2])
TIES = jnp.array([2.0, 1.0, 2.0, -1.0])

ELEMENTWISE: dict[str, Callable] = {
    "neg": lambda x: -x,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": lambda x: jnp.arccosh(1 + x),
    "atanh": jnp.arctanh,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "log": jnp.log,
    "expm1": jnp.expm1,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "rsqrt": lax.rsqrt,
    "cbrt": jnp.cbrt,
    "logistic": jax.nn.sigmoid,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "erf_inv": lax.erf_inv,
    "lgamma": lax.lgamma,
    "digamma": lax.digamma,
    "abs": lambda x: jnp.abs(x - 0.5),
    "square": lax.square,
    "integer_pow": lambda x: x**3 + x**2 + x**-2,
    "sign": lambda x: x * jnp.sign(x - 0.5),
    "floor": lambda x: x * jnp.floor(3 * x) + jnp.ceil(x) + jnp.round(x),
    "stop_gradient": lambda x: x * lax.stop_gradient(x),
    "convert": lambda x: x.astype(jnp.bfloat16).astype(jnp.float32) * x,
    "reduce_precision": lambda x: lax.reduce_precision(x, 8, 23) ** 2,
    "relu": lambda x: jax.nn.relu(x - 0.5),
    "relu_at_zero": lambda x: jax.nn.relu(x - x[0]) + jax.vmap(jax.nn.relu)(x - x[1]),
    "gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "clip": lambda x: jnp.clip(x, 0.3, 0.6),
    "clamp": lambda x: lax.clamp(0.8 - x, x, 0.4 + x[::-1]),
    "safe_where": lambda x: jnp.where(x > 0.5, jnp.log(jnp.where(x > 0.5, x, 1.0)), 0.0),
    "copy": jnp.copy,
}

ARRAYS: dict[str, tuple] = {
    "add": (lambda x, y: x + y, X, Y),
    "sub": (lambda x, y: x - y, X, Y),
    "mul": (lambda x, y: x * y, X, Y),
    "div": (lambda x, y: x / y, X, Y),
    "max": (jnp.maximum, X, Y),
    "max_ties": (jnp.maximum, TIES, TIES[::-1]),
    "min": (jnp.minimum, X, Y),
    "min_ties": (jnp.minimum, TIES, TIES[::-1]),
    "pow": (lambda x, y: jnp.abs(x) ** y, X, Y),
    "pow_of_zero": (lambda x, y: x**y, jnp.array([0.0, 0.0, 2.0]), jnp.array([2.0, 1.0, 0.0])),
    "atan2": (jnp.arctan2, X, Y),
    "rem": (lax.rem, X, Y),
    "broadcast_row": (lambda x, b: x + b, X, normal(4)),
    "broadcast_column": (lambda x, b: x * b, X, normal(3, 1)),
    "broadcast_scalar": (lambda x, s: x * s + s, X, jnp.float32(0.7)),
    "broadcast_to": (lambda b: jnp.broadcast_to(b, (2, 3, 4)), normal(3, 1)),
    "literal": (lambda x: 2.0 * x - 1.0 / x, X),
    "fan_out": (lambda x: x * x + jnp.sin(x) * x, X),
    "reshape": (lambda x: x.reshape(2, 6), X),
    "transpose": (lambda x: x.transpose(2, 0, 1), normal(2, 3, 4)),
    "squeeze": (lambda x: x[None].squeeze(0), X),
    "expand": (lambda x: lax.expand_dims(x, (1,)), X),
    "max_pool": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 2), (1, 2, 2), "SAME"),
        normal(2, 7, 5),
    ),
    "max_pool_ties": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID"),
        jnp.round(X),
    ),
    "average_pool": (
        lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (2, 1), ((0, 1), (2, 0))),
        X,
    ),
    "inner_gradient": (jax.grad(lambda x: weighted(jnp.sin(x) * x)), X),
    "flip": (lambda x: x[::-1, ::-1], X),
    "slice": (lambda x: x[1:3, ::2], X),
    "index": (lambda x: x[1], X),
    "negative_index": (lambda x: x[-1, -2], X),
    "gather": (lambda x: x[ROWS], X),
    "gather_pairs": (lambda x: x[ROWS, jnp.array([1, 3, 1])], X),
    "take_fill": (lambda x: x.at[jnp.array([0, 9])].get(mode="fill", fill_value=0.0), X),
    "take_along_axis": (lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1)[:, :2], 1), X),
    "dynamic_slice": (lambda x: lax.dynamic_slice(x, (1, 2), (2, 2)), X),
    "dynamic_update": (lambda x, y: lax.dynamic_update_slice(x, y[:2, :2], (1, 1)), X, Y),
    "scatter": (lambda x, y: x.at[jnp.array([2, 0])].set(y[:2]), X, Y),
    "scatter_add": (lambda x, y: x.at[ROWS].add(y), X, Y),
    "scatter_add_pairs": (lambda x, y: x.at[ROWS, jnp.array([1, 3, 1])].add(y[:, 0]), X, Y),
    "segment_sum": (lambda x: jax.ops.segment_sum(x, ROWS, 3), X),
    "concatenate": (lambda x, y: jnp.concatenate([x, y, x], 1), X, Y),
    "stack": (lambda x, y: jnp.stack([x, y], 1), X, Y),
    "split": (lambda x: jnp.multiply(*jnp.split(x, 2, 1)), X),
    "pad": (lambda x, y: lax.pad(x, y[0, 0], [(1, 2, 1), (-1, 0, 0)]), X, Y),
    "tile": (lambda x: jnp.tile(x, (2, 3)), X),
    "repeat": (lambda x: jnp.repeat(x, 2, 1), X),
    "where": (lambda x, y: jnp.where(x > y, x, 3.0 * y), X, Y),
    "select_n": (lambda x, y: lax.select_n(jnp.array([0, 1, 2, 1]), x[0], x[1], y[0]), X, Y),
    "sort": (lambda x: jnp.sort(x, 0), X),
    "sort_pairs": (lambda x, y: jnp.multiply(*lax.sort((x, y), num_keys=1)), X, Y),
    "median": (lambda x: jnp.median(x, 1), X),
    "top_k": (lambda x: lax.top_k(x, 2)[0], X),
    "argmax": (lambda x: x * jnp.argmax(x, 1, keepdims=True), X),
    "sum": (lambda x: x.sum(1), X),
    "mean": (lambda x: x.mean(), X),
    "var": (lambda x: x.var(0), X),
    "reduce_max": (lambda x: x.max(0), X),
    "reduce_max_ties": (jnp.max, TIES),
    "reduce_min": (lambda x: x.min((0, 2)), normal(2, 3, 4)),
    "prod": (lambda x: x.prod(1), X),
    "prod_of_zeros": (jnp.prod, jnp.array([2.0, 0.0, 3.0])),
    "prod_axes": (lambda x: x.prod((0, 2)), normal(2, 3, 4)),
    "cumsum": (lambda x: jnp.cumsum(x, 1), X),
    "cumsum_reverse": (lambda x: lax.cumsum(x, 0, reverse=True), X),
    "cumprod": (lambda x: jnp.cumprod(x, 1), X),
    "cumprod_of_zero": (jnp.cumprod, jnp.array([2.0, 0.0, 3.0, 4.0])),
    "cummax": (lambda x: lax.cummax(x, 1), X),
    "cummin_reverse": (lambda x: lax.cummin(x, 0, reverse=True), X),
    "cumlogsumexp": (lambda x: lax.cumlogsumexp(x, 1), X),
    "logsumexp": (lambda x: jax.nn.logsumexp(x, 1), X),
    "softmax": (lambda x: jax.nn.softmax(x, 1), X),
    "log_softmax": (jax.nn.log_softmax, X),
    "norm": (jnp.linalg.norm, X),
    "layer_norm": (lambda x: (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5), X),
    "matmul": (lambda x, w: x @ w, X, Z),
    "matrix_vector": (lambda x, v: x @ v, X, normal(4)),
    "inner": (jnp.dot, normal(4), normal(4, seed=5)),
    "outer": (jnp.outer, normal(3), normal(4)),
    "batch_matmul": (jnp.matmul, normal(2, 3, 4), normal(2, 4, 5)),
    "broadcast_matmul": (jnp.matmul, normal(6, 2, 3, 4), normal(2, 4, 5)),
    "einsum": (
        lambda a, b: jnp.einsum("bhtd,bshd->hbts", a, b),
        normal(2, 3, 4, 5),
        normal(2, 6, 3, 5),
    ),
    "dot_general": (
        lambda a, b: lax.dot_general(a, b, (((1, 3), (3, 0)), ((2,), (1,)))),
        normal(2, 3, 4, 5),
        normal(5, 4, 6, 3),
    ),
    "conv": (
        lambda x, w: lax.conv(x, w, (1, 1), "SAME"),
        normal(2, 3, 6, 5),
        normal(4, 3, 3, 2),
    ),
    "conv_strided": (
        lambda x, w: lax.conv_general_dilated(
            x,
            w,
            (2, 3),
            [(1, 2), (0, 1)],
            rhs_dilation=(2, 1),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ),
        normal(2, 9, 8, 3),
        normal(3, 2, 3, 4),
    ),
    "conv_transposed": (
        lambda x, w: lax.conv_transpose(x, w, (2, 3), "SAME"),
        normal(2, 4, 3, 3),
        normal(3, 2, 3, 4),
    ),
    "conv_groups": (
        lambda x, w: lax.conv_general_dilated(
            x, w, (2,), [(1, -1)], dimension_numbers=("NHC", "HIO", "NHC"), feature_group_count=2
        ),
        normal(2, 7, 6),
        normal(3, 3, 4),
    ),
    "bfloat16": (lambda x: jnp.tanh(x) @ x.T, X.astype(jnp.bfloat16)),
    "jit": (jax.jit(lambda x, y: jnp.tanh(x) * y), X, Y),
    "remat": (jax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), X),
    "vmap": (jax.vmap(lambda x, y: jnp.tanh(x @ x) * y), X, Y),
    "closure": (lambda x: x * Y + jnp.arange(4.0), X),
}


def recurrent(x, w):
    def step(h, row):
        h = jnp.tanh(row @ w + h)
        return h, h[:2]

    last, rows = lax.scan(step, jnp.zeros(5), x, reverse=True)
    return weighted(last) + weighted(rows)


def looped(x):
    value, _ = lax.while_loop(lambda s: s[1] < 3, lambda s: (jnp.sin(s[0]) * x, s[1] + 1), (x, 0))
    return value


CONTROL: dict[str, tuple] = {
    "scan": (recurrent, X, Z),
    "map": (lambda x: weighted(lax.map(lambda row: row @ row, x)), X),
    "fori": (lambda x: lax.fori_loop(0, 3, lambda i, y: jnp.cos(y) * x + i, x).sum(), X),
    "while": (lambda x: weighted(looped(x)), X),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x).sum(), X),
    "switch": (lambda x: lax.switch(2, [jnp.sin, jnp.cos, jnp.exp], x).sum(), X),
}


def case(f: Callable, *args: jax.Array) -> tuple[Callable, tuple[jax.Array, ...]]:
    return lambda *args: weighted(f(*args)), args


CASES = {
    **{name: case(f, UNIT) for name, f in ELEMENTWISE.items()},
    **{name: case(*row) for name, row in ARRAYS.items()},
}


@pytest.fixture(scope="module")
def automatic() -> dict[str, tuple[jax.Array, ...]]:
    """The automatic gradients of all cases, compiled at once: those of the sum of all costs."""

    def total(arguments):
        return sum(f(*arguments[name]) for name, (f, _) in CASES.items())

    return jax.jit(jax.grad(total))({name: arguments for name, (_, arguments) in CASES.items()})


def agrees(f: Callable, args: tuple, wanted: tuple, unroll: bool = False) -> None:
    back = graph.backpropagate(graph.trace(f, *args, unroll=unroll))
    for got, want in zip(back.arguments, wanted, strict=True):
        assert got.dtype == want.dtype
        rounding = 64 * float(jnp.finfo(want.dtype).eps)
        scale = np.max(np.abs(np.asarray(want, np.float32)))
        np.testing.assert_allclose(got, want, rtol=rounding, atol=rounding * scale)


@pytest.mark.parametrize("name", CASES)
def test_equals_automatic(name, automatic):
    agrees(*CASES[name], automatic[name])


@pytest.mark.parametrize("name", CONTROL)
def test_control_flow_equals_automatic(name):
    """Against forward mode, since JAX's reverse mode refuses a while loop."""
    f, *args = CONTROL[name]
    wanted = jax.jit(jax.jacfwd(f, argnums=tuple(range(len(args)))))(*args)
    agrees(f, tuple(args), wanted, unroll=True)


def test_uses_nothing_of_automatic_differentiation(monkeypatch):
    """With JAX's differentiation switched off, the gradients still come."""
    x, w = normal(3, 4), normal(4, 5)

    def network(x, w):
        return jnp.mean(jax.nn.logsumexp(jax.nn.relu(x @ w) ** 2, axis=1))

    wanted = jax.grad(network, argnums=(0, 1))(x, w)

    def forbidden(*args, **kwargs):
        raise AssertionError("automatic differentiation was used")

    for name in ("grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose"):
        monkeypatch.setattr(jax, name, forbidden)
    got = graph.backpropagate(graph.trace(network, x, w)).arguments
    for gradient, want in zip(got, wanted, strict=True):
        np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-6)


def test_gradients_are_trees_like_the_arguments():
    params = {"W": normal(4, 5), "layers": [normal(5), normal(5, seed=1)]}

    def f(params, ids):
        return jnp.sum(params["W"][ids] * params["layers"][0])

    back = graph.backpropagate(graph.trace(f, params, jnp.array([1, 3])))
    gradient, ids = back.arguments
    wanted = jax.grad(f)(params, jnp.array([1, 3]))
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b)), gradient, wanted))
    assert ids is None


def test_the_slope_of_a_cube_root_at_zero_is_infinite():
    assert graph.backpropagate(graph.trace(lambda x: jnp.cbrt(x), 0.0)).arguments == (jnp.inf,)


def test_the_slope_of_an_absolute_value_at_zero_is_zero():
    """As the table says: JAX has 1 there."""
    back = graph.backpropagate(graph.trace(lambda x: jnp.abs(x), 0.0))
    assert back.arguments == (0.0,) and jax.grad(jnp.abs)(0.0) == 1


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x)) ** 2), r"got complex64\[4\] from the primitive '\w+' \(v\d\)"),
        (lambda x: jnp.real(1j * x[0]) + x[1], "wanted real numbers alone, got complex64"),
        (lambda x: jnp.sum(jnp.abs(x["z"])), r"got complex64\[3\] from an argument \(x.z\)"),
    ],
)
def test_complex_numbers_are_refused(f, message):
    x = jnp.arange(1.0, 5.0) if "x.z" not in message else {"w": X, "z": jnp.ones(3, complex)}
    with pytest.raises(NotImplementedError, match=message):
        graph.backpropagate(graph.trace(f, x))


def test_a_part_of_many_takes_no_longer_for_their_number():
    """400 operands, each with a message of its own; every one looked at all of them, and compiled a program."""
    back = graph.backpropagate(graph.trace(lambda *rows: jnp.sum(jnp.stack(rows) ** 2), *map(float, range(400))))
    assert [float(gradient) for gradient in back.arguments] == [2.0 * i for i in range(400)]


def test_custom_rule_is_seen_as_its_forward_pass():
    @jax.custom_vjp
    def wrong(x):
        return x**2

    wrong.defvjp(lambda x: (x**2, None), lambda _, dy: (0.0 * dy,))
    back = graph.backpropagate(graph.trace(wrong, 3.0))
    assert back.arguments == (6.0,)


def test_a_wrong_derivative_is_noticed(monkeypatch, automatic):
    """The comparison can fail: a planted fault in one entry shows."""
    fault = graph.Factor("cos {x}", lambda call: 1.0001 * jnp.cos(call.x))
    monkeypatch.setitem(TABLE, "sin", (fault,))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agrees(*CASES["sin"], automatic["sin"])
