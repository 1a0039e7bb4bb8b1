"""One layer for each activation: a = σ(z), no parameters, δ left to the layer before.

The derivations stand with the rules; a layer calls the two halves of its rule.
"""

from collections.abc import Callable
from functools import partial

import jax

from jbackprop import rules
from jbackprop.functions import halves

from ._layer import About, Layer, no_gradient, no_parameters


def _activation(rule: Callable[..., jax.Array], pulled: str = "") -> Layer:
    """The layer of a rule of one array; `functools.partial` sets the rule's options.

    `pulled` is the right-hand side of δ, for a rule that is not entry by entry.
    """
    name = getattr(rule, "func", rule).__name__
    about = About(name, f"{name}({{x}})", input=pulled or f"{{dy}} ⊙ {name}′({{x}})")
    rule_forward, rule_backward = halves(rule, "activation: rule")

    def forward(params, z, key=None):
        return rule_forward(z)

    def backward(params, cache, da):
        (dz,) = rule_backward(cache, da)
        return dz, ()

    def apply(params, z, key=None):
        return rule(z)

    return Layer(no_parameters, forward, backward, no_gradient, apply, about=about)


def relu() -> Layer:
    """a = max(z, 0)."""
    return _activation(rules.relu)


def leaky_relu(negative_slope: float = 0.01) -> Layer:
    """a = z where z ≥ 0, else negative_slope · z."""
    return _activation(partial(rules.leaky_relu, negative_slope=negative_slope))


def elu(alpha: float = 1.0) -> Layer:
    """a = z where z > 0, else α (eᶻ − 1)."""
    return _activation(partial(rules.elu, alpha=alpha))


def selu() -> Layer:
    """a = λ elu(z, α) with the two self-normalising constants."""
    return _activation(rules.selu)


def sigmoid() -> Layer:
    """a = 1 / (1 + e⁻ᶻ)."""
    return _activation(rules.sigmoid)


def tanh() -> Layer:
    """a = tanh z."""
    return _activation(rules.tanh)


def softplus() -> Layer:
    """a = log(1 + eᶻ)."""
    return _activation(rules.softplus)


def silu() -> Layer:
    """a = z · sigmoid(z)."""
    return _activation(rules.silu)


def gelu(approximate: bool = True) -> Layer:
    """a = z Φ(z), by the tanh approximation or exactly."""
    return _activation(partial(rules.gelu, approximate=approximate))


def softmax(axis: int = -1) -> Layer:
    """a = e^z / Σ e^z along an axis."""
    return _activation(partial(rules.softmax, axis=axis), "{y} ⊙ ({dy} − Σ {y} ⊙ {dy})")


def log_softmax(axis: int = -1) -> Layer:
    """a = z − log Σ e^z along an axis."""
    return _activation(partial(rules.log_softmax, axis=axis), "{dy} − exp({y}) Σ {dy}")
