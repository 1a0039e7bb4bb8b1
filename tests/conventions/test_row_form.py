"""Row form, one example at a time: z = a W + b with W (n_in, n_out), component by component and in vector form.

“Back Prop question”, a forum discussion that derives, for the loss 𝓛 of one example, from the chain rule:

    ∂𝓛/∂z[l]_k  = Σ_j (∂𝓛/∂z[l+1]_j W[l+1]_kj) g'(z[l]_k)      = (∂𝓛/∂z[l+1] W[l+1]ᵀ) ∘ g'(z[l])
    ∂𝓛/∂W[l]_kj = a[l−1]_k ∂𝓛/∂z[l]_j                          = a[l−1]ᵀ ∂𝓛/∂z[l]
    ∂𝓛/∂b[l]_j  = ∂𝓛/∂z[l]_j                                   = ∂𝓛/∂z[l]

Ours is this form for a batch: its cost is the mean of the 𝓛, so its δ is ∂𝓛/∂z divided by the number of examples.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules

N = [6, 5, 4, 3]
L = len(N) - 1


def g(z):
    return np.tanh(z)


def g_prime(z):
    return 1 - np.tanh(z) ** 2


def forward(x, W, b):
    """z[l] and a[l] of one example; the last layer is linear."""
    a, z = {0: x}, {}
    for l in range(1, L + 1):
        z[l] = a[l - 1] @ W[l] + b[l]
        a[l] = g(z[l]) if l < L else z[l]
    return z, a


def by_components(z, a, W, dz_last):
    """∂𝓛/∂z, ∂𝓛/∂W and ∂𝓛/∂b, each sum over j a loop."""
    dz, dW, db = {L: dz_last}, {}, {}
    for l in range(L - 1, 0, -1):
        dz[l] = np.array(
            [sum(dz[l + 1][j] * W[l + 1][k, j] for j in range(N[l + 1])) * g_prime(z[l][k]) for k in range(N[l])]
        )
    for l in range(1, L + 1):
        dW[l] = np.array([[a[l - 1][k] * dz[l][j] for j in range(N[l])] for k in range(N[l - 1])])
        db[l] = np.array([dz[l][j] for j in range(N[l])])
    return dz, dW, db


def by_vectors(z, a, W, dz_last):
    """The same with rows: an example is a (1, n) matrix."""
    dz = {L: dz_last[None]}
    for l in range(L - 1, 0, -1):
        dz[l] = (dz[l + 1] @ W[l + 1].T) * g_prime(z[l])
    dW = {l: a[l - 1][None].T @ dz[l] for l in dz}
    return {l: dz[l][0] for l in dz}, dW, {l: dz[l][0] for l in dz}


@pytest.fixture
def weights(random):
    W = {l: random.normal(size=(N[l - 1], N[l])) for l in range(1, L + 1)}
    b = {l: random.normal(size=N[l]) for l in range(1, L + 1)}
    return W, b


def ours(W, b, x, y):
    net = layers.chain(layers.linear(N[1]), layers.tanh(), layers.linear(N[2]), layers.tanh(), layers.linear(N[3]))
    w_b = {l: {"w": jnp.asarray(W[l]), "b": jnp.asarray(b[l])} for l in W}
    params = w_b[1], (), w_b[2], (), w_b[3]
    _, gradients, deltas = jb.backprop(net, rules.squared_error)(params, jnp.asarray(x), jnp.asarray(y))
    return {l: gradients[2 * l - 2] for l in W}, {l: deltas[2 * l - 2] for l in W}


@pytest.mark.parametrize("derivation", [by_components, by_vectors])
def test_one_example(derivation, weights, random, agree):
    W, b = weights
    x, y = random.normal(size=N[0]), random.normal(size=N[L])
    z, a = forward(x, W, b)
    dz, dW, db = derivation(z, a, W, a[L] - y)
    gradients, deltas = ours(W, b, x[None], y[None])
    for l in W:
        agree(deltas[l], dz[l][None])
        agree(gradients[l]["w"], dW[l])
        agree(gradients[l]["b"], db[l])


@pytest.mark.parametrize("derivation", [by_components, by_vectors])
def test_mean_over_examples(derivation, weights, random, agree):
    W, b = weights
    m = 7
    x, y = random.normal(size=(m, N[0])), random.normal(size=(m, N[L]))
    examples = []
    for x_i, y_i in zip(x, y, strict=True):
        z, a = forward(x_i, W, b)
        examples.append(derivation(z, a, W, a[L] - y_i))
    gradients, deltas = ours(W, b, x, y)
    for l in W:
        agree(deltas[l], np.stack([dz[l] for dz, _, _ in examples]) / m)
        agree(gradients[l]["w"], sum(dW[l] for _, dW, _ in examples) / m)
        agree(gradients[l]["b"], sum(db[l] for _, _, db in examples) / m)
