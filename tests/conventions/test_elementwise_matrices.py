"""Matrices written out entry by entry: two layers, one column for each sample, dA[2] and dZ[2] element by element.

Lihao Wang, “How gradients are back propagated in NN”, 2019, where a_j^[2](i) is node j of layer 2 in sample i and

    J = 1/m Σ_i Σ_j L(a_j^[2](i), y_j^(i))      dA[2] = [dL(a_j, y_j)/da_j]_ji      dZ[2] = dA[2] * g[2]'(Z[2])

The article writes dA[2] without the 1/m of J.  Ours is the derivative of J itself, so δ² = dZ[2]ᵀ / m.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules

N0, N1, N2 = 5, 4, 3
m = 3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


ACTIVATIONS = {
    "sigmoid": (layers.sigmoid, sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (layers.tanh, np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (layers.softplus, lambda z: np.log(1 + np.exp(z)), sigmoid),
}


def elementwise(entry, *matrices):
    """The matrix of entry(...) at each node j and sample i."""
    nodes, samples = matrices[0].shape
    return np.array([[entry(*(M[j, i] for M in matrices)) for i in range(samples)] for j in range(nodes)])


def dL_da(a, y):
    """L(a, y) = ½ (a − y)²."""
    return a - y


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_two_layers_three_samples(name, random, agree):
    activation, g, g_prime = ACTIVATIONS[name]
    X, Y = random.normal(size=(N0, m)), random.normal(size=(N2, m))
    W1, b1 = random.normal(size=(N1, N0)), random.normal(size=(N1, 1))
    W2, b2 = random.normal(size=(N2, N1)), random.normal(size=(N2, 1))
    A1 = elementwise(g, W1 @ X + b1)
    Z2 = W2 @ A1 + b2
    A2 = elementwise(g, Z2)
    dA2 = elementwise(dL_da, A2, Y)
    dZ2 = elementwise(lambda da, z: da * g_prime(z), dA2, Z2)

    net = layers.chain(layers.linear(N1), activation(), layers.linear(N2), activation())
    params = (
        {"w": jnp.asarray(W1.T), "b": jnp.asarray(b1[:, 0])},
        (),
        {"w": jnp.asarray(W2.T), "b": jnp.asarray(b2[:, 0])},
        (),
    )
    x, y = jnp.asarray(X.T), jnp.asarray(Y.T)
    cost, _, (_, _, delta_2, _) = jb.backprop(net, rules.squared_error)(params, x, y)
    agree(net.apply(params, x), A2.T)
    agree(cost, elementwise(lambda a, y: 0.5 * (a - y) ** 2, A2, Y).sum() / m)
    agree(jax.grad(lambda a: rules.squared_error(a, y).mean())(jnp.asarray(A2.T)), dA2.T / m)
    agree(delta_2, dZ2.T / m)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_depends_on_its_own_z_alone(name, random, agree):
    """∂a_j^(i)/∂z_k^(h) is g'(z_j^(i)) where j = k and i = h, and 0 elsewhere: hence the product of elements."""
    activation, _, g_prime = ACTIVATIONS[name]
    z = random.normal(size=(m, N2))
    jacobian = jax.jacrev(lambda z: activation().apply((), z))(jnp.asarray(z))
    agree(jacobian.reshape(m * N2, m * N2), np.diag(g_prime(z).ravel()))
