"""`automatic`: no rule left, the same value, and the gradient of the forward pass.

The rules here are wrong on purpose: their backward passes answer 3 dy.  So a gradient tells which way it came, and the
reference is the same function with `jnp.sin` in the rule's place.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap
from jax.experimental.ode import odeint
from jax.scipy.sparse.linalg import cg
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jbackprop import automatic, layers, rules
from jbackprop.functions import count_rules

pytestmark = pytest.mark.usefixtures("float64")


@jax.custom_vjp
def wrong_sin(x):
    return jnp.sin(x)


wrong_sin.defvjp(lambda x: (jnp.sin(x), None), lambda _, dy: (3 * dy,))


@jax.custom_jvp
def wrong_cos(x):
    return jnp.cos(x)


wrong_cos.defjvp(lambda primals, tangents: (jnp.cos(primals[0]), 5 * tangents[0]))


def draw(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape))


def sharded(inner, check=True):
    def f(x):
        mesh = jax.make_mesh((1,), ("device",), axis_types=(AxisType.Auto,))
        return jax.shard_map(inner, mesh=mesh, in_specs=P("device"), out_specs=P("device"), check_vma=check)(x)

    return f


def scanned(body, length=3):
    return lambda x: lax.scan(lambda c, _: (body(c), c.sum(axis=-1)), x, None, length=length)


def rematted_by_name(sin):
    only_z = jax.checkpoint_policies.save_only_these_names("z")
    return jax.checkpoint(lambda x: sin(checkpoint_name(2 * x, "z")), policy=only_z)


def in_custom_jvp(sin):
    @jax.custom_jvp
    def f(x):
        return sin(x) * x

    f.defjvp(lambda primals, tangents: (f(*primals), 7 * tangents[0]))
    return f


def in_linear_solve(sin):
    """The rule stands in the solver, whose jaxprs are a named tuple: x ↦ M⁻¹ x with M = 2 + sin(x)."""

    def f(x):
        diagonal = 2 + jnp.sin(x)
        return lax.custom_linear_solve(
            lambda v: diagonal * v, x, lambda _, b: b / diagonal + 0 * sin(b), symmetric=True
        )

    return f


def nested(sin):
    """jit of cond of scan of remat of vmap."""

    @jax.jit
    def f(x):
        body = jax.checkpoint(jax.vmap(lambda row: sin(row * 1.5)))
        return lax.cond(x.sum() > 1e6, lambda x: x, lambda x: scanned(body)(x)[0], x)

    return f


CALLS = {
    "bare": lambda sin: sin,
    "jit": jax.jit,
    "jit with keywords": lambda sin: lambda x: jax.jit(lambda x, *, scale: sin(x) * scale)(x, scale=x),
    "vmap": jax.vmap,
    "map": lambda sin: lambda x: lax.map(sin, x),
    "scan": lambda sin: scanned(lambda c: sin(c * 1.5)),
    "scan of jit": lambda sin: scanned(jax.jit(lambda c: sin(c * 1.5))),
    "reverse scan": lambda sin: lambda x: lax.scan(lambda c, e: (sin(c + e), c), x[0], x, reverse=True),
    "associative scan": lambda sin: lambda x: lax.associative_scan(lambda a, b: sin(a) + b, x),
    "fori": lambda sin: lambda x: lax.fori_loop(0, 3, lambda i, c: sin(c + i), x),
    "fori, weak carry": lambda sin: lambda x: lax.fori_loop(0, 3, lambda i, c: sin(c) * 2.0, 1.0) * sin(x),
    "cond": lambda sin: lambda x: lax.cond(x.sum() < 1e6, sin, jnp.cos, x),
    "switch": lambda sin: lambda x: lax.switch(1, [jnp.cos, sin, lambda x: x], x),
    "remat": lambda sin: jax.checkpoint(lambda x: sin(2 * x)),
    "remat, no CSE barrier": lambda sin: jax.checkpoint(lambda x: sin(2 * x), prevent_cse=False),
    "remat, policy": rematted_by_name,
    "scan of remat": lambda sin: scanned(jax.checkpoint(lambda c: sin(c * 1.5))),
    "shard_map": lambda sin: sharded(sin),
    "shard_map, unchecked": lambda sin: sharded(sin, check=False),
    "shard_map of psum": lambda sin: sharded(lambda x: sin(x) * lax.psum(sin(x).sum(), "device")),
    "shard_map of jit": lambda sin: sharded(jax.jit(sin)),
    "shard_map of scan": lambda sin: sharded(lambda x: scanned(lambda c: sin(c * 1.5))(x)[0]),
    "shard_map of cond": lambda sin: sharded(lambda x: lax.cond(x.sum() < 1e6, sin, lambda x: 2 * x, x)),
    "jit of shard_map of remat": lambda sin: jax.jit(sharded(jax.checkpoint(lambda x: sin(2 * x)))),
    "linear solve": in_linear_solve,
    "nested": nested,
    "closed-over constant": lambda sin: lambda x: jax.jit(lambda x: sin(x * np.arange(4.0)))(x),
    "closed-over tracer": lambda sin: lambda x: scanned(lambda c: sin(c * x[0]))(x),
    "random numbers": lambda sin: lambda x: sin(x) * jax.random.bernoulli(jax.random.key(3), 0.5, x.shape),
    "dynamic slice": lambda sin: lambda x: lax.dynamic_slice(sin(x), (1, 2), (2, 2)),
    "scatter": lambda sin: lambda x: sin(x).at[jnp.array([0, 2, 0])].add(x),
    "linear algebra": lambda sin: lambda x: jnp.linalg.solve(x.T @ x + jnp.eye(4), sin(x.T)),
    "several outputs": lambda sin: lambda x: {"a": sin(x), "b": (x, [sin(2 * x).sum()])},
    "debug print": lambda sin: lambda x: [jax.debug.print(""), sin(x)][1:],
}


def scalar(f):
    """A random projection of every output of f."""

    def projected(*args, **kwargs):
        leaves = [leaf for leaf in jax.tree.leaves(f(*args, **kwargs)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum((leaf * draw(*leaf.shape)).sum() for leaf in leaves)

    return projected


def assert_close(ours, wanted):
    assert jax.tree.structure(ours) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def value_and_gradient(f, x):
    return jax.jit(lambda x: (f(x), jax.grad(scalar(f))(x)))(x)


@pytest.mark.parametrize("name", CALLS)
def test_rules_are_removed(name):
    call, x = CALLS[name], draw(3, 4)
    plain, ruled, reference = automatic(call(wrong_sin)), call(wrong_sin), call(jnp.sin)
    assert count_rules(ruled, x)
    assert not count_rules(plain, x)
    assert_close(value_and_gradient(plain, x), value_and_gradient(reference, x))


@pytest.mark.parametrize("name", ["bare", "scan", "cond", "scan of remat", "shard_map of jit", "nested"])
def test_the_rule_would_have_answered_otherwise(name):
    call, x = CALLS[name], draw(3, 4)
    assert not np.allclose(jax.jit(jax.grad(scalar(call(wrong_sin))))(x), jax.grad(scalar(call(jnp.sin)))(x))


@pytest.mark.parametrize("name", ["bare", "jit", "scan", "cond", "remat", "shard_map", "linear solve", "nested"])
def test_forward_mode_which_a_rule_forbids(name):
    call, x = CALLS[name], draw(3, 4)
    plain, wanted = (jax.jvp(scalar(f), (x,), (draw(3, 4),)) for f in (automatic(call(wrong_sin)), call(jnp.sin)))
    assert_close(plain, wanted)
    with pytest.raises(TypeError, match="forward-mode autodiff"):
        jax.jvp(wrong_sin, (x,), (x,))


TRANSFORMED = {
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(x[:, None])[0],
    "remat": jax.checkpoint,
    "scan": lambda f: lambda x: lax.scan(lambda c, _: (c + jax.tree.leaves(f(c))[0].sum(), None), x, None, length=2)[0],
    "automatic": automatic,
}


@pytest.mark.parametrize("transformation", TRANSFORMED)
@pytest.mark.parametrize("name", ["nested", "remat, policy", "closed-over tracer"])
def test_transformed_afterwards(name, transformation):
    transform, call, x = TRANSFORMED[transformation], CALLS[name], draw(3, 4)
    plain, wanted = transform(automatic(call(wrong_sin))), transform(call(jnp.sin))
    assert_close(value_and_gradient(plain, x), value_and_gradient(wanted, x))


def test_second_order():
    plain, wanted = automatic(CALLS["nested"](wrong_sin)), CALLS["nested"](jnp.sin)
    got, wanted = (jax.jit(jax.hessian(scalar(f)))(draw(2, 3)) for f in (plain, wanted))
    assert_close(got, wanted)


def test_while_loop():
    def f(sin):
        return lambda x: lax.while_loop(lambda c: sin(c[1]) < 0.9, lambda c: (sin(c[0]), c[1] + 0.25), (x, 0.0))

    x = draw(3, 4)
    assert count_rules(f(wrong_sin), x)
    assert not count_rules(automatic(f(wrong_sin)), x)
    assert_close(automatic(f(wrong_sin))(x), f(jnp.sin)(x))
    assert_close(jax.jvp(automatic(f(wrong_sin)), (x,), (x,)), jax.jvp(f(jnp.sin), (x,), (x,)))


def test_custom_vmap_keeps_its_batching():
    @custom_vmap
    def f(x):
        return wrong_sin(x)

    f.def_vmap(lambda size, batched, x: (jnp.cos(x), batched[0]))
    assert not count_rules(automatic(f), draw(3))
    assert_close(automatic(f)(draw(3)), jnp.sin(draw(3)))
    assert_close(jax.vmap(automatic(f))(draw(3)), jnp.cos(draw(3)))


def test_custom_jvp_stays_unless_asked():
    x = draw(3, 4)
    assert_close(jax.grad(scalar(automatic(wrong_cos)))(x), 5 * draw(3, 4))
    kept, removed = automatic(in_custom_jvp(wrong_sin)), automatic(in_custom_jvp(wrong_sin), custom_jvp=True)
    assert not count_rules(kept, x)
    assert count_rules(kept, x, custom_jvp=True)
    assert not count_rules(removed, x, custom_jvp=True)
    assert_close(jax.grad(scalar(kept))(x), 7 * draw(3, 4))
    assert_close(jax.grad(scalar(removed))(x), jax.grad(scalar(lambda x: jnp.sin(x) * x))(x))


def test_arguments_of_every_kind():
    def f(tree, /, scale, *rest, power, name="sin", key=None):
        y = {"sin": wrong_sin, "cos": jnp.cos}[name](tree["x"]) ** power * scale
        noise = 0.0 if key is None else jax.random.normal(key, y.shape)
        return y + noise + sum(rest), tree["nothing"], power

    plain = automatic(f)
    args = {"x": draw(3, 4), "nothing": None}, 2.0, np.ones(4), draw(4)
    options = {"power": 3, "name": "sin", "key": jax.random.key(1)}
    y, nothing, power = plain(*args, **options)
    assert_close(y, f(*args, **options)[0])
    assert nothing is None
    assert power == 3
    got, wanted = (
        jax.grad(lambda x, g=g: g({"x": x, "nothing": None}, 2.0, power=2, name="sin")[0].sum())(draw(3, 4))
        for g in (plain, lambda tree, scale, power, name: (jnp.sin(tree["x"]) ** power * scale,))
    )
    assert_close(got, wanted)
    assert plain.__name__ == "f"


@pytest.mark.parametrize("argument", [0.5, np.float64(0.5), np.array(0.5)], ids=["python", "numpy scalar", "numpy"])
def test_gradient_in_a_number(argument):
    assert_close(jax.grad(automatic(wrong_sin))(argument), jax.grad(jnp.sin)(argument))


def test_tracers_closed_over_outside():
    def outer(call):
        return lambda x: call(lambda y: y * wrong_sin(x))(x).sum()

    got = jax.grad(outer(automatic))(draw(5))
    wanted = jax.grad(lambda x: (x * jnp.sin(x)).sum())(draw(5))
    assert_close(got, wanted)


def test_no_array_at_all():
    assert_close(automatic(lambda: wrong_sin(0.5))(), jnp.sin(0.5))


def test_compiled_once():
    traces = []

    @jax.jit
    def f(x):
        traces.append(x)
        return automatic(CALLS["nested"](wrong_sin))(x)

    f(draw(3, 4)), f(draw(3, 4) + 1)
    assert len(traces) == 1


def test_a_whole_network():
    net = layers.chain(layers.linear(5), layers.gelu(), layers.linear(3), layers.softmax())
    params, _ = net.init(jax.random.key(0), (4,))
    plain = automatic(net.apply)
    assert count_rules(net.apply, params, draw(7, 4)) == 1  # the δ recursion of the whole
    assert not count_rules(plain, params, draw(7, 4))
    got, wanted = (jax.jit(jax.grad(scalar(f)))(params, draw(7, 4)) for f in (plain, net.apply))
    assert_close(got, wanted)


def positive(x):
    return x.T @ x + jnp.eye(x.shape[1])


UNRULED = {
    **{
        f"nn.{f.__name__}": f
        for f in (jax.nn.relu, jax.nn.gelu, jax.nn.silu, jax.nn.softmax, jax.nn.log_softmax, jax.nn.logsumexp)
    },
    "nn.standardize": jax.nn.standardize,
    "linalg.norm": jnp.linalg.norm,
    "linalg.solve": lambda x: jnp.linalg.solve(positive(x), x.T),
    "linalg.inv": lambda x: jnp.linalg.inv(positive(x)),
    "linalg.cholesky": lambda x: jnp.linalg.cholesky(positive(x)),
    "linalg.slogdet": lambda x: jnp.linalg.slogdet(positive(x))[1],
    "linalg.eigh": lambda x: jnp.linalg.eigh(positive(x))[0],
    "scipy.gammaln": lambda x: jax.scipy.special.gammaln(1 + x**2),
    "scipy.logsumexp": lambda x: jax.scipy.special.logsumexp(x, axis=0),
    "scipy.cg": lambda x: cg(positive(x), x[0])[0],
    "custom_root": lambda x: lax.custom_root(
        lambda y: y**3 + y - x, x, lambda f, y: lax.fori_loop(0, 40, lambda i, y: newton(f, y), y), cubic_tangent(x)
    ),
    "associative_scan": lambda x: lax.associative_scan(jnp.multiply, x),
    "fft": lambda x: jnp.abs(jnp.fft.fft(x)) ** 2,
    "optax.softmax_cross_entropy": lambda x: optax.softmax_cross_entropy(x, jax.nn.softmax(2 * x)),
    "optax.sigmoid_focal_loss": lambda x: optax.sigmoid_focal_loss(x, jnp.ones_like(x)),
    "optax.ctc_loss": lambda x: optax.ctc_loss(x[None], jnp.zeros((1, 3)), jnp.array([[1]]), jnp.zeros((1, 1))),
    "optax.safe_norm": lambda x: optax.safe_norm(x, 0.1),
    "optax.projection_simplex": lambda x: optax.projections.projection_simplex(x[0]),
}


def newton(f, y):
    value, slope = jax.jvp(f, (y,), (jnp.ones_like(y),))
    return y - value / slope


def cubic_tangent(x):
    return lambda g, y: y / g(jnp.ones_like(x))


@pytest.mark.parametrize("name", UNRULED)
def test_functions_without_a_rule_are_left_as_they_are(name):
    f, x = UNRULED[name], draw(3, 4)
    assert_close(value_and_gradient(automatic(f), x), value_and_gradient(f, x))


def test_a_rule_of_optax():
    """`scale_gradient` is an identity whose rule multiplies the gradient; without the rule it is the identity."""
    f = functools.partial(optax.scale_gradient, scale=7.0)
    x = draw(3, 4)
    assert_close(jax.grad(scalar(f))(x), 7 * draw(3, 4))
    assert_close(jax.grad(scalar(automatic(f)))(x), draw(3, 4))


def test_a_rule_of_jax():
    """`odeint` forbids forward mode by its rule (the adjoint method); its solver's loop has it."""

    def f(rate):
        return odeint(lambda y, t: -rate * y, jnp.array([1.0, 2.0]), jnp.array([0.0, 0.5]), rtol=1e-10, atol=1e-10)[-1]

    assert count_rules(f, 0.7)
    assert not count_rules(automatic(f), jnp.array(0.7))
    _, tangent = jax.jvp(automatic(f), (0.7,), (1.0,))
    np.testing.assert_allclose(tangent, jax.jacrev(f)(0.7), rtol=1e-8)


def test_two_rules_of_ours_in_a_solver():
    """A linear solve whose product is `rules.linear`: its own rule forbids what implicit differentiation needs."""
    x = draw(3, 4)

    def f(multiply):
        def solve(x):
            matrix = positive(x)
            return lax.custom_linear_solve(
                lambda v: multiply(v[None], matrix)[0], x[0], lambda _, b: jnp.linalg.solve(matrix, b), symmetric=True
            )

        return solve

    got, wanted = jax.grad(scalar(automatic(f(rules.linear))))(x), jax.grad(scalar(f(jnp.matmul)))(x)
    np.testing.assert_allclose(got, wanted, rtol=1e-10)
