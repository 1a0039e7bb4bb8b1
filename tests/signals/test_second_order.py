"""Curvature against explicit Hessians, Jacobians, and sums over examples."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import special

import jbackprop as jb
from jbackprop import layers, rules, signals
from tests.problems import parameters
from tests.signals.problems import EVERY, assert_close, draw, each_gradient, in_rows, inner, problem

M, CLASSES = 6, 3
KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("float64")


def updated(transform, gradients, state, curvature) -> Any:
    return transform.update(gradients, state, curvature=curvature)


def classifier():
    net = layers.chain(layers.linear(4), layers.tanh(), layers.layer_norm(), layers.linear(CLASSES))
    params = parameters(jax.eval_shape(lambda: net.init(KEY, (5,))[0]))
    return net, params, np.asarray(draw(M, 5)), np.arange(M) % CLASSES


def in_row(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def in_a_row(f, params):
    """f as a function of all parameters in a row, and that row."""
    row, back = ravel_pytree(params)
    return lambda row: f(back(row)), row


def test_hessian_vector_product():
    net, params, x, labels = classifier()
    loss = jb.automatic(lambda params: rules.softmax_cross_entropy(net.forward(params, x)[0], labels).mean())
    f, row = in_a_row(loss, params)
    vector = jax.tree.map(lambda p: draw(*p.shape), params)
    product = functools.partial(signals.hessian_vector_product, net, rules.softmax_cross_entropy)
    got = jax.jit(product)(params, x, labels, vector)
    assert jax.tree.structure(got) == jax.tree.structure(params)
    assert_close(in_row(got), np.asarray(jax.jit(jax.hessian(f))(row)) @ in_row(vector))


@jax.custom_vjp
def swelled(x, s):
    return x + s * jnp.sin(x) ** 2


def swelled_fwd(x, s):
    return swelled(x, s), (x, s)


def swelled_bwd(kept, dy):
    x, s = kept
    return dy * (1 + s * jnp.sin(2 * x)), (dy * jnp.sin(x) ** 2).reshape(-1, s.size).sum(0)


swelled.defvjp(swelled_fwd, swelled_bwd)


def test_curvature_of_a_rule_whose_forward_half_calls_it():
    """As JAX's own guide writes rules; forward mode refuses the call."""
    net = layers.chain(layers.linear(4), layers.of(swelled, s=jax.nn.initializers.ones), layers.linear(CLASSES))
    params = parameters(jax.eval_shape(lambda: net.init(KEY, (5,))[0]))
    x, y = draw(M, 5), draw(M, CLASSES)

    def loss(output, y):
        return ((swelled(output, y[0]) - y) ** 2).sum(-1)

    f, row = in_a_row(jb.automatic(lambda params: loss(net.forward(params, x)[0], y).mean()), params)
    vector = jax.tree.map(lambda p: draw(*p.shape), params)
    got = jax.jit(lambda vector: signals.hessian_vector_product(net, loss, params, x, y, vector))(vector)
    assert_close(in_row(got), np.asarray(jax.jit(jax.hessian(f))(row)) @ in_row(vector))


def gauss_newton(net, params, x):
    """1/m Σ JᵀHJ of the softmax, from whole Jacobians."""
    f, row = in_a_row(jb.automatic(lambda params: net.forward(params, x)[0]), params)
    logits, jacobians = jax.device_get(jax.jit(lambda row: (f(row), jax.jacobian(f)(row)))(row))
    p = special.softmax(logits, axis=1)
    hessians = np.eye(CLASSES) * p[:, None] - p[:, :, None] * p[:, None, :]
    return np.einsum("ijp,ijk,ikq->pq", jacobians, hessians, jacobians) / len(x)


def test_gauss_newton_vector_product():
    net, params, x, labels = classifier()
    vector = jax.tree.map(lambda p: draw(*p.shape), params)
    product = functools.partial(signals.ggn_vector_product, net, rules.softmax_cross_entropy)
    got = in_row(jax.jit(product)(params, x, labels, vector))
    assert_close(got, gauss_newton(net, params, x) @ in_row(vector))


