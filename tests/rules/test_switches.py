"""JAX's own switches, which careful users set: no promotion, errors for NaN, no arrays that move unasked."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jbackprop.cases import CASES, FIRST_CASES, ON_PURPOSE, Case
from jbackprop.functions import replaced

NO_PROMOTION = {"jax_numpy_dtype_promotion": "strict", "jax_numpy_rank_promotion": "raise"}
DEFAULT_SOON = {name: True for name in ("jax_custom_vjp3", "jax_remat3") if hasattr(jax.config, name)}
DEBUGGING = {"jax_debug_nans": True, "jax_debug_infs": True}
HALF = (jnp.float32, jnp.bfloat16)
each_case = pytest.mark.parametrize("case", (*CASES, *ON_PURPOSE), ids=lambda case: case.name)
each_rule = pytest.mark.parametrize("case", FIRST_CASES, ids=lambda case: case.name)


@contextlib.contextmanager
def switched(switches):
    """JAX with its switches so."""
    before = {name: getattr(jax.config, name) for name in switches}
    try:
        for name, value in switches.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def value_and_gradients(rule):
    """(*arguments) -> the rule's value, and what a cotangent of ones makes of it."""

    def both(*arguments):
        places = [i for i, array in enumerate(arguments) if jnp.issubdtype(array.dtype, jnp.floating)]
        out, pull = jax.vjp(lambda *chosen: rule(*replaced(arguments, places, chosen)), *(arguments[i] for i in places))
        return out, pull(jax.tree.map(jnp.ones_like, out))

    return both


def traced(case, dtype):
    """The shapes of the value, and of the value with its gradients; nothing is compiled."""
    arguments = jax.eval_shape(lambda key: case.draw(key, dtype), jax.random.key(0))
    return lambda: (jax.eval_shape(case.rule, *arguments), jax.eval_shape(value_and_gradients(case.rule), *arguments))


@each_case
def test_no_case_asks_for_promotion(case: Case):
    attempts = [traced(case, dtype) for dtype in HALF]
    with switched(NO_PROMOTION):
        for attempt in attempts:
            attempt()


@pytest.mark.skipif(not DEFAULT_SOON, reason="this version of JAX has no such switch")
@each_rule
def test_a_rule_is_what_it_is_under_the_switches_that_will_be_default(case: Case):
    wanted = traced(case, jnp.bfloat16)()
    with switched(DEFAULT_SOON):
        assert traced(case, jnp.bfloat16)() == wanted


@functools.cache
def compiled(case):
    return jax.jit(value_and_gradients(case.rule))


@pytest.mark.parametrize("case", (*FIRST_CASES, *ON_PURPOSE), ids=lambda case: case.name)
def test_a_compiled_rule_moves_nothing_between_host_and_device(case: Case):
    arguments = jax.device_put(case.draw(jax.random.key(0)))
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(compiled(case)(*arguments))


def test_outside_jit_jax_itself_moves_constants():
    x = jnp.ones(3)
    with jax.transfer_guard("disallow"), pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed"):
        x + 1


@each_rule
def test_a_compiled_rule_has_nothing_that_the_debuggers_stop_at(case: Case):
    arguments = case.draw(jax.random.key(0))
    both = compiled(case)
    wanted = both(*arguments)
    with switched(DEBUGGING):
        jax.tree.map(np.testing.assert_array_equal, both(*arguments), wanted)
