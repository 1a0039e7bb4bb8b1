"""Layers and combinators that a user may write, for several tests."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jbackprop import layers, rules
from jbackprop.layers import About, Layer, Outer, Summed, Uses


@dataclasses.dataclass(frozen=True, repr=False)
class Scale(Layer):
    """y = s ⊙ x, its parameter in a dictionary; δ is what that one sums."""

    name: str = "s"
    says: About = layers.NOTHING

    def init(self, key, shape):
        return {self.name: jax.random.normal(key, shape[-1:])}, shape

    def forward(self, params, x, key=None):
        return params[self.name] * x, x

    def backward(self, params, cache, dy):
        return dy * params[self.name], dy * cache

    def factors(self, params, cache, delta):
        return {self.name: Summed(delta)}

    def about(self):
        return self.says


@dataclasses.dataclass(frozen=True, repr=False)
class Gate(Layer):
    """Two inputs, two outputs: (u, v) ↦ (u ⊙ v W, u); δ belongs to v W."""

    features: int

    def init(self, key, shape):
        (u_shape, v_shape) = shape
        return jax.random.normal(key, (v_shape[-1], self.features)), (u_shape, u_shape)

    def forward(self, params, x, key=None):
        u, v = x
        z = rules.linear(v, params)
        return (u * z, u), (u, v, z)

    def backward(self, params, cache, dy):
        (d_product, du), (u, _, z) = dy, cache
        delta = d_product * u
        return (d_product * z + du, rules.input_gradient(delta, params)), delta

    def factors(self, params, cache, delta):
        return Outer(cache[1], delta)


@dataclasses.dataclass(frozen=True, repr=False)
class Add(Layer):
    """(u, v) ↦ u + v."""

    def init(self, key, shape):
        return (), shape[0]

    def forward(self, params, x, key=None):
        return x[0] + x[1], ()

    def backward(self, params, cache, dy):
        return (dy, dy), ()


@dataclasses.dataclass(frozen=True, repr=False)
class Twice(Layer):
    """y = f(f(x)), both times with one set of parameters."""

    inner: Layer

    def init(self, key, shape):
        return self.inner.init(key, shape)

    def forward(self, params, x, key=None):
        h, first = self.inner.forward(params, x, key)
        y, second = self.inner.forward(params, h, key)
        return y, (first, second)

    def backward(self, params, cache, dy):
        dh, second = self.inner.backward(params, cache[1], dy)
        dx, first = self.inner.backward(params, cache[0], dh)
        return dx, (first, second)

    def factors(self, params, cache, delta):
        uses = (self.inner.factors(params, *use) for use in zip(cache, delta, strict=True))
        return jax.tree.map(lambda *factors: Uses(factors), *uses, is_leaf=layers.is_factored)


@dataclasses.dataclass(frozen=True, repr=False)
class Altered(Layer):
    """A layer with another function in the place of one of its own."""

    inner: Layer
    functions: tuple[tuple[str, Callable[..., Any]], ...]

    def init(self, key, shape):
        return self._of("init")(key, shape)

    def forward(self, params, x, key=None):
        return self._of("forward")(params, x, key)

    def backward(self, params, cache, dy):
        return self._of("backward")(params, cache, dy)

    def factors(self, params, cache, delta):
        return self._of("factors")(params, cache, delta)

    def apply(self, params, x, key=None):
        return self._of("apply")(params, x, key)

    def about(self):
        return self.inner.about()

    def _of(self, name):
        return dict(self.functions).get(name, getattr(self.inner, name))


def altered(layer: Layer, **functions: Callable[..., Any]) -> Altered:
    """The layer with these functions in the place of its own."""
    return Altered(layer, tuple(functions.items()))


@jax.custom_vjp
def cubed(x, s):
    """y = s ⊙ x³: a rule as somebody else may write it, which names no pieces."""
    return s * x**3


def _cubed_fwd(x, s):
    return cubed.fun(x, s), (x, s)


def _cubed_bwd(residuals, dy):
    x, s = residuals
    return dy * s * 3 * x**2, jnp.sum(dy * x**3, axis=tuple(range(x.ndim - 1)))


cubed.defvjp(_cubed_fwd, _cubed_bwd)


@jax.custom_vjp
def warped(x, s):
    """y = sin(s ⊙ x): a rule whose gradient of s needs s."""
    return jnp.sin(s * x)


def _warped_fwd(x, s):
    return warped.fun(x, s), (x, s)


def _warped_bwd(residuals, dy):
    x, s = residuals
    d = dy * jnp.cos(s * x)
    return d * s, jnp.sum(d * x, axis=tuple(range(x.ndim - 1)))


warped.defvjp(_warped_fwd, _warped_bwd)


@jax.custom_vjp
def where(mask, x, s):
    """y = s ⊙ x where a mask is true, else 0: a rule whose first input holds booleans."""
    if mask.dtype != jnp.bool_:
        raise TypeError(f"where: mask, wanted booleans, got {mask.dtype}")
    return jnp.where(mask, s * x, 0)


def _where_fwd(mask, x, s):
    return where.fun(mask, x, s), (mask, x, s)


def _where_bwd(residuals, dy):
    mask, x, s = residuals
    d = jnp.where(mask, dy, 0)
    return None, d * s, jnp.sum(d * x, axis=tuple(range(x.ndim - 1)))


where.defvjp(_where_fwd, _where_bwd)


@jax.custom_vjp
def stretched(x, s):
    """y = exp(s) ⊙ x: a rule that keeps what it made of its parameter, and a number."""
    return jnp.exp(s) * x


def _stretched_fwd(x, s):
    return stretched.fun(x, s), (x, jnp.exp(s), jnp.float32(2), x.ndim)


def _stretched_bwd(residuals, dy):
    x, factor, two, axes = residuals
    return dy * factor, jnp.sum(dy * x * factor * two / 2, axis=tuple(range(axes - 1)))


stretched.defvjp(_stretched_fwd, _stretched_bwd)


@jax.custom_vjp
def jitted(x, s):
    """The same, its forward half under `jax.jit`."""
    return jnp.exp(s) * x


def _jitted_bwd(kept, dy):
    x, s = kept
    return dy * jnp.exp(s), jnp.sum(dy * x * jnp.exp(s), axis=0)


jitted.defvjp(jax.jit(lambda x, s: (jnp.exp(s) * x, (x, s))), _jitted_bwd)


@jax.custom_vjp
def turned(x, s):
    """y = s ⊙ x: a rule that keeps the examples in columns."""
    return s * x


def _turned_bwd(kept, dy):
    columns, s = kept
    return dy * s, jnp.sum(dy * columns.T, axis=tuple(range(dy.ndim - 1)))


turned.defvjp(lambda x, s: (s * x, (x.T, s)), _turned_bwd)


@jax.custom_vjp
def of_seven(x, s):
    """The same of 7 or 21 examples, or of one, and no other number."""
    return s * x


def _of_seven_fwd(x, s):
    assert len(x) in (1, 7, 21)
    return s * x, (x, s)


def _of_seven_bwd(kept, dy):
    return _turned_bwd((kept[0].T, kept[1]), dy)


of_seven.defvjp(_of_seven_fwd, _of_seven_bwd)