def test_the_fisher_matrix_is_that_of_gauss_newton():
    """Each class in the place of a sample, with the probability that it is drawn."""
    net, params, x, _ = classifier()

    @jax.jit
    def of_class(label):
        sampled = signals.fisher_gradient(net, rules.softmax_cross_entropy, lambda key, out: jnp.full(len(out), label))
        rows = jax.vmap(lambda tree: ravel_pytree(tree)[0])(signals.per_example(sampled(params, x, KEY).factors))
        chances = jax.nn.softmax(net.forward(params, x)[0])
        return jnp.einsum("n,np,nq->pq", chances[:, label], rows, rows) / M

    assert_close(sum(np.asarray(of_class(label)) for label in range(CLASSES)), gauss_newton(net, params, x))


def test_labels_are_drawn_by_the_key():
    net, params, x, _ = classifier()
    gradient = jax.jit(signals.fisher_gradient(net, rules.softmax_cross_entropy, jax.random.categorical))
    one, same, other = (gradient(params, x, jax.random.key(seed)).losses for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def moments(left, right):
    """Sums of (1, n)ᵀ (1, n) over rows, in a loop."""
    return [sum(np.outer(row, row) for row in side.reshape(-1, side.shape[-1])) for side in (left, right)]


@pytest.mark.parametrize("times", [(), (4,), (2, 3)])
def test_expand_and_reduce(times):
    a, delta = draw(M, *times, 5), draw(M, *times, 3)
    rows = M * int(np.prod(times))
    got = signals.kronecker_factors(rules.Outer(a, delta))
    sum_a, sum_b = moments(a, delta)
    assert_close(got.a, sum_a / rows)
    assert_close(got.b, sum_b / M)
    got = signals.kronecker_factors(rules.Outer(a, delta), "reduce")
    mean, total = a.reshape(M, -1, 5).mean(1), delta.reshape(M, -1, 3).sum(1)
    for moment, wanted in zip((got.a, got.b), moments(mean, total), strict=True):
        assert_close(moment, wanted / M)


ONE_USE = ("chain", "stack", "convolutional", "recurrent", "parallel, sum")


@pytest.mark.parametrize("case", [case for case in EVERY if case.name in ONE_USE], ids=lambda case: case.name)
def test_a_tree_like_the_parameters(case):
    params, x, dy = problem(case)

    @jax.jit
    def step(params, x, dy):
        curvature = signals.kronecker_factors(signals.factored_gradient(case.layer, inner)(params, x, dy).factors)
        transform = signals.kfac(curvature)
        return updated(transform, params, transform.init(params), curvature)

    moved, _ = step(params, x, dy)
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))


def test_arrays_of_numpy_that_are_longer_than_jax_computes():
    net, params, x, labels = classifier()
    with jax.enable_x64(False):
        single = jax.tree.map(lambda p: p.astype(jnp.float32), params)
        found = signals.factored_gradient(net, rules.softmax_cross_entropy)(single, x, labels)
        curvature = signals.kronecker_factors(found.factors)
    np.testing.assert_allclose(curvature[0]["w"].a, x.T @ x / M, rtol=1e-5)


def test_one_example_with_one_position_is_exact():
    """A ⊗ B = gᵀ g, of weights and biases."""
    net, params, x, labels = classifier()
    found = signals.factored_gradient(net, rules.softmax_cross_entropy)
    of_batch = jax.jit(lambda *batch: signals.kronecker_factors(found(*batch).factors))
    curvature = jax.device_get(of_batch(params, x[:1], labels[:1]))
    each = each_gradient(net, params, x[:1], labels[:1], rules.softmax_cross_entropy)
    for place, name in ((0, "w"), (0, "b"), (2, "scale"), (3, "w")):
        factors, row = curvature[place][name], in_rows(each[place][name])[0]
        assert_close(np.kron(factors.a, factors.b), np.outer(row, row))


