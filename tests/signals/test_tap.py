"""A tap is an identity whose sink gets what the backward pass brings, under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jbackprop as jb
from jbackprop import layers, rules
from jbackprop.signals import sink, tap
from tests.signals.problems import assert_close

pytestmark = pytest.mark.usefixtures("float64")


def delta(x, delta):
    return delta


def square(x, delta):
    return jnp.square(delta).sum()


def places(array):
    """The mesh axes over which an array is spread."""
    return jax.typeof(array).sharding.spec


def both(x, delta):
    """A tree, of δ and of its product with x."""
    return {"norm": jnp.linalg.norm(delta), "influence": (x * delta).sum(-1)}


W, X = (np.random.default_rng(rows).normal(size=(rows, 3)) for rows in (3, 5))


def cost(x, into, tapped=lambda h, into: tap(h, into, square)):
    """Two steps, and the error signal between them."""
    return jnp.sin(tapped(jnp.tanh(x @ W), into) @ W).sum()


def signal():
    """δ behind the first step, by JAX."""
    return jax.grad(lambda h: jnp.sin(h @ W).sum())(jnp.tanh(X @ W))


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.remat], ids=["as it is", "jit", "remat"])
def test_the_sink_gets_the_quantity_and_nothing_else_changes(transform):
    plain = jax.value_and_grad(lambda x: cost(x, (), lambda h, into: h))(X)
    value, (dx, told) = jax.value_and_grad(transform(cost), argnums=(0, 1))(X, jnp.zeros(()))
    assert_close(value, plain[0])
    assert_close(dx, plain[1])
    assert_close(told, (signal() ** 2).sum())


def test_delta_itself_and_trees():
    told = jax.grad(lambda into: cost(X, into, tap))(jnp.zeros(X.shape))
    assert_close(told, signal())
    told = jax.grad(lambda into: cost(X, into, lambda h, into: tap(h, into, both)))(sink(both, jnp.asarray(X)))
    assert_close(told["norm"], np.linalg.norm(signal()))
    assert_close(told["influence"], (np.tanh(X @ W) * signal()).sum(1))


def rollout(x, into, sinks):
    """Three steps of a scan with one sink for all of them, and one for each."""

    def step(h, own):
        return tap(tap(jnp.tanh(h @ W), into, square), own, square), None

    return jax.lax.scan(step, x, sinks)[0].sum()


def test_in_a_scan_a_sink_is_summed_or_stacked():
    total, each = jax.jit(jax.grad(rollout, argnums=(1, 2)))(X, jnp.zeros(()), jnp.zeros(3))
    states = [jnp.asarray(X)]
    for _ in range(3):
        states.append(jnp.tanh(states[-1] @ W))
    wanted, dy = [], jnp.ones_like(X)
    for before, after in zip(states[-2::-1], states[:0:-1], strict=True):
        assert_close(after, jnp.tanh(before @ W))
        wanted.insert(0, (dy**2).sum())
        dy = (dy * (1 - after**2)) @ W.T
    assert_close(each, np.array(wanted))
    assert_close(total, sum(wanted))


def test_under_vmap_a_sink_is_summed_or_kept():
    squares = (signal() ** 2).sum(1)
    kept = jax.vmap(jax.grad(cost, argnums=1), in_axes=(0, None))(X, jnp.zeros(()))
    assert_close(kept, squares)
    whole = jax.vmap(cost, in_axes=(0, None))
    assert_close(jax.grad(lambda into: whole(X, into).sum())(jnp.zeros(())), squares.sum())
    one_each = jax.vmap(cost)
    assert_close(jax.grad(lambda into: one_each(X, into).sum())(jnp.zeros(len(X))), squares)


def test_sharded_over_devices():
    x = jnp.tile(X, (8, 1))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    told = jax.jit(jax.grad(cost, argnums=1))
    assert_close(told(sharded, jnp.zeros(())), told(x, jnp.zeros(())))


@pytest.mark.parametrize("quantity", [delta, both])
def test_a_sink_on_an_explicit_mesh(quantity):
    """Spread as the quantity is, or whole on every device."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(16, 3)))
    whole = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(quantity, x, x))

    @jax.jit
    def told(x, into):
        return jax.grad(lambda into: cost(x, into, lambda h, into: tap(h, into, quantity)))(into)

    wanted = told(x, whole)
    with jax.set_mesh(jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))):
        spread = jax.device_put(x, PartitionSpec("data"))
        for into in (whole, sink(quantity, spread)):
            found = told(spread, into)
            jax.tree.map(assert_close, jax.device_get(found), wanted)
            assert jax.tree.map(places, found) == jax.tree.map(places, into)


def test_delta_of_our_rules_inside_anybodys_function():
    """The same δ as that of our layers."""
    net = layers.chain(layers.linear(4), layers.gelu(), layers.linear(3))
    params, _ = net.init(jax.random.key(0), (3,))
    labels = jnp.arange(5) % 3
    _, _, deltas = jb.backprop(net, rules.softmax_cross_entropy)(params, X, labels)

    def model(into):
        z = tap(rules.linear(X, **params[0]), into)
        return rules.softmax_cross_entropy(rules.linear(rules.gelu(z), **params[2]), labels).mean()

    assert_close(jax.grad(model)(jnp.zeros((5, 4))), deltas[0])


def test_half_precision_may_be_told_in_more():
    half = jnp.asarray(X, jnp.bfloat16)
    told = jax.grad(lambda into: tap(half, into, square).astype(jnp.float32).sum())(jnp.zeros((), jnp.float32))
    assert (told, told.dtype) == (15, jnp.float32)


@pytest.mark.parametrize("into", [jnp.zeros(3), {"norm": jnp.zeros(())}])
def test_a_sink_of_another_shape(into):
    with pytest.raises(ValueError, match=r"tap: sink, wanted the shape of the quantity, \(\), got "):
        cost(X, into)
