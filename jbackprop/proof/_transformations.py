"""Does the rule survive what JAX does to functions?  Each transformed gradient against the plain one, or the twin's."""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop.functions import (
    FLOAT64_SHARE,
    Arrays,
    as_float64,
    cast,
    error_message,
    noise_of,
    precision,
    replaced,
    rounded_to,
)

from ._compare import gradients_agree, outputs_agree, typical, worst
from ._pull import pull_back, real_outputs
from ._report import Failure, NotApplicableError
from ._subject import Subject
from ._together import together

_COPIES = 3


def jit(subject: Subject) -> Iterator[Failure]:
    """Compiled and operation by operation, values and gradients are the same to rounding."""
    eager = subject.evaluate(pull_back(subject.function, subject.wrt), subject.given)
    compiled = subject.evaluate(subject.pull, subject.given)
    yield from outputs_agree(subject, subject.given, compiled[0], eager[0], note="jit against eager")
    yield from gradients_agree(subject, subject.given, compiled[1], eager[1], note="jit against eager")


def vmap(subject: Subject) -> Iterator[Failure]:
    """A batch at once equals a loop, whichever arguments have the batch axis; and a batch of batches."""
    copies = [varied(subject, i) for i in range(_COPIES)]
    cotangents = [subject.cotangents(10 + i) for i in range(_COPIES)]
    choices = _choices(len(subject.leaves))
    *batched, twice = _mapped(subject, choices, copies, cotangents)
    for mapped, got in zip(choices, batched, strict=True):
        chosen = [_where(mapped, copy, copies[0]) for copy in copies]
        looped = _looped(subject, "float64", chosen, cotangents)
        names = ", ".join(name for name, m in zip(subject.names, mapped, strict=True) if m)
        yield from gradients_agree(subject, "float64", got, _stack(looped), note=f"vmap over {names}")
    yield from gradients_agree(subject, "float64", twice, _stack([_stack(looped)] * 2), note="vmap of vmap")


def scan(subject: Subject) -> Iterator[Failure]:
    """As the body of a scan that is differentiated as a whole, in the dtype that was given."""
    copies = [varied(subject, i) for i in range(_COPIES)]
    cotangents = [subject.cotangents(10 + i) for i in range(_COPIES)]

    def scanned(*stacked):
        return jax.lax.scan(lambda _, leaves: (None, real_outputs(subject.function, leaves, ())()), None, stacked)[1]

    looped = _looped(subject, subject.given, copies, cotangents)
    pull = jax.jit(pull_back(scanned, subject.wrt))
    _, got = subject.evaluate(pull, subject.given, _stack(copies), _stack(cotangents))
    yield from gradients_agree(subject, subject.given, got, _stack(looped), note="inside a scan")


def checkpoint(subject: Subject) -> Iterator[Failure]:
    """Recomputed in the backward pass by `jax.checkpoint`."""
    recomputed = jax.jit(pull_back(jax.checkpoint(subject.function), subject.wrt))
    _, wanted = subject.evaluate(subject.pull, "float64")
    _, got = subject.evaluate(recomputed, "float64")
    yield from gradients_agree(subject, "float64", got, wanted, note="under jax.checkpoint")


def second_order(subject: Subject) -> Iterator[Failure]:
    """The derivative of the gradient, reverse over reverse and forward over reverse, if the twin has one either way.

    It is left out where JAX refuses, since the rule's own halves call a `custom_vjp` function or a loop without end,
    and where a `stop_gradient` makes the gradient another than that of the values, whose derivative nobody means.
    """
    subject.need_twin()
    yield from subject.unless_stopped(_against_twin(subject))


def _against_twin(subject):
    reverse, forward = ((derivative, subject.function) for derivative in (_reverse_over, _forward_over))
    of_twin = _forward_over, subject.twin
    wanted, *results = _derived(subject, of_twin, reverse, forward)
    if isinstance(wanted, Exception):
        of_twin = _reverse_over, subject.twin
        (wanted,) = _derived(subject, of_twin)
    if isinstance(wanted, Exception):  # such as a special function whose gradient is a loop
        raise NotApplicableError(f"automatic differentiation has none: {type(wanted).__name__}") from wanted
    noises = functools.cache(functools.partial(_noise_of, subject, of_twin))
    for name, got in zip(("reverse", "forward"), results, strict=True):
        for i, (g, w) in enumerate(zip(as_float64(_unless_refused(got, name)), as_float64(wanted), strict=True)):
            what, note = f"second derivative by {subject.name(i)}", f"{name} over reverse"
            # Where the gradient levels off its derivative is small, and the rounding is still that of the gradient.
            allowance = subject.allowance("float64", typical(subject)[i])
            # Autodiff's own error of one such derivative; a hand-written gradient is another way to the same one.
            yield from worst(what, "float64", g, w, allowance, note, lambda i=i: 2 * noises()[i])


