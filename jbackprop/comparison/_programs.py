"""The three programs of a gradient, compiled: forward, backward and whole."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jbackprop.functions import Differentiable, Residual, draw_cotangents, passes

from ._data import Program


class Compiled(NamedTuple):
    """A gradient compiled, with all that its programs need to run.

    Attributes:
      run: from the stage's name to a function without arguments that runs it.
      programs: from the stage's name to what its compiler reports.
      residuals: what forward keeps for backward.
      outputs: of the forward pass.
      gradients: from the backward pass.
    """

    run: dict[str, Callable[[], Any]]
    programs: dict[str, Program]
    residuals: tuple[Residual, ...]
    outputs: list
    gradients: tuple


def compiled(problem: Differentiable, key: jax.Array) -> Compiled:
    """Compiles and runs the three programs, with a random cotangent.

    Forward and backward are programs of their own, with the residuals as arrays between them, so the compiler cannot
    recompute the one in the other.
    """
    two = passes(problem)
    forward, forward_program = build(two.forward, *problem.leaves)
    outputs, kept = forward(*problem.leaves)
    cotangents = draw_cotangents(outputs, key)
    borrowed = two.borrow(problem.leaves, outputs)
    backward, backward_program = build(two.backward, borrowed, kept, cotangents)
    whole, whole_program = build(whole_gradient(problem), problem.leaves, cotangents)
    run = {
        "forward": lambda: forward(*problem.leaves),
        "backward": lambda: backward(borrowed, kept, cotangents),
        "whole": lambda: whole(problem.leaves, cotangents),
    }
    programs = {"forward": forward_program, "backward": backward_program, "whole": whole_program}
    return Compiled(run, programs, two.residuals, outputs, run["backward"]())


def whole_gradient(problem: Differentiable) -> Callable[[Sequence, list], tuple]:
    """(leaves, cotangents) -> outputs, gradients."""

    def whole(leaves, cotangents):
        outputs, pullback = problem.vjp(*leaves)
        return outputs, pullback(cotangents)

    return whole


def build(function: Callable, *args: Any, **jit_options: Any) -> tuple[Callable, Program]:
    """The executable, and what its compiler reports."""
    start = time.perf_counter()
    executable = jax.jit(function, **jit_options).lower(*args).compile()
    return executable, _program(executable, time.perf_counter() - start)


def _program(executable, seconds):
    memory, cost = _reported(executable.memory_analysis), _reported(executable.cost_analysis)

    def size(name):
        return getattr(memory, f"{name}_in_bytes", None)

    return Program(
        compile_seconds=seconds,
        argument_bytes=size("argument_size"),
        output_bytes=size("output_size"),
        temporary_bytes=size("temp_size"),
        peak_bytes=size("peak_memory"),
        flops=_count(cost, "flops"),
        accessed_bytes=_count(cost, "bytes accessed"),
    )


def _reported(analysis):
    """What the compiler tells, or None where it has no such analysis."""
    with contextlib.suppress(NotImplementedError, jax.errors.JaxRuntimeError):
        return analysis()


def _count(cost, name):
    """A count of the cost analysis; a negative one is the compiler's word for unknown."""
    count = (cost or {}).get(name)
    return None if count is None or count < 0 else float(count)
