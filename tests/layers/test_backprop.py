"""`backprop`: three ways to one gradient, δ with the meaning it claims, and no automatic differentiation in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.interpreters import ad

import jbackprop as jb
from jbackprop import layers, rules

M, FEATURES, HIDDEN, CLASSES = 7, 6, 5, 3


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == np.float64):
        yield request.param


def draw(*shape):
    return jax.device_put(np.random.default_rng(shape).normal(size=shape).astype(jnp.result_type(float)))


def with_biases(params):
    """Biases start at zero, where a fault in them would not show."""
    return jax.tree.map(lambda p: p + draw(*p.shape) / 8, params)


def assert_close(got, wanted, ulps=64):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0, atol=ulps * np.finfo(a.dtype).eps * np.abs(b).max(initial=0))


def classifier():
    net = layers.chain(layers.linear(HIDDEN), layers.tanh(), layers.linear(4), layers.relu(), layers.linear(CLASSES))
    params, out_shape = net.init(jax.random.key(0), (FEATURES,))
    assert out_shape == (CLASSES,)
    return net, with_biases(params), draw(M, FEATURES), jnp.arange(M) % CLASSES


def test_the_three_gradients_of_the_first_example(dtype):
    net = layers.chain(layers.linear(128), layers.relu(), layers.linear(10))
    params, out_shape = net.init(jax.random.key(0), (784,))
    x, labels = draw(32, 784), jnp.arange(32) % 10

    def mean(params):
        return rules.softmax_cross_entropy(net.apply(params, x), labels).mean()

    ways = jax.jit(lambda p: (mean(p), jb.backprop(net, rules.softmax_cross_entropy)(p, x, labels)))
    value, (cost, gradients, deltas) = ways(params)
    same, plain = jax.jit(lambda p: [jax.grad(f)(p) for f in (mean, jb.automatic(mean))])(params)

    assert out_shape == (10,)
    assert [leaf.dtype for leaf in jax.tree.leaves(params)] == [dtype] * 4
    assert_close(gradients, same)
    assert_close(gradients, plain)
    assert_close(cost, value)
    assert jax.tree.map(jnp.shape, deltas) == ((32, 128), (), (32, 10))


def test_autodiff_is_the_twin(dtype):
    net, params, x, labels = classifier()
    ways = [way(net, rules.softmax_cross_entropy) for way in (jb.backprop, jb.autodiff)]
    both = jax.jit(lambda *batch: [way(*batch) for way in ways])(params, x, labels)
    (cost, gradients, _), (twin_cost, twin_gradients, no_deltas) = both
    assert_close((cost, gradients), (twin_cost, twin_gradients))
    assert no_deltas == ()


def with_nudges(net_layers, params, nudges, x):
    """The chain's output with a nudge added to each pre-activation."""
    for layer, layer_params, nudge in zip(net_layers, params, nudges, strict=True):
        x = layer.apply(layer_params, x)
        x = x if isinstance(nudge, tuple) else x + nudge
    return x


@pytest.mark.parametrize("leading", [(M,), (M, 4)], ids=["rows", "rows of positions"])
def test_delta_is_the_gradient_in_the_pre_activation(leading, float64):
    parts = layers.linear(HIDDEN), layers.gelu(), layers.linear(4), layers.sigmoid(), layers.linear(CLASSES)
    net = layers.chain(*parts)
    params = with_biases(net.init(jax.random.key(1), (FEATURES,))[0])
    x, y = draw(*leading, FEATURES), draw(*leading, CLASSES)
    zeros = jnp.zeros((*leading, HIDDEN)), (), jnp.zeros((*leading, 4)), (), jnp.zeros((*leading, CLASSES))

    def cost(nudges):
        return rules.squared_error(with_nudges(parts, params, nudges, x), y).mean()

    _, _, deltas = jax.jit(jb.backprop(net, rules.squared_error))(params, x, y)
    assert_close(deltas, jax.jit(jax.grad(jb.automatic(cost)))(zeros))


