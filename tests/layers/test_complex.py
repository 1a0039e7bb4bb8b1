"""Complex parameters of anyone's rule: what a network, its signals, its table and its training make of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jbackprop as jb
from jbackprop import layers, rules, signals, training


def _states(rate, x):
    """h_t = λ h_{t−1} + x_t over the second axis."""

    def step(h, x):
        h = rate * h + x
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(x[:, 0]), x.swapaxes(0, 1))[1].swapaxes(0, 1)


@jax.custom_vjp
def recurrent_unit(x, rate, w, out):
    """Re(h C) of a linear recurrence of complex numbers, (examples, time, features)."""
    return (_states(rate, x @ w) @ out).real


def _recurrent_unit_fwd(x, rate, w, out):
    h = _states(rate, x @ w)
    return (h @ out).real, (x, rate, w, out, h)


def _recurrent_unit_bwd(kept, dy):
    x, rate, w, out, h = kept
    delta = _states(rate, (dy @ out.T)[:, ::-1])[:, ::-1]
    d_rate = (delta[:, 1:] * h[:, :-1]).sum((0, 1))
    return (delta @ w.T).real, d_rate, jnp.einsum("ntk,nti->ki", x, delta), jnp.einsum("nti,nto->io", h, dy)


recurrent_unit.defvjp(_recurrent_unit_fwd, _recurrent_unit_bwd)


def _drawn(*shape):
    return layers.Parameter(jax.nn.initializers.normal(0.5, jnp.complex64), shape)


NET = layers.chain(
    layers.linear(4),
    layers.of(recurrent_unit, rate=_drawn(5), w=_drawn(4, 5), out=_drawn(5, 3)),
    layers.tanh(),
    layers.linear(2),
)
PARAMS, _ = NET.init(jax.random.key(0), (6, 7))
X, Y = jax.random.normal(jax.random.key(1), (3, 6, 7)), jax.random.normal(jax.random.key(2), (3, 6, 2))


def _loss(output, y):
    return rules.squared_error(output, y).mean(-1)


@jax.jit
def _each(params):
    return jax.vmap(jax.grad(lambda p, x, y: _loss(NET.apply(p, x[None]), y[None])[0]), (None, 0, 0))(params, X, Y)


def test_the_recursion_is_that_of_autodiff():
    _, gradients, _ = jax.jit(jb.backprop(NET, _loss))(PARAMS, X, Y)
    wanted = jax.jit(jax.grad(jb.automatic(lambda p: _loss(NET.apply(p, X), Y).mean())))(PARAMS)
    chex.assert_trees_all_close(gradients, wanted, rtol=1e-5, atol=1e-6)


def test_a_complex_number_counts_as_two_in_what_the_examples_tell():
    each = [leaf.reshape(3, -1) for leaf in jax.tree.leaves(_each(PARAMS))]
    rows = np.concatenate([part for leaf in each for part in (leaf.real, leaf.imag)], axis=1)
    told = jax.jit(_told)(PARAMS, X, Y)
    for norms in (told["squared_norm"], told["dot"], told["norms"] ** 2):
        chex.assert_trees_all_close(norms, (rows**2).sum(1), rtol=1e-5)
    chex.assert_trees_all_close(told["inner_products"], rows @ rows.T, rtol=1e-5, atol=1e-5)
    chex.assert_trees_all_close(told["second_moment"], (rows**2).mean(0).sum(), rtol=1e-5)
    for trace in (told["variance"], told["noise_scale"]):
        chex.assert_trees_all_close(trace, rows.var(0, ddof=1).sum(), rtol=1e-5)
    assert not any(map(jnp.iscomplexobj, jax.tree.leaves(told)))


def _told(params, x, y):
    factors = signals.factored_gradient(NET, _loss)(params, x, y).factors
    _, gradients, deltas = jb.backprop(NET, _loss)(params, x, y)
    return {
        "squared_norm": signals.squared_norm(factors),
        "dot": signals.dot(factors, factors),
        "inner_products": signals.inner_products(factors),
        "second_moment": _sum(signals.second_moment(factors)),
        "variance": _sum(signals.variance(factors)),
        "noise_scale": signals.noise_scale(factors).trace,
        "norms": signals.clipped_gradient(NET, _loss, 1.0)(params, x, y).norms,
        "flow": signals.gradient_flow(params, gradients, deltas),
    }


def _sum(tree):
    return sum(leaf.sum() for leaf in jax.tree.leaves(tree))


def test_the_table_has_their_rows():
    told = str(jb.explain(NET, _loss)(PARAMS, X, Y))
    assert "∂C/∂rate²" in told
    assert "complex64[4,5]" in told
    assert "Every row agrees" in told


def test_training_goes_downhill_by_both_parts():
    """C = |z x − y|² of one example with x = 1: half a step of 1 ends at y."""
    at = jax.custom_vjp(lambda x, z: jnp.stack([x[:, 0] * z.real, x[:, 0] * z.imag], axis=1))
    at.defvjp(
        lambda x, z: (jnp.stack([x[:, 0] * z.real, x[:, 0] * z.imag], axis=1), (x, z)),
        lambda kept, dy: (
            (dy[:, :1] * kept[1].real + dy[:, 1:] * kept[1].imag),
            (kept[0] * (dy[:, :1] - 1j * dy[:, 1:])).sum(),
        ),
    )
    net = layers.of(at, z=_drawn())
    optimizer = optax.sgd(1.0)
    state = training.init(net.init(jax.random.key(0), (1,))[0], optimizer)
    step = training.step(jb.backprop(net, rules.squared_error), optimizer)
    state, metrics = step(state, jnp.ones((1, 1)), jnp.array([[3.0, -2.0]]))
    chex.assert_trees_all_close(state.params["z"], jnp.complex64(3 - 2j), rtol=1e-6)
    assert not jnp.iscomplexobj(metrics.gradient_norms["z"])
