"""The blocks of which networks are made, each as a graph small enough to follow: from softmax to attention."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name as named

from jbackprop import rules


def softmax_cross_entropy(z, y):
    """C = −Σ y log p, p = e^z / Σ e^z, for two examples."""
    e = named(jnp.exp(z), "e")
    total = named(e.sum(1, keepdims=True), "S")
    p = named(e / total, "p")
    return named(-jnp.sum(y * jnp.log(p)), "C")


def softmax_regression(x, w, b, y):
    """C = mean of the cross-entropy of softmax(x W + b), by two rules of the library."""
    z = named(rules.linear(x, w, b), "z")
    return named(jnp.sum(named(rules.softmax_cross_entropy(z, y), "costs")) / len(x), "C")


def convolution(x, w, t):
    """C = ½ Σ (y − t)², y = x ∗ w, without padding."""
    return _half_square(named(lax.conv(x, w, (1, 1), "VALID"), "y"), t)


def max_pooling(x, t):
    """C = ½ Σ (y − t)², y the largest of each window of two by two."""
    windows = (1, 1, 2, 2)
    return _half_square(named(lax.reduce_window(x, -jnp.inf, lax.max, windows, windows, "VALID"), "y"), t)


def layer_norm(x, scale, offset, t):
    """C = ½ Σ (y − t)², y = γ x̂ + β, x̂ = d ρ, d = x − μ, row by row."""
    centred = named(x - named(jnp.mean(x, 1, keepdims=True), "μ"), "d")
    variance = named(jnp.mean(centred**2, 1, keepdims=True), "σ²")
    rho = named(lax.rsqrt(variance), "ρ")
    y = named(named(centred * rho, "x̂") * scale + offset, "y")
    return _half_square(y, t)


def rnn(x1, x2, x3, w, u, b, t):
    """C = ½ Σ (h₃ − t)², hₜ = tanh(xₜ W + hₜ₋₁ U + b), h₀ = 0."""
    h = named(jnp.tanh(named(x1 @ w + b, "z1")), "h1")
    for step, x in enumerate((x2, x3), start=2):
        z = named(x @ w + h @ u + b, f"z{step}")
        h = named(jnp.tanh(z), f"h{step}")
    return _half_square(h, t)


def lstm(x1, x2, w, u, t):
    """C = ½ (h₂ − t)², cₜ = f cₜ₋₁ + i g, hₜ = o tanh(cₜ); w and u hold a number for each of i, f, g and o."""
    h, c = 0.0, 0.0
    for step, x in enumerate((x1, x2), start=1):
        z = {gate: x * w[gate] + h * u[gate] if step > 1 else x * w[gate] for gate in "ifgo"}
        i, f, o = (named(jax.nn.sigmoid(named(z[gate], f"z{gate}{step}")), f"{gate}{step}") for gate in "ifo")
        g = named(jnp.tanh(named(z["g"], f"zg{step}")), f"g{step}")
        c = named(f * c + i * g if step > 1 else i * g, f"c{step}")
        h = named(o * jnp.tanh(c), f"h{step}")
    return named(0.5 * (h - t) ** 2, "C")


def attention(q, k, v, t):
    """C = ½ Σ (O − t)², O = P v, P = softmax(q kᵀ / √2), row by row."""
    logits = named(q @ k.T * 2**-0.5, "S")
    e = named(jnp.exp(logits), "E")
    p = named(e / named(e.sum(1, keepdims=True), "L"), "P")
    return _half_square(named(p @ v, "O"), t)


def dropout(x, t):
    """C = ½ Σ (y − t)², y = x ⊙ m / (1 − ½), m a mask that keeps half of the entries."""
    mask = jnp.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    return _half_square(named(x * (mask / 0.5), "y"), t)


def residual(x, w, t):
    """C = ½ Σ (y − t)², y = x + tanh(x W): x is used twice."""
    branch = named(jnp.tanh(named(x @ w, "z")), "a")
    return _half_square(named(x + branch, "y"), t)


def tied_table(table, y):
    """C = −Σ y log softmax(h Eᵀ), h = tanh of the rows 2 and 0 of E: the table is used at both ends."""
    h = named(jnp.tanh(named(table[jnp.array([2, 0])], "rows")), "h")
    e = named(jnp.exp(named(h @ table.T, "z")), "e")
    p = named(e / named(e.sum(1, keepdims=True), "S"), "p")
    return named(-jnp.sum(y * jnp.log(p)), "C")


def _half_square(y, t):
    return named(0.5 * jnp.sum((y - t) ** 2), "C")