def test_chains_of_chains(float64):
    _, params, x, labels = classifier()
    inner = layers.chain(layers.tanh(), layers.linear(4), layers.relu())
    net = layers.chain(layers.chain(layers.linear(HIDDEN)), inner, layers.linear(CLASSES))
    nested = (params[:1], params[1:4], params[4])
    flat = jb.backprop(classifier()[0], rules.softmax_cross_entropy)(params, x, labels)
    cost, gradients, deltas = jb.backprop(net, rules.softmax_cross_entropy)(nested, x, labels)
    assert_close((cost, (*gradients[0], *gradients[1], gradients[2])), flat[:2])
    assert_close((*deltas[0], *deltas[1], deltas[2]), flat[2])


@functools.partial(jax.custom_vjp, nondiff_argnames=("threshold",))
def huber(prediction, target, threshold=1.0):
    error = jnp.abs(prediction - target)
    near = jnp.minimum(error, threshold)
    return (0.5 * near**2 + threshold * (error - near)).sum(axis=-1)


def huber_fwd(prediction, target, threshold):
    return huber(prediction, target, threshold), prediction - target


def huber_bwd(threshold, error, dvalues):
    return dvalues[..., None] * jnp.clip(error, -threshold, threshold), None


huber.defvjp(huber_fwd, huber_bwd)


@pytest.mark.parametrize("loss", [huber, functools.partial(huber, threshold=0.25)], ids=["default", "partial"])
def test_a_loss_of_your_own_with_an_option(loss, float64):
    net, params, x, _ = classifier()
    y = draw(M, CLASSES)
    cost, gradients, _ = jb.backprop(net, loss)(params, x, y)
    assert_close((cost, gradients), jax.jit(jb.autodiff(net, loss))(params, x, y)[:2])


def test_the_option_of_a_partial_loss_counts():
    net, params, x, _ = classifier()
    costs = {t: jb.backprop(net, functools.partial(huber, threshold=t))(params, x, draw(M, CLASSES))[0] for t in (1, 2)}
    assert costs[1] != costs[2]


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (rules.softmax_cross_entropy, lambda: jnp.arange(M) % CLASSES),
        (rules.softmax_cross_entropy, lambda: jax.nn.softmax(draw(M, CLASSES))),
        (rules.sigmoid_cross_entropy, lambda: draw(M, CLASSES) > 0),
        (rules.squared_error, lambda: draw(M, CLASSES)),
    ],
    ids=["integer labels", "soft labels", "yes or no", "squared error"],
)
def test_every_loss(loss, target, float64):
    net, params, x, _ = classifier()
    y = target()
    cost, gradients, _ = jb.backprop(net, loss)(params, x, y)
    assert_close((cost, gradients), jax.jit(jb.autodiff(net, loss))(params, x, y)[:2])


@pytest.mark.parametrize("transform", [jax.jit, lambda f: jax.jit(jax.checkpoint(f))], ids=["jit", "remat"])
def test_transformed(transform, float64):
    net, params, x, labels = classifier()
    backpropagate = jb.backprop(net, rules.softmax_cross_entropy)
    assert_close(transform(backpropagate)(params, x, labels), backpropagate(params, x, labels))


def test_vmap_over_networks(float64):
    net, params, x, labels = classifier()
    backpropagate = jax.jit(jb.backprop(net, rules.softmax_cross_entropy))
    two = jax.tree.map(lambda p: np.stack([p, 2 * p]), params)
    both = jax.device_get(jax.jit(jax.vmap(backpropagate, in_axes=(0, None, None)))(two, x, labels))
    for i in range(2):
        one = backpropagate(jax.tree.map(lambda p, i=i: p[i], two), x, labels)
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], both), one)


def test_labels_out_of_range():
    net, params, x, labels = classifier()
    backpropagate = jb.backprop(net, rules.softmax_cross_entropy)
    labels = labels.at[2].set(CLASSES)
    with pytest.raises(ValueError, match=r"labels, wanted class numbers in \[0, 3\), got 0 to 3"):
        backpropagate(params, x, labels)
    cost, _, (*_, delta) = jax.jit(backpropagate)(params, x, labels)
    assert jnp.isnan(cost)
    assert jnp.isnan(delta).any(axis=-1).nonzero()[0].tolist() == [2]


class AutodiffRanError(Exception):
    pass


