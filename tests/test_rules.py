"""Every rule of the table through every check, and what the checks leave out: forward mode and recompilation."""

import jax
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

import jbackprop as jb
from jbackprop._differentiable import described
from jbackprop.cases import CASES, Case

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@each_case
def test_every_check_passes(case: Case):
    report = jb.check(case.rule, *case.draw(jax.random.key(0)), reference=case.reference)
    assert [result.check for result in report.results if result.skipped] in ([], ["batches"])


@each_case
def test_keeps_what_the_case_says(case: Case):
    report = jb.check(case.rule, *case.draw(jax.random.key(0)), only=())
    assert sorted(map(described, report.residuals)) == sorted(case.kept)


@each_case
def test_agrees_with_the_checker_of_jax(case: Case):
    with jax.enable_x64(True):
        arguments = case.draw(jax.random.key(1), jnp.float64)
        places = [i for i, a in enumerate(arguments) if jnp.issubdtype(a.dtype, jnp.floating)]

        @jax.jit
        def of_floating(*chosen):
            given = dict(zip(places, chosen, strict=True))
            return case.rule(*(given.get(i, a) for i, a in enumerate(arguments)))

        check_grads(of_floating, [arguments[i] for i in places], order=2, modes=["rev"], eps=1e-5)


@each_case
def test_forward_mode_raises(case: Case):
    arguments = case.draw(jax.random.key(1))
    place = next(i for i, a in enumerate(arguments) if jnp.issubdtype(a.dtype, jnp.floating))
    x = arguments[place]
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: case.rule(*arguments[:place], x, *arguments[place + 1 :]), (x,), (jnp.ones_like(x),))


@each_case
def test_automatic_holds_no_rule(case: Case):
    arguments = case.draw(jax.random.key(1))
    assert "custom_vjp_call" in str(jax.make_jaxpr(case.rule)(*arguments))
    assert "custom_vjp_call" not in str(jax.make_jaxpr(jb.automatic(case.rule))(*arguments))


@each_case
def test_second_call_does_not_compile_again(case: Case):
    traces = []

    def total(*arguments):
        traces.append(arguments)
        return sum(output.sum() for output in jax.tree.leaves(case.rule(*arguments)))

    place = next(i for i, a in enumerate(case.draw(jax.random.key(0))) if jnp.issubdtype(a.dtype, jnp.floating))
    gradient = jax.jit(jax.grad(total, place))
    for seed in range(2):
        gradient(*case.draw(jax.random.key(seed)))
    assert len(traces) == 1
