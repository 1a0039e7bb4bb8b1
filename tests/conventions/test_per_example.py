"""Per-example columns: Algorithm 1 on one (x, y) at a time, layers numbered from 2 to L, then the mini-batch average.

Yunwen Lei, “Week 5: Backpropagation”, University of Birmingham.

    δ^L = ∇_a C ⊙ σ'(z^L)      δ^ℓ = ((W^(ℓ+1))ᵀ δ^(ℓ+1)) ⊙ σ'(z^ℓ)      ∂C/∂W^ℓ = δ^ℓ (a^(ℓ−1))ᵀ      ∂C/∂b^ℓ = δ^ℓ
    ∂C/∂W^ℓ ≈ 1/s Σ_{i ∈ I} ∂C_i/∂W^ℓ

Here every layer has the sigmoid, the output too, and C_i = ½ ‖y − a^L‖²: the general output layer, with σ' in it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jbackprop as jb
from jbackprop import layers, rules

M = {1: 6, 2: 5, 3: 4, 4: 3}
L = len(M)
EXAMPLES = 11


def sigma(z):
    return 1 / (1 + np.exp(-z))


def sigma_prime(z):
    return sigma(z) * (1 - sigma(z))


def algorithm_1(x, y, W, b):
    """The gradients of one example, and its δ; every vector is a column."""
    a, z = {1: x}, {}
    for l in range(2, L + 1):
        z[l] = W[l] @ a[l - 1] + b[l]
        a[l] = sigma(z[l])
    delta = {L: (a[L] - y) * sigma_prime(z[L])}
    for l in range(L - 1, 1, -1):
        delta[l] = (W[l + 1].T @ delta[l + 1]) * sigma_prime(z[l])
    return {l: delta[l] @ a[l - 1].T for l in delta}, delta


def component_of_delta(j, l, z, a, y, W):
    """Equation 2.4, recursive as it is written."""
    if l == L:
        return sigma_prime(z[L][j]) * (a[L][j] - y[j])
    later = [component_of_delta(k, l + 1, z, a, y, W) * W[l + 1][k, j] for k in range(M[l + 1])]
    return sigma_prime(z[l][j]) * sum(later)


@pytest.fixture
def problem(random):
    W = {l: random.normal(size=(M[l], M[l - 1])) for l in range(2, L + 1)}
    b = {l: random.normal(size=(M[l], 1)) for l in range(2, L + 1)}
    return W, b, random.normal(size=(EXAMPLES, M[1], 1)), random.uniform(size=(EXAMPLES, M[L], 1))


def ours(W, b, x, y):
    net = layers.chain(*(layer for l in W for layer in (layers.linear(M[l]), layers.sigmoid())))
    w_b = [{"w": W[l].T, "b": b[l][:, 0]} for l in W]
    params = tuple(part for parameters in w_b for part in (parameters, ()))
    rows = x[..., 0], y[..., 0]
    _, gradients, deltas = jax.device_get(jax.jit(jb.backprop(net, rules.squared_error))(params, *rows))
    return {l: gradients[2 * l - 4] for l in W}, {l: deltas[2 * l - 4] for l in W}


@pytest.mark.parametrize("batch", [[4], [8, 1, 5, 2], list(range(EXAMPLES))], ids=["stochastic", "mini", "full"])
def test_average_over_a_batch(batch, problem, agree):
    W, b, x, y = problem
    s = len(batch)
    examples = [algorithm_1(x[i], y[i], W, b) for i in batch]
    gradients, deltas = ours(W, b, x[batch], y[batch])
    for l in W:
        agree(gradients[l]["w"].T, sum(dW[l] for dW, _ in examples) / s)
        agree(gradients[l]["b"][:, None], sum(delta[l] for _, delta in examples) / s)
        agree(deltas[l], np.stack([delta[l][:, 0] for _, delta in examples]) / s)


def test_component_by_component(problem, agree):
    W, b, x, y = (part if isinstance(part, dict) else part[0] for part in problem)
    a, z = {1: x}, {}
    for l in range(2, L + 1):
        z[l] = W[l] @ a[l - 1] + b[l]
        a[l] = sigma(z[l])
    _, deltas = ours(W, b, x[None], y[None])
    for l in W:
        agree(deltas[l][0], np.array([component_of_delta(j, l, z, a, y, W)[0] for j in range(M[l])]))


@pytest.mark.parametrize(("w", "x", "b", "y"), [(0.7, -1.3, 0.4, 0.9), (-2.1, 0.6, 0.2, 0.1)])
def test_chain_rule_on_one_neuron(w, x, b, y, agree):
    """C = ½ (σ(w x + b) − y)²: in closed form, then with ∂C/∂z computed once and used twice."""
    closed_form_w = (sigma(w * x + b) - y) * sigma_prime(w * x + b) * x
    closed_form_b = (sigma(w * x + b) - y) * sigma_prime(w * x + b)
    z = w * x + b
    a = sigma(z)
    dC_da = a - y
    dC_dz = dC_da * sigma_prime(z)
    net = layers.chain(layers.linear(1), layers.sigmoid())
    params = {"w": jnp.full((1, 1), w), "b": jnp.full(1, b)}, ()
    cost, (gradient, _), (delta, _) = jb.backprop(net, rules.squared_error)(
        params, jnp.full((1, 1), x), jnp.full((1, 1), y)
    )
    agree(cost, 0.5 * (a - y) ** 2)
    agree(delta, [[dC_dz]])
    for dC_dw, dC_db in [(closed_form_w, closed_form_b), (dC_dz * x, dC_dz)]:
        agree(gradient["w"], [[dC_dw]])
        agree(gradient["b"], [dC_db])


def test_linear_regression_with_numbers(agree):
    """w = 5, x = 1: u = x w = 5, ŷ = u + b = 6, e = ŷ − y = 4, J = e² = 16 and ∂J/∂w = 2 e x = 8.  Ours is ½ J."""
    w, x, b, y = (jnp.full((1, 1), value) for value in (5.0, 1.0, 1.0, 2.0))

    def J(w):
        return 2 * rules.squared_error(rules.linear(x, w, b[0]), y)[0]

    agree(J(w), 16.0)
    agree(jax.grad(J)(w), [[8.0]])