@pytest.fixture
def no_autodiff(monkeypatch):
    """Every way into automatic differentiation, and what the ways share inside, raises."""

    def refuse(*args, **kwargs):
        raise AutodiffRanError

    for name in ("grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacrev", "jacfwd"):
        monkeypatch.setattr(jax, name, refuse)
    for name in ("JVPTrace", "LinearizeTrace", "jvp", "linearize", "linearize_jaxpr", "backward_pass"):
        monkeypatch.setattr(ad, name, refuse)


def test_nothing_in_it_differentiates(no_autodiff):
    net, params, x, labels = classifier()
    backpropagate = jb.backprop(net, rules.softmax_cross_entropy)
    backpropagate(params, x, labels)
    jax.jit(backpropagate)(params, x, labels)


def test_the_guard_would_have_seen_it(monkeypatch, request):
    net, params, x, labels = classifier()
    value_and_grad = jax.value_and_grad
    request.getfixturevalue("no_autodiff")
    with pytest.raises(AutodiffRanError):
        jb.autodiff(net, rules.softmax_cross_entropy)(params, x, labels)
    monkeypatch.setattr(jax, "value_and_grad", value_and_grad)
    with pytest.raises(AutodiffRanError):
        jb.autodiff(net, rules.softmax_cross_entropy)(params, x, labels)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_its_jaxpr_is_the_recursion(depth):
    """A forward product, δ Wᵀ and aᵀ δ for each layer; one tanh, whose derivative is read off its output."""
    net = layers.chain(*[part for _ in range(depth) for part in (layers.linear(HIDDEN), layers.tanh())])
    params, _ = net.init(jax.random.key(0), (FEATURES,))
    x, y = draw(M, FEATURES), draw(M, HIDDEN)
    text = str(jax.make_jaxpr(jb.backprop(net, rules.squared_error))(params, x, y))
    assert text.count("dot_general[") == 3 * depth
    assert text.count("= tanh ") == depth


def plain_squares(a, y):
    return 0.5 * jnp.square(a - y).sum(axis=-1)


def test_a_loss_of_plain_jax(float64):
    """∂C/∂output by `jax.vjp` of the loss alone, and the δ recursion from there."""
    net, params, x, _ = classifier()
    y = draw(M, CLASSES)
    got = jb.backprop(net, plain_squares)(params, x, y)
    wanted = jb.backprop(net, rules.squared_error)(params, x, y)
    assert_close(got, wanted)


@pytest.mark.parametrize(
    ("make", "net", "loss", "message"),
    [
        (jb.backprop, layers.linear(3), 3, r"backprop: loss, wanted a function of \(output, target\), got 3"),
        (jb.autodiff, layers.linear(3), 3, r"autodiff: loss, wanted a function of \(output, target\), got 3"),
        (jb.backprop, layers.relu, rules.squared_error, "backprop: net, wanted a Layer, got <function relu"),
    ],
)
def test_what_is_no_network_or_no_loss(make, net, loss, message):
    with pytest.raises(TypeError, match=message):
        make(net, loss)


def test_a_loss_whose_halves_are_missing():
    backpropagate = jb.backprop(layers.linear(3), jax.custom_vjp(jnp.subtract))
    with pytest.raises(TypeError, match=r"backprop: loss, wanted a jax.custom_vjp function .* got .*custom_vjp"):
        backpropagate(LINEAR, np.ones((7, 6), "f"), np.ones((7, 3), "f"))


def test_trees_of_inputs_and_targets(float64):
    """Two inputs, two outputs with a loss each."""

    def loss(outputs, targets):
        return plain_squares(outputs[0], targets["a"]) + plain_squares(outputs[1], targets["b"])

    net = layers.chain(layers.swiglu(), layers.parallel(layers.linear(4), layers.linear(3)))
    params, _ = net.init(jax.random.key(0), ((FEATURES,), (FEATURES,)))
    x, y = (draw(M, FEATURES), draw(M + 1, FEATURES)[1:]), {"a": draw(M, 4), "b": draw(M, 3)}
    got = jb.backprop(net, loss)(params, x, y)[:2]
    assert_close(got, jax.jit(jb.autodiff(net, loss))(params, x, y)[:2])


def test_layers_have_their_names_in_a_profile():
    net, params, x, labels = classifier()
    text = jax.jit(jb.backprop(net, rules.softmax_cross_entropy)).lower(params, x, labels).as_text(debug_info=True)
    for name in ("0.linear", "1.tanh", "4.linear"):
        assert name in text