def test_of_a_table_the_first_factor_is_how_often_rows_are_seen():
    ids = jnp.array([[0, 2], [2, 2], [1, -1]])
    got = signals.kronecker_factors(rules.Looked(ids, draw(3, 2, 4), rows=5))
    np.testing.assert_allclose(got.a, np.array([1, 1, 3, 0, 0]) / 6, rtol=1e-6)


def test_what_has_no_such_factors_keeps_its_gradient():
    curvature = signals.kronecker_factors(
        {"kernel": rules.Summed(draw(M, 2, 3), (2, 3)), "w": rules.Summed(draw(M, 3))}
    )
    assert curvature["kernel"] == ()
    gradients = {"kernel": draw(2, 3), "w": draw(3)}
    transform = signals.kfac(curvature)
    moved, _ = updated(transform, gradients, transform.init(gradients), curvature)
    np.testing.assert_array_equal(moved["kernel"], gradients["kernel"])
    assert np.abs(moved["w"] - gradients["w"]).max() > 0.1


def test_one_step_solves_least_squares():
    """Where the curvature is A ⊗ I, and that exactly, K-FAC is Newton's method."""
    net = layers.linear(3, bias=False)
    x, wanted = draw(40, 5), draw(5, 3)
    params, _ = net.init(KEY, (5,))
    _, gradients, _ = jb.backprop(net, rules.squared_error)(params, x, x @ wanted)
    curvature = {"w": signals.Kronecker(x.T @ x / 40, jnp.eye(3))}
    optimizer = optax.chain(signals.kfac(curvature, damping=1e-14), optax.sgd(1.0))
    updates, _ = updated(optimizer, gradients, optimizer.init(params), curvature)
    np.testing.assert_allclose(params["w"] + updates["w"], wanted, rtol=1e-5)


def test_the_damped_inverse_and_the_running_average():
    a, b, gradient = (moments(draw(9, n), draw(9, n))[0] / 9 for n in (4, 3, 2))
    gradient = draw(4, 3)
    curvature = signals.Kronecker(jnp.asarray(a), jnp.asarray(b))
    transform = signals.kfac(curvature, damping=0.1, decay=0.5)
    state = transform.init(gradient)
    _, state = updated(transform, gradient, state, jax.tree.map(jnp.zeros_like, curvature))
    got, state = updated(transform, gradient, state, curvature)
    a, b = a * 2 / 3, b * 2 / 3  # 0.5² · 0 + 0.5 · 1 of 0.75
    ratio = np.sqrt(np.trace(a) / 4 / (np.trace(b) / 3))
    damped = a + ratio * np.sqrt(0.1) * np.eye(4), b + np.sqrt(0.1) / ratio * np.eye(3)
    assert_close(got.reshape(-1), np.linalg.solve(np.kron(*damped), gradient.reshape(-1)))


def test_hyperparameters_that_are_traced():
    """As `optax.inject_hyperparams` makes them of a schedule."""
    a, b = draw(9, 4), draw(9, 3)
    curvature = {"w": signals.Kronecker(a.T @ a, b.T @ b)}
    gradients = {"w": draw(4, 3)}
    injected = optax.inject_hyperparams(signals.kfac)(curvature, damping=lambda count: 0.1 / (1 + count))
    plain = [signals.kfac(curvature, damping=damping) for damping in (0.1, 0.05)]
    got, state = [], plain[0].init(gradients)
    into = injected.init(gradients)
    for transform in plain:
        wanted, state = updated(transform, gradients, state, curvature)
        got, into = updated(injected, gradients, into, curvature)
        assert_close(got["w"], wanted["w"])


