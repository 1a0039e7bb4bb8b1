"""The layer z = a W + b.  The derivation stands with `rules.linear`; here are its two pieces, one for each call.

backward     δ = ∂C/∂z, and δ Wᵀ travels on
gradient     ∂C/∂W = aᵀ δ, ∂C/∂b = Σ_rows δ, from the cached input a
"""

from collections.abc import Callable

import jax
from jax.nn import initializers

from jbackprop import rules
from jbackprop.functions import halves

from ._layer import About, Layer, total


def linear(
    features: int,
    *,
    bias: bool = True,
    weights: Callable[..., jax.Array] | None = None,
    biases: Callable[..., jax.Array] = initializers.zeros,
) -> Layer:
    """z = a W + b, from any number of input features to `features`.

    The parameters are {"w": (n_in, features), "b": (features,)}, or {"w": ...} without a bias.

    Args:
      features: how many pre-activations.
      bias: whether to add one.
      weights: draws W, an initializer of `jax.nn.initializers`; `he_normal()` unless given.
      biases: draws b.

    Raises:
      ValueError: features is not positive.
    """
    if features < 1:
        raise ValueError(f"linear: features, wanted a positive number, got {features}")
    weights = initializers.he_normal() if weights is None else weights
    rule_forward, _ = halves(rules.linear, "linear: rule")

    def init(key, shape):
        if not shape:
            raise ValueError("linear: shape, wanted at least one axis (the features), got ()")
        w_key, b_key = jax.random.split(key)
        w = weights(w_key, (shape[-1], features))
        params = {"w": w, "b": biases(b_key, (features,))} if bias else {"w": w}
        return params, (*shape[:-1], features)

    def forward(params, a, key=None):
        z, _ = rule_forward(a, params["w"], params.get("b"))
        return z, a

    def backward(params, a, delta):
        return rules.input_gradient(delta, params["w"]).astype(a.dtype), delta

    def gradient(params, a, delta, contract=total):
        dw = contract.outer(a, delta)
        return {"w": dw, "b": contract.summed(delta)} if bias else {"w": dw}

    def apply(params, a, key=None):
        return rules.linear(a, params["w"], params.get("b"))

    return Layer(init, forward, backward, gradient, apply, about=_ABOUT if bias else _ABOUT._replace(output="{x} W{l}"))


_ABOUT = About(output="{x} W{l} + b{l}", delta="{dy}", input="{delta} W{l}ᵀ")
