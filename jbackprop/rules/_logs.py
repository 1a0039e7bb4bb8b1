"""δ in the logs of a VJP, of every rule with parameters, inside anybody's function.

    with rules.log_deltas():
        y, pull = jax.vjp(f, params)
    gradients, deltas = pull.with_logs(dy)          deltas: {"linear 0": δ, "linear 1": δ, …}

JAX, from 0.11 on, hands out what the backward half of a rule logs, but a backward pass may log a name only once, even
where no one reads it.  What JAX traces once and calls twice (under `jit` or `checkpoint`, or a scan with the same body)
would log twice under one name, and its gradient fail: so rules log only where they are asked to, and a function that
does not ask has the program that it had.
"""

import collections
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from ._factors import factored, static

_ASKED = jax.make_user_context(None)
"""What names the logs; a part of the key of JAX's caches, so that what was traced without is not used with."""


@contextlib.contextmanager
def log_deltas() -> Iterator[None]:
    """Within it, rules with parameters log δ = ∂C/∂z, of what their parameters enter, for `jax.vjp`'s `with_logs`.

    Only the forward pass has to be within.  A name is that of the rule and a number, counted on in the order in which
    JAX traces; in a scan it holds the δ of every step, under `vmap` that of every example.  Compiled functions that are
    used within are compiled anew each time: write the whole of it into one function under `jax.jit`.

    Raises:
      RuntimeError: this JAX has no logs; `signals.tap` tells δ on every one.

    Example: δ of both layers of a function that may as well be a model of another library.

      >>> import jax, jax.numpy as jnp
      >>> from jbackprop import rules
      >>> def f(w, v, x):
      ...     return rules.linear(rules.tanh(rules.linear(x, w)), v)
      >>> def deltas(w, v, x):
      ...     with rules.log_deltas():
      ...         y, pull = jax.vjp(f, w, v, x)
      ...     return pull.with_logs(jnp.ones_like(y))[1]
      >>> if hasattr(jax.custom_vjp, "defvjp_with_logs"):  # on an older JAX there is nothing to show
      ...     told = jax.jit(deltas)(jnp.ones((3, 4)), jnp.ones((4, 2)), jnp.ones((5, 3)))
      ...     assert {name: delta.shape for name, delta in told.items()} == {"linear 0": (5, 4), "linear 1": (5, 2)}
    """
    if not hasattr(jax.custom_vjp, "defvjp_with_logs"):
        wanted = "wanted one whose VJPs have logs (0.11 or later; signals.tap needs none)"
        raise RuntimeError(f"log_deltas: jax, {wanted}, got {jax.__version__}")
    with _ASKED(_Names()):
        yield


class _Names:
    """Names for the logs of one backward pass; a new object each time, with caches of its own."""

    def __init__(self) -> None:
        self.counts = collections.Counter()

    def next(self, rule: str) -> str:
        self.counts[rule] += 1
        return f"{rule} {self.counts[rule] - 1}"


@factored
class _Named:
    """The residuals of a rule that was asked to log its δ."""

    residuals: Any
    name: str = static()


def logging(rule: jax.custom_vjp, travel: Callable[..., tuple[Any, Any]]) -> None:
    """Lets a rule log δ, the second of what its first piece gives, where JAX has logs and one asks for them."""
    define, fwd, bwd = getattr(rule, "defvjp_with_logs", None), rule.fwd, rule.bwd
    if define is None or fwd is None or bwd is None:
        return

    @functools.wraps(fwd)
    def named(*arguments):
        y, residuals = fwd(*arguments)
        names = _ASKED.value
        return y, residuals if names is None else _Named(residuals, names.next(rule.__name__))

    @functools.wraps(bwd)
    def logged(*arguments):
        *options, residuals, dy = arguments
        if not isinstance(residuals, _Named):
            return bwd(*arguments), None
        arguments = *options, residuals.residuals, dy
        return bwd(*arguments), {residuals.name: travel(*arguments)[1]}

    define(named, logged)
