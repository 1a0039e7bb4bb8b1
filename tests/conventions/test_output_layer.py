"""The output layer two ways: δᴸ = ∇ₐC ⊙ σ'(zᴸ) in general, and δᴸ = ŷ − y for the canonical pairs.

The costs below are written on activations, in NumPy's words and with their own ∇ₐC; `backprop` sends it through the
output activation's layer.  The canonical pairs hold that activation in the loss, where σ' cancels.
"""

import jax
import jax.numpy as jnp
import pytest

import jbackprop as jb
from jbackprop import layers, rules

M, FEATURES, CLASSES = 7, 5, 3


def cost_on_activations(cost, gradient):
    """A loss of (a, y) with one value for each example and ∇ₐC given by hand."""

    @jax.custom_vjp
    def loss(a, y):
        return cost(a, y).sum(axis=-1)

    loss.defvjp(
        lambda a, y: (loss(a, y), (a, y)),
        lambda residuals, dvalues: (dvalues[:, None] * gradient(*residuals), None),
    )
    return loss


PAIRS = {
    "identity and squared error": (
        layers.identity,
        cost_on_activations(lambda a, y: 0.5 * (a - y) ** 2, lambda a, y: a - y),
        rules.squared_error,
    ),
    "sigmoid and cross-entropy": (
        layers.sigmoid,
        cost_on_activations(
            lambda a, y: -(y * jnp.log(a) + (1 - y) * jnp.log(1 - a)), lambda a, y: (a - y) / (a * (1 - a))
        ),
        rules.sigmoid_cross_entropy,
    ),
    "softmax and cross-entropy": (
        layers.softmax,
        cost_on_activations(lambda a, y: -y * jnp.log(a), lambda a, y: -y / a),
        rules.softmax_cross_entropy,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_general_and_canonical_agree(name, random, agree):
    activation, on_activations, canonical = PAIRS[name]
    y = random.uniform(0.1, 0.9, size=(M, CLASSES))
    y = jnp.asarray(y / y.sum(axis=-1, keepdims=True))
    x = jnp.asarray(random.normal(size=(M, FEATURES)))
    params = {"w": jnp.asarray(random.normal(size=(FEATURES, CLASSES))), "b": jnp.asarray(random.normal(size=CLASSES))}

    general = layers.chain(layers.linear(CLASSES), activation())
    prediction = general.apply((params, ()), x)
    cost, (gradient, _), (delta, _) = jb.backprop(general, on_activations)((params, ()), x, y)
    canonical_cost, canonical_gradient, canonical_delta = jb.backprop(layers.linear(CLASSES), canonical)(params, x, y)

    agree(canonical_delta, (prediction - y) / M)
    agree(delta, canonical_delta)
    agree(cost, canonical_cost)
    jax.tree.map(agree, gradient, canonical_gradient)
