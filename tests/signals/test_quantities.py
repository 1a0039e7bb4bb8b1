"""Quantities of factored gradients against their definitions by `vmap(jax.grad)`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jbackprop import layers, rules, signals
from tests.signals.problems import EXAMPLES, assert_close, draw, each_gradient, factors_of, in_rows

pytestmark = pytest.mark.usefixtures("float64")


def test_the_closed_form_writes_no_gradient_and_no_one_hot():
    """A tied table: its squared norm, with cross terms, in less than one row of its size."""
    vocabulary, features, time = 5003, 16, 4
    head = layers.linear(vocabulary, bias=False)
    net = layers.shared(layers.chain(layers.embedding(vocabulary, features), layers.tanh(), head), ("0.table", "2.w.T"))
    params, _ = net.init(jax.random.key(0), (time,))
    ids = jax.random.randint(jax.random.key(1), (EXAMPLES, time), 0, vocabulary)

    def norms(dy):
        return signals.squared_norm(factors_of(net, params, ids, dy))

    dy = draw(EXAMPLES, time, vocabulary)
    largest = max(var.aval.size for eqn in jaxpr_equations(jax.make_jaxpr(norms)(dy)) for var in eqn.outvars)
    assert largest <= max(dy.size, vocabulary * features)  # the logits' δ, and the table itself, transposed
    each = in_rows(each_gradient(net, params, ids, dy))
    assert_close(jax.jit(norms)(dy), (each**2).sum(1))


def jaxpr_equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from jaxpr_equations(inner)


@pytest.mark.parametrize(
    ("time", "form"), [(2, signals.Form.CLOSED), (600, signals.Form.EXPLICIT)], ids=["short", "long"]
)
def test_the_cheaper_form_is_chosen_from_the_shapes(time, form):
    factored = rules.Outer(draw(3, time, 40), draw(3, time, 50))
    plan = signals.plan(factored)
    assert plan.form is form
    assert plan.closed.operations == 2 * 3 * time**2 * (40 + 50)
    assert plan.explicit.operations == 2 * 3 * time * 40 * 50
    gradients = jnp.einsum("nti,nto->nio", factored.a, factored.delta)
    assert_close(signals.squared_norm(factored), (gradients**2).sum((1, 2)))


def test_a_factored_gradient_of_ones_own_falls_back_on_its_total():
    """It names no products:  its gradients are written out, and the plan says at what cost."""

    @rules.factored
    class Cubed(rules.Factored):
        delta: jax.Array

        def total(self):
            return 3 * self.delta.sum(tuple(range(self.delta.ndim - 1)))

    factored = Cubed(draw(EXAMPLES, 4, 5))
    plan = signals.plan(factored)
    assert (plan.form, plan.closed, plan.explicit.bytes) == (signals.Form.EXPLICIT, None, 2 * EXAMPLES * 5 * 8)
    wanted = 3 * factored.delta.sum(1)
    assert_close(signals.per_example(factored), wanted)
    assert_close(signals.squared_norm(factored), (wanted**2).sum(1))


def test_rows_that_get_nothing_have_no_norm():
    """The padding row, and numbers that name no row."""
    ids = jnp.array([[0, 2, 2], [0, 0, 9], [-1, 1, 0]])
    factored = rules.Looked(ids, draw(3, 3, 4), rows=5, padding_index=0)
    each = jax.vmap(layers.total)(factored)
    assert_close(signals.squared_norm(factored), (each**2).sum((1, 2)))
    np.testing.assert_array_equal(signals.squared_norm(factored)[1], 0)


def test_half_precision_is_summed_in_float32():
    a, delta = (draw(3, 50, size).astype(jnp.bfloat16) for size in (4, 6))
    got = signals.squared_norm(rules.Outer(a, delta))
    gradients = jnp.einsum("nti,nto->nio", a.astype(jnp.float64), delta.astype(jnp.float64))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, (gradients**2).sum((1, 2)), rtol=0.05)


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (lambda: signals.squared_norm(()), "squared_norm: factors, wanted at least one factored gradient, got none"),
        (lambda: signals.dot((), rules.Summed(draw(3, 4))), "dot: factors, wanted two trees of as many"),
        (functools.partial(signals.inner_products, ()), "inner_products: factors, wanted two trees of as many"),
    ],
)
def test_nothing_to_measure(quantity, message):
    with pytest.raises(ValueError, match=message):
        quantity()