def course(count):
    """Curvatures and gradients of steps that follow each other, of a weight, a stack, a table and what has none."""

    def kronecker(*sides):
        return signals.Kronecker(*(side.mT @ side if side.ndim > 1 else jnp.abs(side) for side in sides))

    def at(step):
        key = jax.random.key(step)
        a, b, stack, seen = (jax.random.normal(key, shape) for shape in ((9, 4), (9, 3), (2, 9, 4), (6,)))
        curvature = {"w": kronecker(a, b), "blocks": kronecker(stack, stack), "table": kronecker(seen, b), "bare": ()}
        shapes = {"w": (4, 3), "blocks": (2, 4, 4), "table": (6, 3), "bare": (5,)}
        return curvature, {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    return [at(step) for step in range(count)]


def followed(transform, steps, state=None):
    """The updates of steps, and the state after the last, under jit."""
    state, found = transform.init(()) if state is None else state, []
    update = jax.jit(functools.partial(updated, transform))
    for curvature, gradients in steps:
        moved, state = update(gradients, state, curvature)
        found.append(moved)
    return found, state


def test_inverses_of_every_third_step():
    """Those of steps 0 to 3, of the moving averages there, and then of step 3 with the gradients of the next two."""
    steps = course(6)
    (curvature, _), *_ = steps
    every, third = (signals.kfac(curvature, damping=0.1, inverse_every=n) for n in (1, 3))
    got, fresh = followed(third, steps)[0], followed(every, steps)[0]
    for i in range(4):
        jax.tree.map(assert_close, got[i], fresh[i])
    for i in (4, 5):
        wanted, _ = followed(every, [*steps[:3], (steps[3][0], steps[i][1])])
        jax.tree.map(assert_close, got[i], wanted[-1])
    assert np.abs(got[4]["w"] - fresh[4]["w"]).max() > 1e-3


def test_inverses_are_computed_in_a_branch_and_kept_in_the_state():
    steps = course(6)
    (curvature, gradients), *_ = steps
    wanted, last = followed(signals.kfac(curvature, inverse_every=3), steps)
    _, state = followed(signals.kfac(curvature, inverse_every=3), steps[:4])
    rest, resumed = followed(signals.kfac(curvature, inverse_every=3), steps[4:], jax.device_get(state))
    jax.tree.map(assert_close, (rest, resumed), (wanted[4:], last))

    def branches(every):
        transform = signals.kfac(curvature, inverse_every=every)
        update = functools.partial(updated, transform)
        return str(jax.make_jaxpr(update)(gradients, transform.init(()), curvature)).count(" cond[")

    assert branches(2) == branches(1) + 1


def test_kfac_trains():
    """Ten steps with sampled labels, each of which makes the cost smaller; the whole of it jitted once."""
    net, params, x, labels = classifier()
    fisher = signals.fisher_gradient(net, rules.softmax_cross_entropy, jax.random.categorical)
    backpropagate = jb.backprop(net, rules.softmax_cross_entropy)

    def curvature(params, key):
        return signals.kronecker_factors(fisher(params, x, key).factors)

    like = jax.eval_shape(curvature, params, KEY)
    optimizer = optax.chain(signals.kfac(like, damping=0.01), optax.sgd(0.1))

    @jax.jit
    def step(params, state, key):
        cost, gradients, _ = backpropagate(params, x, labels)
        updates, state = optimizer.update(gradients, state, params, curvature=curvature(params, key))
        return optax.apply_updates(params, updates), state, cost

    state, costs = optimizer.init(params), []
    for i in range(10):
        params, state, cost = step(params, state, jax.random.key(i))
        costs.append(float(cost))
    assert costs[-1] < 0.5 * costs[0]


def wrong(value) -> Any:
    return value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signals.kfac((), damping=0.0), "kfac: damping, wanted a positive number, got 0.0"),
        (lambda: signals.kfac((), inverse_every=0), "kfac: inverse_every, wanted a positive number, got 0"),
        (lambda: signals.kfac((), decay=1.0), r"kfac: decay, wanted a number in \[0, 1\), got 1.0"),
        (
            lambda: signals.kronecker_factors((), positions=wrong("contract")),
            "kronecker_factors: positions, wanted one of expand, reduce, got 'contract'",
        ),
        (
            lambda: signals.kfac(()).update((), signals.kfac(()).init(())),
            "kfac: curvature, wanted this step's tree of Kronecker as an argument of update, got none",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
