"""Three layers written out, C = Cost(L₃(L₂(L₁(x)))), and the update W_new = W_old − η ∂C/∂W.

“Backpropagation with Scalar Calculus”, in which one column x goes through z_i = W_i a_{i−1} + b_i, a_i = σ(z_i):

    δ₃ = (a₃ − y) ⊙ σ'(z₃)      δ₂ = (W₃ᵀ δ₃) ⊙ σ'(z₂)      δ₁ = (W₂ᵀ δ₂) ⊙ σ'(z₁)      ∂C/∂W_i = δ_i a_{i−1}ᵀ

with C = ½ (a₃ − y)².  One step of ours with plain gradient descent must leave the same weights behind.
"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jbackprop as jb
from jbackprop import layers, rules, training

N = [6, 5, 4, 3]
ETA = 0.3


def sigma(z):
    return 1 / (1 + np.exp(-z))


def sigma_prime(z):
    return sigma(z) * (1 - sigma(z))


def forward(x, W, b):
    z1 = W[1] @ x + b[1]
    a1 = sigma(z1)
    z2 = W[2] @ a1 + b[2]
    a2 = sigma(z2)
    z3 = W[3] @ a2 + b[3]
    return (z1, z2, z3), (x, a1, a2, sigma(z3))


def step_by_step(x, y, W, b):
    """Steps 1, 2 and 3: each δ from the one after it."""
    (z1, z2, z3), (a0, a1, a2, a3) = forward(x, W, b)
    delta_3 = (a3 - y) * sigma_prime(z3)
    delta_2 = (W[3].T @ delta_3) * sigma_prime(z2)
    delta_1 = (W[2].T @ delta_2) * sigma_prime(z1)
    return {3: np.outer(delta_3, a2), 2: np.outer(delta_2, a1), 1: np.outer(delta_1, a0)}, {
        3: delta_3,
        2: delta_2,
        1: delta_1,
    }


def product_of_linear_maps(x, y, W, b):
    """∂C/∂W_i with the whole product of Jacobians for each layer: the terms that step_by_step computes once."""
    (z1, z2, z3), (a0, a1, a2, a3) = forward(x, W, b)
    dC_dL3 = a3 - y
    dL3_dL2 = np.diag(sigma_prime(z3)) @ W[3]
    dL2_dL1 = np.diag(sigma_prime(z2)) @ W[2]
    delta = {
        1: dC_dL3 @ dL3_dL2 @ dL2_dL1 @ np.diag(sigma_prime(z1)),
        2: dC_dL3 @ dL3_dL2 @ np.diag(sigma_prime(z2)),
        3: dC_dL3 @ np.diag(sigma_prime(z3)),
    }
    return {i: np.outer(delta[i], a) for i, a in ((1, a0), (2, a1), (3, a2))}, delta


@pytest.fixture
def problem(random):
    W = {i: random.normal(size=(N[i], N[i - 1])) for i in (1, 2, 3)}
    b = {i: random.normal(size=N[i]) for i in (1, 2, 3)}
    return random.normal(size=N[0]), random.uniform(size=N[3]), W, b


def ours(W, b):
    net = layers.chain(*(layer for i in W for layer in (layers.linear(N[i]), layers.sigmoid())))
    params = [part for i in W for part in ({"w": jnp.asarray(W[i].T), "b": jnp.asarray(b[i])}, ())]
    return jb.backprop(net, rules.squared_error), tuple(params)


@pytest.mark.parametrize("derivation", [step_by_step, product_of_linear_maps])
def test_gradients(derivation, problem, agree):
    x, y, W, b = problem
    dC_dW, delta = derivation(x, y, W, b)
    backpropagate, params = ours(W, b)
    _, gradients, deltas = backpropagate(params, jnp.asarray(x)[None], jnp.asarray(y)[None])
    for i in W:
        agree(deltas[2 * i - 2][0], delta[i])
        agree(gradients[2 * i - 2]["w"].T, dC_dW[i])


def test_update_rule(problem, agree):
    x, y, W, b = problem
    dC_dW, delta = step_by_step(x, y, W, b)
    W_new = {i: W[i] - ETA * dC_dW[i] for i in W}
    b_new = {i: b[i] - ETA * delta[i] for i in b}
    backpropagate, params = ours(W, b)
    optimizer = optax.sgd(ETA)
    take_step = training.step(backpropagate, optimizer)
    state, metrics = take_step(training.init(params, optimizer), jnp.asarray(x)[None], jnp.asarray(y)[None])
    for i in W:
        agree(state.params[2 * i - 2]["w"].T, W_new[i])
        agree(state.params[2 * i - 2]["b"], b_new[i])
    agree(metrics.cost, 0.5 * ((forward(x, W, b)[1][3] - y) ** 2).sum())
