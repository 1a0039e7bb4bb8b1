"""Right compositions: whole networks of ours, and rules as the field writes them, in other functions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import nn

from jbackprop import layers, rules

from .calls import RightCall, complex_normal, definite, normal


def _ruled(f, fwd, bwd):
    rule = jax.custom_vjp(f)
    rule.defvjp(fwd, bwd)
    return rule


def _network(name, net, *shape):
    params, _ = net.init(jax.random.key(0), shape[1:])
    return RightCall(f"network: {name}", lambda x: net.apply(params, x), (normal(*shape),))


_round = _ruled(lambda x: jnp.round(x), lambda x: (jnp.round(x), None), lambda kept, u: (u,))


def _through(x):
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _newton(a):
    """√a, until it changes little: one entry that is not finite ends the loop for all."""

    def far(s):
        return jnp.abs(s[1] - s[0]).max() > 1e-2 * jnp.abs(s[1]).max()

    def step(s):
        return s[1], 0.5 * (s[1] + a / s[1])

    return jax.lax.while_loop(far, step, step((a, jnp.maximum(a, 1))))[1]


_root = _ruled(_newton, lambda a: (_newton(a),) * 2, lambda y, u: (u / (2 * y),))


def _host_sine(x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


_sine = _ruled(_host_sine, lambda x: (_host_sine(x), x), lambda x, u: (u * jnp.cos(x),))
_log = _ruled(jnp.log, lambda x: (jnp.log(x), x), lambda x, u: (u / x,))
_gaps = _ruled(
    lambda x: jnp.diff(x), lambda x: (jnp.diff(x), None), lambda kept, u: (-jnp.diff(u, prepend=0, append=0),)
)


def _states(rate, x):
    """h_t = λ h_{t−1} + x_t, as a linear recurrent unit has it."""

    def step(h, x):
        h = rate * h + x
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(x[0]), x)[1]


def _states_bwd(kept, u):
    rate, h = kept
    delta = _states(rate, u[::-1])[::-1]
    return (delta[1:] * h[:-1]).sum(0), delta


recurrence = _ruled(_states, lambda rate, x: (_states(rate, x), (rate, _states(rate, x))), _states_bwd)
power = _ruled(lambda z: (z * z.conj()).real, lambda z: ((z * z.conj()).real, z), lambda z, u: (2 * u * z.conj(),))


def _quotient(a, x):
    return x @ a @ x / (x @ x)


def _quotient_bwd(kept, u):
    (a, x), size = kept, kept[1] @ kept[1]
    return u * jnp.outer(x, x) / size, 2 * u * (a @ x - _quotient(a, x) * x) / size


_rayleigh = _ruled(_quotient, lambda a, x: (_quotient(a, x), (a, x)), _quotient_bwd)


def _field(name, function, *draws, skip=(), **options):
    return RightCall(f"composed: {name}", function, draws, skip, options)


COMPOSED = (
    _network("perceptron", layers.chain(layers.linear(4), layers.tanh(), layers.linear(2)), 5, 3),
    _network("relu", layers.chain(layers.linear(4), layers.relu(), layers.linear(2)), 5, 3),
    _network("normalised", layers.chain(layers.linear(4), layers.rms_norm(), layers.silu()), 5, 3),
    _field("relu behind a product", lambda x, w: rules.relu(x @ w), normal(4, 3), normal(3, 2)),
    _field("relu of jax behind a product", lambda x, w: nn.relu(x @ w), normal(4, 3), normal(3, 2)),
    _field("rules in a row", lambda x: rules.softmax(rules.tanh(x) * rules.sigmoid(x)), normal(4, 3)),
    _field("straight through", _round, normal(4, 3), gradient_of=_through),
    _field(
        "implicit, coarse",
        _root,
        normal(4, 3),
        skip=("non-finite inputs",),
        domain=lambda x: 1 + x * x,
        reference=jnp.sqrt,
        tolerance=1e-3,
    ),
    _field("callback", _sine, normal(4, 3), skip=("sharding",)),
    _field("positive", _log, normal(4, 3), domain=jnp.exp),
    _field("symmetric", _rayleigh, definite, normal(4), domain=lambda a, x: (a + a.T, x)),
    _field("sorted", _gaps, normal(4, 3), domain=lambda x: jnp.cumsum(jnp.exp(x), axis=-1)),
    _field("complex recurrence", recurrence, complex_normal(4), complex_normal(5, 4)),
    _field("power of a spectrum", lambda x: power(jnp.fft.rfft(x)), normal(3, 5)),
    _field("custom_jvp behind a rule", lambda x: nn.silu(rules.gelu(x)), normal(4, 3)),
)
"""All of them."""
