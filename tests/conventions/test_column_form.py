"""Column form: examples are columns, Z = W A + b with W (n_out, n_in), and 1/m stands in the parameter gradients.

Mukul Rathi, “Demystifying Deep Learning: Part 5”, 2018.  `backpropagation` fills a dictionary:

    dZ_L = A_L − Y          dZ_l = dA_l * relu'(Z_l), relu'(0) = 0          dA_l = W_(l+1)ᵀ dZ_(l+1)
    dW_l = 1/m dZ_l A_(l−1)ᵀ                                                db_l = 1/m Σ_columns dZ_l

Its dA and dZ belong to the sum of the examples' losses; ours carry the 1/m from the start: δ = dZᵀ / m.
The article also says why not to nudge each parameter instead: that costs a forward pass for each, the last test here.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules

SIZES = [6, 5, 4, 3]
L = len(SIZES) - 1
M = 7


def relu(Z, deriv=False):
    return (Z > 0).astype(Z.dtype) if deriv else np.maximum(Z, 0)


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def softmax(Z):
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)


OUTPUTS = {
    "regression": (lambda Z: Z, lambda A, Y: 0.5 * ((A - Y) ** 2).sum(axis=0), rules.squared_error),
    "binary": (
        sigmoid,
        lambda A, Y: -(Y * np.log(A) + (1 - Y) * np.log(1 - A)).sum(axis=0),
        rules.sigmoid_cross_entropy,
    ),
    "multi-class": (softmax, lambda A, Y: -(Y * np.log(A)).sum(axis=0), rules.softmax_cross_entropy),
}


def forward(X, parameters, output):
    cache = {"A0": X}
    for l in range(1, L + 1):
        Z = parameters["W" + str(l)] @ cache["A" + str(l - 1)] + parameters["b" + str(l)]
        cache["Z" + str(l)] = Z
        cache["A" + str(l)] = relu(Z) if l < L else output(Z)
    return cache


def backpropagation(cache, Y, parameters):
    m = Y.shape[1]
    grads = {"dZ" + str(L): cache["A" + str(L)] - Y}
    for l in range(L, 0, -1):
        if l < L:
            grads["dA" + str(l)] = parameters["W" + str(l + 1)].T @ grads["dZ" + str(l + 1)]
            grads["dZ" + str(l)] = grads["dA" + str(l)] * relu(cache["Z" + str(l)], deriv=True)
        grads["dW" + str(l)] = (1 / m) * grads["dZ" + str(l)] @ cache["A" + str(l - 1)].T
        grads["db" + str(l)] = (1 / m) * np.sum(grads["dZ" + str(l)], axis=1, keepdims=True)
    return grads


def draw_parameters(random, sizes=SIZES):
    pairs = list(enumerate(itertools.pairwise(sizes), start=1))
    W = {"W" + str(l): random.normal(size=(n_out, n_in)) for l, (n_in, n_out) in pairs}
    return W | {"b" + str(l): random.normal(size=(n_out, 1)) for l, (_, n_out) in pairs}


def draw_targets(random, name, m=M):
    Y = random.uniform(size=(SIZES[-1], m))
    return Y / Y.sum(axis=0) if name == "multi-class" else Y


def our_network(sizes=SIZES):
    hidden = [layer for n in sizes[1:-1] for layer in (layers.linear(n), layers.relu())]
    return layers.chain(*hidden, layers.linear(sizes[-1]))


def our_params(parameters) -> layers.Params:
    """Rows for columns: every W transposed, every b a vector."""
    count = len(parameters) // 2
    by_layer = [
        {"w": jnp.asarray(parameters["W" + str(l)].T), "b": jnp.asarray(parameters["b" + str(l)][:, 0])}
        for l in range(1, count + 1)
    ]
    activations = [()] * count
    return tuple(part for pair in zip(by_layer, activations, strict=True) for part in pair)[:-1]


def compare_everything(parameters, X, Y, name, agree):
    output, _, loss = OUTPUTS[name]
    m = X.shape[1]
    grads = backpropagation(forward(X, parameters, output), Y, parameters)
    params = our_params(parameters)
    _, gradients, deltas = jb.backprop(our_network(), loss)(params, jnp.asarray(X.T), jnp.asarray(Y.T))
    for l in range(1, L + 1):
        i = 2 * l - 2
        agree(deltas[i], grads["dZ" + str(l)].T / m)
        agree(gradients[i]["w"], grads["dW" + str(l)].T)
        agree(gradients[i]["b"], grads["db" + str(l)][:, 0])
        if l < L:
            agree(rules.input_gradient(deltas[i + 2], params[i + 2]["w"]), grads["dA" + str(l)].T / m)


@pytest.mark.parametrize("name", OUTPUTS)
def test_grads_dictionary(name, random, agree):
    X, Y = random.normal(size=(SIZES[0], M)), draw_targets(random, name)
    compare_everything(draw_parameters(random), X, Y, name, agree)


def test_relu_at_the_kink(random, agree):
    """An input of zeros with no bias puts the whole first layer at Z = 0, where the article takes 0 for relu'."""
    parameters = draw_parameters(random)
    parameters["b1"] = np.zeros_like(parameters["b1"])
    X, Y = random.normal(size=(SIZES[0], M)), draw_targets(random, "regression")
    X[:, 2] = 0
    grads = backpropagation(forward(X, parameters, lambda Z: Z), Y, parameters)
    assert not grads["dZ1"][:, 2].any()
    assert grads["dA1"][:, 2].all()
    compare_everything(parameters, X, Y, "regression", agree)


