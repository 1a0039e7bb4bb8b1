"""The layers themselves: what `init` draws, what `forward` keeps, and what they say to bad input."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop import layers, rules

ACTIVATIONS = {
    "relu()": (layers.relu(), rules.relu),
    "leaky_relu(0.3)": (layers.leaky_relu(0.3), lambda z: rules.leaky_relu(z, 0.3)),
    "gelu(approximate=False)": (layers.gelu(approximate=False), lambda z: rules.gelu(z, False)),
    "softmax(-2)": (layers.softmax(-2), lambda z: rules.softmax(z, -2)),
    "log_softmax()": (layers.log_softmax(), rules.log_softmax),
}


def draw(*shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape).astype(dtype))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_layer_is_its_rule(name):
    layer, rule = ACTIVATIONS[name]
    z, da = draw(7, 4, 3), draw(7, 4, 5)[..., :3]
    params, shape = layer.init(jax.random.key(0), (4, 3))
    a, cache = layer.forward(params, z)
    dz, delta = layer.backward(params, cache, da)
    wanted_a, pull = jax.vjp(rule, z)
    assert (params, shape, delta, layer.gradient(params, cache, delta)) == ((), (4, 3), (), ())
    np.testing.assert_array_equal(a, wanted_a)
    np.testing.assert_array_equal(layer.apply(params, z), wanted_a)
    np.testing.assert_allclose(dz, pull(da)[0], rtol=1e-6, atol=1e-7)


INITIALIZERS = {
    "he_normal": (layers.he_normal, lambda n_in, n_out: 2 / n_in),
    "he_uniform": (layers.he_uniform, lambda n_in, n_out: 2 / n_in),
    "lecun_normal": (layers.lecun_normal, lambda n_in, n_out: 1 / n_in),
    "lecun_uniform": (layers.lecun_uniform, lambda n_in, n_out: 1 / n_in),
    "glorot_normal": (layers.glorot_normal, lambda n_in, n_out: 2 / (n_in + n_out)),
    "glorot_uniform": (layers.glorot_uniform, lambda n_in, n_out: 2 / (n_in + n_out)),
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initialisers_have_their_variance(name):
    """With 60,000 draws the standard error of the variance is below 1 % of it."""
    initializer, variance = INITIALIZERS[name]
    params, _ = layers.linear(200, weights=initializer()).init(jax.random.key(0), (300,))
    np.testing.assert_allclose(params["w"].var(), variance(300, 200), rtol=0.04)
    np.testing.assert_allclose(params["w"].mean(), 0, atol=4 * np.sqrt(variance(300, 200) / 60_000))


def test_he_normal_unless_given():
    got, wanted = (
        layer.init(jax.random.key(2), (6,))[0]
        for layer in (layers.linear(4), layers.linear(4, weights=layers.he_normal()))
    )
    np.testing.assert_array_equal(got["w"], wanted["w"])
    assert not got["b"].any()


@pytest.mark.parametrize("enabled", [False, True], ids=["float32", "float64"])
def test_parameters_follow_the_default_dtype(enabled):
    with jax.enable_x64(enabled):
        params, _ = layers.linear(4).init(jax.random.key(0), (6,))
    assert {leaf.dtype for leaf in params.values()} == {np.dtype(np.float64 if enabled else np.float32)}


def test_a_linear_layer():
    layer = layers.linear(4, biases=jax.nn.initializers.normal(1.0))
    params, shape = layer.init(jax.random.key(0), (2, 6))
    assert jax.tree.map(jnp.shape, params) == {"w": (6, 4), "b": (4,)}
    assert shape == (2, 4)
    assert params["b"].all()
    x, delta = draw(7, 2, 6), draw(7, 2, 4)
    z, cache = layer.forward(params, x)
    dx, kept_delta = layer.backward(params, cache, delta)
    assert [leaf is x for leaf in jax.tree.leaves(cache)] == [True]
    assert kept_delta is delta
    np.testing.assert_allclose(z, np.asarray(x) @ params["w"] + params["b"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, np.asarray(delta) @ params["w"].T, rtol=1e-5, atol=1e-5)
    gradients = layer.gradient(params, cache, delta)
    np.testing.assert_allclose(gradients["w"], np.einsum("bti,bto->io", x, delta), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradients["b"], delta.sum(axis=(0, 1)), rtol=1e-5, atol=1e-5)


def test_a_linear_layer_without_bias():
    layer = layers.linear(4, bias=False)
    params, _ = layer.init(jax.random.key(0), (6,))
    _, cache = layer.forward(params, draw(7, 6))
    assert list(params) == list(layer.gradient(params, cache, draw(7, 4))) == ["w"]
    np.testing.assert_allclose(layer.apply(params, draw(7, 6)), draw(7, 6) @ params["w"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_what_travels_on_has_the_dtype_of_its_input(dtype):
    """Parameters in float32, inputs in half precision: z is float32, ∂C/∂x is half, ∂C/∂W is the parameter's."""
    layer = layers.linear(4)
    params, _ = layer.init(jax.random.key(0), (6,))
    z, cache = layer.forward(params, draw(7, 6).astype(dtype))
    dx, delta = layer.backward(params, cache, draw(7, 4))
    gradients = layers.like(layer.gradient(params, cache, delta), params)
    assert (z.dtype, dx.dtype) == (jnp.float32, dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {np.dtype(np.float32)}


def test_a_chain_draws_each_layer_from_its_own_key():
    params, shape = layers.chain(*[layers.linear(6)] * 3).init(jax.random.key(0), (6,))
    assert shape == (6,)
    assert len({leaf["w"].tobytes() for leaf in jax.tree.map(np.asarray, params)}) == 3


def test_init_is_traceable_and_repeatable():
    net = layers.chain(layers.linear(5), layers.relu(), layers.linear(3))
    once, again = (jax.jit(lambda key: net.init(key, (6,))[0])(jax.random.key(1)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    shapes = jax.eval_shape(lambda key: net.init(key, (6,))[0], jax.random.key(1))
    assert jax.tree.map(jnp.shape, once) == jax.tree.map(lambda leaf: leaf.shape, shapes)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_apply_is_forward_without_the_cache(name):
    net = layers.chain(layers.linear(5), ACTIVATIONS[name][0], layers.linear(3))
    params, _ = net.init(jax.random.key(0), (6,))
    np.testing.assert_array_equal(net.apply(params, draw(7, 6)), net.forward(params, draw(7, 6))[0])


def test_caches_hold_one_row_for_each_example_and_no_parameter():
    net = layers.chain(layers.linear(5), layers.relu(), layers.linear(4), layers.gelu(), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (6,))
    _, cache = net.forward(params, draw(7, 6))
    assert [leaf.shape for leaf in jax.tree.leaves(cache)] == [(7, 6), (7, 5), (7, 5), (7, 4), (7, 4)]


def test_a_layer_is_immutable():
    layer: Any = layers.relu()
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.rule = None


def test_settings_are_data():
    """Written again it is the same network, with other settings another; and a long one reads over several lines."""
    net = layers.chain(layers.linear(128), layers.relu(), layers.linear(10, weights=layers.glorot_normal()))
    assert net == layers.chain(layers.linear(128), layers.relu(), layers.linear(10, weights=layers.glorot_normal()))
    assert net != layers.chain(layers.linear(128), layers.relu(), layers.linear(10))
    assert str(net) == "chain(linear(128), relu(), linear(10, weights=glorot_normal()))"
    deep = layers.chain(*[net] * 3, layers.residual(layers.linear(10)))
    assert (
        str(deep)
        == f"chain(\n{f'    {net},' + chr(10)}{f'    {net},' + chr(10)}{f'    {net},'}\n    residual(linear(10)),\n)"
    )
    assert str(layers.of(rules.layer_norm, scale=layers.ones)) == "of(layer_norm, scale=ones)"


def test_a_network_is_built_again_from_other_parts():
    net = layers.chain(
        layers.linear(4), layers.residual(layers.dropout(0.5), layers.linear(4)), layers.stack(layers.dropout(), 2)
    )
    swapped = layers.rebuilt(net, lambda layer: layers.relu() if repr(layer).startswith("dropout") else layer)
    assert str(swapped) == "chain(linear(4), residual(chain(relu(), linear(4))), stack(relu(), 2))"


chain: Any = layers.chain  # for the wrong types


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x.value, ()), lambda _, dy: (2 * dy,), symbolic_zeros=True)


def wrong(value: Any) -> Any:
    """A value that no type checker knows."""
    return value


BAD_CALLS = {
    "empty chain": (lambda: layers.chain(), ValueError, "chain: layers, wanted at least one, got none"),
    "activation without its brackets": (
        lambda: chain(layers.linear(3), layers.relu),
        TypeError,
        r"chain: layers\[1\], wanted a Layer, got <function relu",
    ),
    "a rule for a layer": (
        lambda: chain(rules.tanh),
        TypeError,
        r"chain: layers\[0\], wanted a Layer, got .*custom_vjp",
    ),
    "no features": (lambda: layers.linear(0), ValueError, "linear: features, wanted a positive number, got 0"),
    "negative features": (lambda: layers.linear(-3), ValueError, "linear: features, wanted a positive number, got -3"),
    "no input features": (
        lambda: layers.linear(3).init(jax.random.key(0), ()),
        ValueError,
        r"linear: shape, wanted at least one axis \(the features\), got \(\)",
    ),
    "negative alpha": (
        lambda: layers.elu(-1.0).forward((), draw(7, 3)),
        ValueError,
        "elu: alpha, wanted a number that is not negative, got -1.0",
    ),
    "wrong feature size": (
        lambda: layers.linear(3).apply({"w": draw(6, 3), "b": draw(3)}, draw(7, 5)),
        ValueError,
        r"linear: x, wanted 6 features \(rows of w\) last, got \(7, 5\)",
    ),
    "wrong bias": (
        lambda: layers.linear(3).forward({"w": draw(6, 3), "b": draw(4)}, draw(7, 6)),
        ValueError,
        r"linear: b, wanted shape \(3,\) \(columns of w\), got \(4,\)",
    ),
    "weights of one axis": (
        lambda: layers.linear(3).forward({"w": draw(6), "b": draw(3)}, draw(7, 6)),
        ValueError,
        r"linear: w, wanted shape \(n_in, n_out\), got \(6,\)",
    ),
    "integers into a linear layer": (
        lambda: layers.linear(3).forward({"w": draw(6, 3), "b": draw(3)}, jnp.ones((7, 6), int)),
        TypeError,
        "linear: x, wanted a floating point array, got int32",
    ),
    "integers into an activation": (
        lambda: layers.sigmoid().forward((), jnp.ones((7, 3), int)),
        TypeError,
        "sigmoid: x, wanted a floating point array, got int32",
    ),
    "a shape that is a number": (
        lambda: layers.linear(3).init(jax.random.key(0), 784),
        ValueError,
        r"linear: shape, wanted a tuple of sizes without the batch, such as \(784,\), got 784",
    ),
    "an array for a shape": (
        lambda: layers.linear(3).init(jax.random.key(0), jnp.ones((7, 6))),
        ValueError,
        r"linear: shape, wanted a tuple of sizes without the batch, such as \(784,\), got an array of shape \(7, 6\)",
    ),
    "a list of rows": (
        lambda: layers.linear(3).apply({"w": draw(6, 3), "b": draw(3)}, [[0.5] * 6]),
        TypeError,
        "linear: x, wanted an array, got list",
    ),
    "a shape with the batch": (
        lambda: layers.conv(5, (3, 3)).init(jax.random.key(0), (32, 28, 28, 1)),
        ValueError,
        r"conv: shape, wanted 3 axes \(of one example, without the batch\), got \(32, 28, 28, 1\)",
    ),
    "a shape that the rule refuses": (
        lambda: layers.glu().init(jax.random.key(0), (5,)),
        ValueError,
        r"glu: shape, wanted that of an input it takes, got \(5,\): glu: x, wanted an even number of entries",
    ),
    "a longer sequence than positions": (
        lambda: layers.learned_positions(4).init(jax.random.key(0), (5, 3)),
        ValueError,
        r"learned_positions: shape, wanted that of an input it takes, got \(5, 3\): .* at least 5 rows of 3 features",
    ),
    "a residual that changes the shape": (
        lambda: layers.residual(layers.linear(3)).init(jax.random.key(0), (5,)),
        ValueError,
        r"residual: layers, wanted a shape that stays \(5,\), got \(3,\) from linear\(3\)",
    ),
    "a block that changes the shape": (
        lambda: layers.stack(layers.linear(3), 4).init(jax.random.key(0), (5,)),
        ValueError,
        r"stack: block, wanted one that keeps the shape \(5,\), got \(3,\) from linear\(3\)",
    ),
    "a long program": (
        lambda: layers.stack(layers.relu(), 10**6, unroll=10**5),
        ValueError,
        "stack: unroll, wanted at most 512 steps, got 100000",
    ),
    "no blocks": (lambda: layers.stack(layers.relu(), 0), ValueError, "stack: n, wanted a positive number, got 0"),
    "a block without its brackets": (
        lambda: layers.stack(wrong(layers.relu), 2),
        TypeError,
        "stack: block, wanted a Layer, got <function relu",
    ),
    "branches that cannot be added": (
        lambda: layers.parallel(layers.linear(3), layers.linear(4), join="sum").init(jax.random.key(0), (5,)),
        ValueError,
        r"parallel: layers, wanted branches of one shape, got \(3,\), \(4,\)",
    ),
    "branches that cannot be joined": (
        lambda: layers.parallel(layers.linear(3), layers.flatten(), join="concatenate").init(jax.random.key(0), (2, 5)),
        ValueError,
        r"parallel: layers, wanted branches alike but for the last axis, got \(2, 3\), \(10,\)",
    ),
    "no such join": (
        lambda: layers.parallel(layers.relu(), join=wrong("product")),
        ValueError,
        "parallel: join, wanted one of tuple, sum, concatenate, got 'product'",
    ),
    "a tie to nowhere": (
        lambda: layers.shared(layers.chain(layers.linear(3)), ("0.w", "1.w")).init(jax.random.key(0), (3,)),
        ValueError,
        r"shared: ties, wanted places among 0\.b, 0\.w, got '1\.w'",
    ),
    "a tie of two shapes": (
        lambda: layers.shared(layers.chain(layers.linear(3), layers.linear(4)), ("0.w", "1.w")).init(
            jax.random.key(0), (5,)
        ),
        ValueError,
        r"shared: ties, wanted 1\.w of shape \(5, 3\) \(as 0\.w\), got \(3, 4\)",
    ),
    "a tie of one place": (
        lambda: layers.shared(layers.linear(3), ("w",)),
        ValueError,
        r"shared: ties, wanted groups of places such as \(\"0\.table\", \"2\.w\.T\"\), got \('w',\)",
    ),
    "no rule": (
        lambda: layers.of(jnp.tanh),
        TypeError,
        "of: rule, wanted a jax.custom_vjp function with its two halves defined, got",
    ),
    "a rule of symbolic zeros": (
        lambda: layers.of(doubled),
        TypeError,
        "of: rule, wanted one whose halves take plain arrays, got doubled of symbolic_zeros",
    ),
    "a parameter that the rule has not": (
        lambda: layers.of(rules.layer_norm, gain=layers.ones),
        ValueError,
        r"of: gain, wanted the name of an array argument of layer_norm \(x, scale, offset\)",
    ),
    "a rule with nothing left for the input": (
        lambda: layers.of(rules.relu, x=layers.ones),
        ValueError,
        r"of: inputs, wanted those of relu that have no default, \(\), got \(\)",
    ),
    "more shapes than inputs": (
        lambda: layers.swiglu().init(jax.random.key(0), ((3,), (3,), (4,))),
        ValueError,
        r"swiglu: shape, wanted one for each of gate, value, got \(\(3,\), \(3,\), \(4,\)\)",
    ),
    "integers of no input": (
        lambda: layers.of(rules.lstm, inputs=("x", "seq_lengths"), integers=("lengths",), w=layers.ones, u=layers.ones),
        ValueError,
        r"of: integers, wanted names among the inputs \('x', 'seq_lengths'\), got \('lengths',\)",
    ),
    "booleans that are one name": (
        lambda: layers.of(rules.dot_product_attention, inputs=("query", "key", "value", "mask"), booleans="mask"),
        ValueError,
        r"of: booleans, wanted names among the inputs \('query', 'key', 'value', 'mask'\), got 'mask'",
    ),
    "a rate that is none": (
        lambda: layers.dropout(1.5),
        ValueError,
        r"dropout: rate, wanted a probability in \[0, 1\], got 1\.5",
    ),
    "numbers that do not fit": (
        lambda: layers.reshape(4, -1).init(jax.random.key(0), (3, 3)),
        ValueError,
        r"reshape: shape, wanted the 9 numbers of \(3, 3\), got \(4, -1\)",
    ),
    "two sizes unknown": (
        lambda: layers.reshape(-1, -1),
        ValueError,
        r"reshape: shape, wanted positive sizes, one of them perhaps -1, such as reshape\(4, 9\), got \(-1, -1\)",
    ),
    "sizes in a tuple": (
        lambda: layers.reshape(wrong((4, 9))),
        ValueError,
        r"reshape: shape, wanted positive sizes, one of them perhaps -1, such as reshape\(4, 9\), got \(\(4, 9\),\)",
    ),
    "no recurrence": (
        lambda: layers.bidirectional(wrong(layers.relu())),
        TypeError,
        r"bidirectional: layer, wanted rnn, gru or lstm, got relu\(\)",
    ),
    "no classes": (
        lambda: layers.linear_softmax_cross_entropy(0),
        ValueError,
        "linear_softmax_cross_entropy: classes, wanted a positive number, got 0",
    ),
    "labels of other rows": (
        lambda: layers.linear_softmax_cross_entropy(3).init(jax.random.key(0), ((5, 4), (4,))),
        ValueError,
        r"linear_softmax_cross_entropy: shape, wanted labels for the rows of \(5, 4\), got \(4,\)",
    ),
    "evaluation of no layer": (
        lambda: layers.evaluation(wrong(3)),
        TypeError,
        "evaluation: net, wanted a Layer, got 3",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_input(case):
    call, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


REVERSIBLE = layers.reversible(layers.linear(3), layers.linear(3), 2)
OF_KEYS: dict[str, Any] = {
    "chain": (layers.chain(layers.linear(3), layers.dropout(0.5)), (3,), draw(5, 3)),
    "stack": (layers.stack(layers.linear(3), 2), (3,), draw(5, 3)),
    "parallel": (layers.parallel(layers.linear(3), layers.linear(4)), (3,), draw(5, 3)),
    "reversible": (REVERSIBLE, ((3,), (3,)), (draw(5, 3), draw(5, 3))),
    "linear": (layers.linear(3), (3,), None),
    "linear_softmax_cross_entropy": (layers.linear_softmax_cross_entropy(4), ((3,), ()), None),
}


@pytest.mark.parametrize("key", [7, jnp.float32(7), jax.random.split(jax.random.key(7), 3)], ids=["seed", "array", "3"])
@pytest.mark.parametrize("name", OF_KEYS)
def test_what_is_no_key(name, key):
    net, shape, x = OF_KEYS[name]
    got = "7" if isinstance(key, int) else re.escape(f"{key.dtype} of shape {key.shape}")
    message = r"\w+: key, wanted one random key, such as jax.random.key\(0\), got " + got
    with pytest.raises(TypeError, match=message):
        net.init(key, shape)
    if x is not None:
        params, _ = net.init(jax.random.PRNGKey(0), shape)
        for call in net.forward, net.apply:
            with pytest.raises(TypeError, match=message):
                call(params, x, key)


def test_the_wrong_number_of_parameters_is_not_cut_short():
    net = layers.chain(layers.linear(5), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (6,))
    with pytest.raises(ValueError, match="chain: params, wanted 2 entries, got 1 entry"):
        net.forward(params[:1], draw(7, 6))


def drawn(*parts):
    return layers.chain(*parts).init(jax.random.key(0), (6,))[0]


LINEAR, FALL = layers.linear(4), layers.residual(layers.linear(6))
NETWORK, PARAMS = layers.chain(LINEAR, layers.relu(), layers.linear(3)), drawn(LINEAR, layers.relu(), layers.linear(3))
W, B = PARAMS[0]["w"], PARAMS[0]["b"]
OTHERS_PARAMETERS = {
    "a pair as of init": (
        NETWORK,
        NETWORK.init(jax.random.key(0), (6,)),
        "chain: params, wanted 3 entries, got a pair",
    ),
    "such a pair for a layer": (LINEAR, (PARAMS[0], (4,)), "linear: params, wanted w, b, got a pair"),
    "more layers": (NETWORK, (*PARAMS, ()), "chain: params, wanted 3 entries, got 4 entries"),
    "none of a chain": (NETWORK, None, "chain: params, wanted 3 entries, got None"),
    "those of a layer for a chain": (NETWORK, PARAMS[0], "chain: params, wanted 3 entries, got b, w"),
    "a chain's for a layer": (LINEAR, PARAMS, "linear: params, wanted w, b, got 3 entries"),
    "a convolution's": (LINEAR, {"kernel": W, "bias": B}, "linear: params, wanted w, b, got bias, kernel"),
    "no bias": (NETWORK, ({"w": W}, *PARAMS[1:]), "linear: params, wanted w, b, got w"),
    "a bias too many": (layers.linear(4, bias=False), PARAMS[0], "linear: params, wanted w, got b, w"),
    "nothing": (LINEAR, (), r"linear: params, wanted w, b, got \(\)"),
    "an array": (LINEAR, W, r"linear: params, wanted w, b, got an array of shape \(6, 4\)"),
    "of an activation": (layers.relu(), PARAMS[0], r"relu: params, wanted \(\), got b, w"),
    "of a recurrence": (layers.gru(3), {"w": W}, "gru: params, wanted w, u, b, b_n, got w"),
    "of a normalisation": (layers.batch_norm(), PARAMS[0], "batch_norm: params, wanted scale, offset, got b, w"),
    "of one branch": (layers.parallel(LINEAR, LINEAR), PARAMS[:1], "parallel: params, wanted 2 entries, got 1 entry"),
    "of a residual": (FALL, (), r"linear: params, wanted w, b, got \(\)"),
    "of a checkpoint": (layers.checkpoint(LINEAR), PARAMS, "linear: params, wanted w, b, got 3 entries"),
    "of fewer blocks": (
        layers.stack(FALL, 3),
        layers.stack(FALL, 2).init(jax.random.key(0), (6,))[0],
        r"stack: params, wanted arrays of 3 blocks, the first axis theirs, got b of shape \(2, 6\)",
    ),
    "blocks in a list": (
        layers.stack(FALL, 2),
        list(drawn(FALL, FALL)),
        r"stack: params, wanted arrays of 2 blocks, the first axis theirs, got 0\.b of shape \(6,\)",
    ),
    "of a network before it is evaluated": (
        layers.evaluation(NETWORK),
        PARAMS,
        "evaluation: params, wanted 2 entries, got 3 entries",
    ),
    "with one parameter for two": (
        layers.chain(layers.linear(6), layers.linear(6)),
        layers.shared(layers.chain(layers.linear(6), layers.linear(6)), ("0.w", "1.w")).init(jax.random.key(0), (6,))[
            0
        ],
        "linear: params, wanted w, b, got b, w=None",
    ),
}


@pytest.mark.parametrize("case", OTHERS_PARAMETERS)
def test_parameters_of_another_network(case):
    net, params, message = OTHERS_PARAMETERS[case]
    x = draw(7, 4, 6) if isinstance(net, layers.Layer) and "recurrence" in case else draw(7, 6)
    for call in (
        net.forward,
        net.apply,
        jax.jit(net.apply),
        lambda params, x: jax.grad(lambda x: net.apply(params, x).sum())(x),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call(params, x)
        _, _, more = str(caught.value).partition("\n")
        assert not more or more.startswith("-----")  # JAX's own, of what it left out of the traceback


def test_a_pair_as_of_init_for_a_chain_of_two():
    net = layers.chain(LINEAR, layers.relu())
    with pytest.raises(ValueError, match=r"chain: params, wanted 2 entries, got a pair \(params, shape\), as init"):
        net.forward(net.init(jax.random.key(0), (6,)), draw(7, 6))