LINEAR = {"w": np.ones((6, 3), np.float32), "b": np.ones(3, np.float32)}
BAD_INPUT = {
    "feature size": ((7, 5), (7, 3), ValueError, r"linear: x, wanted 6 features \(rows of w\) last, got \(7, 5\)"),
    "batch": ((7, 6), (4, 3), ValueError, r"squared_error: target, wanted shape \(7, 3\) .*, got \(4, 3\)"),
    "target size": ((7, 6), (7, 2), ValueError, r"squared_error: target, wanted shape \(7, 3\) .*, got \(7, 2\)"),
    "no examples": ((0, 6), (0, 3), ValueError, r"backprop: x, wanted at least one example, got losses \(0,\)"),
}


@pytest.mark.parametrize("differentiate", [jb.backprop, jb.autodiff])
@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_shapes(case, differentiate):
    x_shape, y_shape, error, message = BAD_INPUT[case]
    with pytest.raises(error, match=message):
        differentiate(layers.linear(3), rules.squared_error)(LINEAR, np.ones(x_shape, "f"), np.ones(y_shape, "f"))


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.ones((7, 6), np.int32), np.zeros(7, np.int32), "linear: x, wanted a floating point array, got int32"),
        (np.ones((7, 6), np.float32), np.zeros(7, np.float32), "labels, wanted integers, got float32"),
    ],
    ids=["integer inputs", "float labels"],
)
def test_bad_dtypes(x, labels, message):
    with pytest.raises(TypeError, match=message):
        jb.backprop(layers.linear(3), rules.softmax_cross_entropy)(LINEAR, x, labels)


def test_a_batch_of_labels_that_is_too_short():
    with pytest.raises(ValueError, match=r"labels, wanted shape \(7,\) \(class numbers\) or \(7, 3\) .*, got \(4,\)"):
        jb.backprop(layers.linear(3), rules.softmax_cross_entropy)(LINEAR, np.ones((7, 6), "f"), np.zeros(4, int))


def language_model(keep, tied):
    body = layers.chain(layers.embedding(11, 6), layers.lstm(6))
    both = layers.parallel(body, layers.identity(), split=True)
    head = layers.linear_softmax_cross_entropy(11, bias=not tied, ignore_index=2, keep=keep)
    net = layers.chain(both, head)
    return layers.shared(net, ("0.0.0.table", "1.w.T")) if tied else net


def mean_of_each(losses, labels):
    return losses.sum(-1) / (labels != 2).sum(-1)


@pytest.mark.parametrize("tied", [False, True])
def test_the_gradients_of_a_loss_that_is_linear_come_with_it(float64, tied):
    """One product less than where the output layer is gone through twice, no array of examples × classes, and no δ."""
    ids = jnp.arange(4 * 5).reshape(4, 5) * 7 % 11
    labels = ids * 3 % 11
    net, twice = (language_model(keep, tied) for keep in ("gradients", "nothing"))
    params, _ = net.init(jax.random.key(0), ((5,), (5,)))
    ways = [jb.backprop(one, mean_of_each) for one in (net, twice)]
    (cost, gradients, deltas), (wanted_cost, wanted, _) = (jax.jit(way)(params, (ids, labels), labels) for way in ways)
    assert_close((cost, gradients), (wanted_cost, wanted))
    assert deltas[-1] == ()
    products = [str(jax.make_jaxpr(way)(params, (ids, labels), labels)).count("dot_general") for way in ways]
    assert products[0] == products[1] - 1
    norms = jax.eval_shape(ways[0].telling_norms(), params, (ids, labels), labels)[2]
    assert jax.tree.structure(norms) == jax.tree.structure(deltas)


def test_a_loss_that_is_not_linear_goes_through_the_output_layer_twice(float64):
    ids = jnp.arange(4 * 5).reshape(4, 5) * 7 % 11
    net, twice = (language_model(keep, tied=False) for keep in ("gradients", "nothing"))
    params, _ = net.init(jax.random.key(0), ((5,), (5,)))
    found, wanted = (
        jax.jit(jb.backprop(one, lambda losses, labels: jnp.square(losses).sum(-1)))(params, (ids, ids), ids)
        for one in (net, twice)
    )
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