@pytest.mark.parametrize("name", OUTPUTS)
def test_cost(name, random, agree):
    output, costs, loss = OUTPUTS[name]
    parameters, X, Y = draw_parameters(random), random.normal(size=(SIZES[0], M)), draw_targets(random, name)
    cost, _, _ = jb.backprop(our_network(), loss)(our_params(parameters), jnp.asarray(X.T), jnp.asarray(Y.T))
    agree(cost, costs(forward(X, parameters, output)["A" + str(L)], Y).mean())


def test_column_form_is_the_transpose_of_the_row_form(random, agree):
    """(W A + b)ᵀ = Aᵀ Wᵀ + bᵀ, and each cotangent is the transpose of its twin."""
    W, A, b = random.normal(size=(3, 5)), random.normal(size=(5, M)), random.normal(size=(3, 1))
    dZ = random.normal(size=(3, M))
    z, pull = jax.vjp(rules.linear, jnp.asarray(A.T), jnp.asarray(W.T), jnp.asarray(b[:, 0]))
    da, dw, db = pull(jnp.asarray(dZ.T))
    agree(z.T, W @ A + b)
    agree(da.T, W.T @ dZ)
    agree(dw.T, dZ @ A.T)
    agree(db[:, None], dZ.sum(axis=1, keepdims=True))


def numerical_gradient(cost, parameters, nudge=1e-6):
    """Each parameter nudged up and down, by itself."""
    grads = {name: np.empty_like(value) for name, value in parameters.items()}
    for name, value in parameters.items():
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + nudge
            above = cost(parameters)
            value[index] = kept - nudge
            grads[name][index] = (above - cost(parameters)) / (2 * nudge)
            value[index] = kept
    return grads


@pytest.mark.parametrize("name", OUTPUTS)
def test_nudging_every_parameter(name, random):
    output, costs, loss = OUTPUTS[name]
    parameters, X, Y = draw_parameters(random), random.normal(size=(SIZES[0], M)), draw_targets(random, name)
    passes = 0

    def cost(parameters):
        nonlocal passes
        passes += 1
        return costs(forward(X, parameters, output)["A" + str(L)], Y).mean()

    wanted = our_params(numerical_gradient(cost, parameters))
    _, got, _ = jb.backprop(our_network(), loss)(our_params(parameters), jnp.asarray(X.T), jnp.asarray(Y.T))
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-6, atol=1e-8), got, wanted)
    assert passes == 2 * sum(value.size for value in parameters.values())


@pytest.mark.parametrize("sizes", [[2, 3, 4], [20, 30, 40]])
def test_one_backward_pass_whatever_the_number_of_parameters(sizes, random):
    """Three products a layer (forward, what travels on, what W gets), where nudging costs two passes a parameter."""
    X, Y = jnp.asarray(random.normal(size=(M, sizes[0]))), jnp.asarray(random.normal(size=(M, sizes[-1])))
    backpropagate = jb.backprop(our_network(sizes), rules.squared_error)
    jaxpr = jax.make_jaxpr(backpropagate)(our_params(draw_parameters(random, sizes)), X, Y)
    assert str(jaxpr).count("dot_general") == 3 * (len(sizes) - 1)