def _unless_refused(got, name):
    if not isinstance(got, Exception):
        return got
    if isinstance(got, TypeError | ValueError) and any(refusal in str(got) for refusal in _REFUSALS):
        raise NotApplicableError(f"{name} over reverse: {error_message(got)}") from got
    raise got


_REFUSALS = (
    "can't apply forward-mode autodiff (jvp) to a custom_vjp function",
    "Reverse-mode differentiation does not work for lax.while_loop",
    "Pure callbacks do not support JVP",
    "IO callbacks do not support JVP",
    "Linearization failed to produce known values",  # of a kernel, or of `jax.custom_batching.custom_vmap`
)
"""What JAX says where a rule's halves call what cannot be differentiated: no wrong derivative comes of it."""


def _derived(subject, *pairs, dtype="float64", leaves=None):
    """Of each pair, (derivative, function), the second derivative, or what was raised instead."""
    directions = tuple(subject.rng(5, i).normal(size=np.shape(subject.leaves[j])) for i, j in enumerate(subject.wrt))
    leaves = subject.leaves if leaves is None else leaves
    with precision(dtype):
        arguments = cast(dtype, leaves), subject.cotangents(), cast(dtype, directions)
        return together([(derivative(function, subject.wrt), arguments) for derivative, function in pairs])


def _noise_of(subject, pair):
    """What the twin's second derivative gets wrong in float64, told from its error in float32."""
    start = rounded_to("float32", subject.leaves)
    (narrow,), (wide,) = (_derived(subject, pair, dtype=dtype, leaves=start) for dtype in ("float32", "float64"))
    return [FLOAT64_SHARE * noise for noise in noise_of(as_float64(narrow), [as_float64(wide)])]


def varied(subject: Subject, i: int) -> Arrays:
    """The leaves with every number moved by up to a half of itself: signs and zeros stay, integers too."""
    rng = subject.rng(6, i)
    return tuple(
        leaf * rng.uniform(0.5, 1.5, np.shape(leaf)) if j in subject.wrt else leaf
        for j, leaf in enumerate(subject.leaves)
    )


def _choices(count):
    """Which leaves are mapped: every choice of up to three; above, each alone and all."""
    if count <= 3:
        return [c for c in itertools.product((False, True), repeat=count) if any(c)]
    return [tuple(i == j for j in range(count)) for i in range(count)] + [(True,) * count]


def _where(mapped, ours, others):
    return tuple(a if m else b for m, a, b in zip(mapped, ours, others, strict=True))


def _stack(copies):
    return tuple(
        jnp.stack(arrays) if isinstance(arrays[0], jax.Array) else np.stack(arrays)
        for arrays in zip(*copies, strict=True)
    )


def _looped(subject, dtype, copies, cotangents):
    return [subject.evaluate(subject.pull, dtype, *pair)[1] for pair in zip(copies, cotangents, strict=True)]


def _mapped(subject, choices, copies, cotangents):
    """The gradients of each choice of mapped leaves, then those of a batch of batches: one program."""
    pull = pull_back(subject.function, subject.wrt)

    def gradients(stacked, first, us):
        for mapped in choices:
            axes = tuple(0 if m else None for m in mapped)
            yield jax.vmap(pull, (axes, 0))(_where(mapped, stacked, first), us)[1]
        yield jax.vmap(jax.vmap(pull))(*(_stack([arrays, arrays]) for arrays in (stacked, us)))[1]

    with precision("float64"):
        stacked, first = (cast("float64", leaves) for leaves in (_stack(copies), copies[0]))
        return list(
            map(as_float64, jax.jit(lambda *arrays: list(gradients(*arrays)))(stacked, first, _stack(cotangents)))
        )


def _reverse_over(function, wrt):
    """(leaves, u, v) -> the gradients of ⟨uᵀJ, v⟩ by the leaves and by u."""

    def product(chosen, u, leaves, v):
        _, gradients = pull_back(function, wrt)(replaced(leaves, wrt, chosen), u)
        return sum(jnp.vdot(g, d) for g, d in zip(gradients, v, strict=True))

    def derivative(leaves, u, v):
        return jax.grad(product)(tuple(leaves[i] for i in wrt), u, leaves, v)

    return derivative


def _forward_over(function, wrt):
    """(leaves, u, v) -> the change of uᵀJ along v."""

    def derivative(leaves, u, v):
        def gradients(*chosen):
            return pull_back(function, wrt)(replaced(leaves, wrt, chosen), u)[1]

        return jax.jvp(gradients, tuple(leaves[i] for i in wrt), v)[1]

    return derivative
