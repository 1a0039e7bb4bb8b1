"""Is the backward pass the derivative of the forward pass?  Structure, values, gradients and linearity."""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from jbackprop.functions import (
    FLOAT64_SHARE,
    as_float64,
    cast,
    described,
    is_real,
    largest,
    neighbours,
    noise_of,
    precision,
    replaced,
    rounded_to,
)

from ._compare import gradients_agree, outputs_agree, worst
from ._pull import pull_back
from ._report import Failure, NotApplicableError
from ._subject import Subject


def structure(subject: Subject) -> Iterator[Failure]:
    """Every gradient has its argument's shape and dtype.

    JAX lets a rule return another floating point dtype, and then fails far away, in a scan for example.
    """
    cotangents = subject.cotangents()  # outside, where float64 is not switched on
    for dtype in subject.dtypes:
        with precision(dtype):
            yield from _of_their_kind(subject, dtype, cast(dtype, subject.leaves), cotangents)
    if _is_mixed(subject):
        with _precision_as_given(subject):
            yield from _of_their_kind(subject, "dtypes as given", subject.original, cotangents)


def _of_their_kind(subject, dtype, leaves, cotangents):
    _, gradients = jax.eval_shape(subject.pull, leaves, cotangents)
    for i, gradient in enumerate(gradients):
        wanted = leaves[subject.wrt[i]]
        if (gradient.shape, gradient.dtype) != (wanted.shape, wanted.dtype):
            yield Failure(f"gradient of {subject.name(i)}", dtype, None, described(gradient), described(wanted))


def primal(subject: Subject) -> Iterator[Failure]:
    """The value is the reference's, and the forward half of the rule returns the value that the function does.

    Autodiff of a wrong forward pass agrees with a faithful rule for it; only a second implementation tells.  Of NaN
    alone nothing could be told at all.
    """
    known = [~np.isnan(value) for value in subject.values("float64") if value.dtype == np.float64 and value.size]
    if known and not any(map(np.any, known)):
        hint = "give arguments where f has a value, or a `domain` that makes such of free ones"
        yield Failure("output", "float64", None, "NaN alone", "a number", hint=hint)
    if subject.reference is not None:
        wanted, note = as_float64(_unless_raised(subject.referred[0])), "against the reference"
        noise = functools.partial(_reference_noise, subject, wanted)
        yield from outputs_agree(subject, "float64", subject.values("float64"), wanted, noise, note)
    for dtype in subject.dtypes:
        real = [v for v, out in zip(subject.values(dtype), subject.outputs, strict=True) if is_real(out)]
        forward, _ = subject.evaluate(subject.pull, dtype)
        yield from outputs_agree(subject, dtype, forward, real, note="forward half against the function itself")


def gradient(subject: Subject) -> Iterator[Failure]:
    """Entry by entry what automatic differentiation finds in float64, in every dtype, for three random cotangents."""
    for dtype in subject.dtypes:
        leaves = rounded_to(dtype, subject.leaves)
        for stream in range(3):
            cotangents = subject.cotangents(stream)
            _, truth = subject.true(dtype, leaves, cotangents)
            _, got = subject.evaluate(subject.pull, dtype, leaves, cotangents)
            noise = functools.partial(_gradient_noise, subject, dtype, leaves, cotangents)
            at = leaves, cotangents
            yield from gradients_agree(subject, dtype, got, truth, noise, "against automatic differentiation", at)
    if _is_mixed(subject):
        yield from _in_mixed_dtypes(subject)


def _gradient_noise(subject, dtype, leaves, cotangents):
    return subject.noise_at(dtype, leaves, cotangents)[1]


def _in_mixed_dtypes(subject):
    def as_given(pull, leaves=subject.original):
        with _precision_as_given(subject):
            return as_float64(pull(leaves, subject.cotangents())[1])

    def noise():
        truths = map(functools.partial(as_given, subject.pull_twin), near) if subject.is_random else [truth]
        return noise_of(as_given(subject.pull_twin), list(truths))

    near = neighbours(subject.original)
    truth = as_given(subject.pull_twin) if subject.is_random else subject.truth[1]
    yield from gradients_agree(subject, subject.given, as_given(subject.pull), truth, noise, "in the dtypes as given")


def _precision_as_given(subject):
    return precision(*(array.dtype for array in subject.original if is_real(array)))


def _is_mixed(subject):
    return len({str(subject.original[i].dtype) for i in subject.wrt}) > 1


def reference_gradient(subject: Subject) -> Iterator[Failure]:
    """Entry by entry the reference's gradient, in float64."""
    if subject.reference is None:
        raise NotApplicableError("no reference was given")
    truth = as_float64(_unless_raised(subject.referred[1])[1])
    _, got = subject.evaluate(subject.pull, "float64")
    at = subject.leaves, subject.cotangents()
    yield from gradients_agree(subject, "float64", got, truth, note="against the reference's gradient", at=at)


def linearity(subject: Subject) -> Iterator[Failure]:
    """A backward pass is a linear map of the cotangent: of two it gives the sum, of zero exactly zero.

    One that ignores its cotangent, or takes it for one, is found here without any second opinion; so is one that treats
    small or large ones differently, for of a multiple it gives that multiple.
    """
    u, v = subject.cotangents(3), subject.cotangents(4)
    mixed = tuple(0.5 * a - 2 * b for a, b in zip(u, v, strict=True))
    of_u, of_v, of_mixed = (subject.evaluate(subject.pull, "float64", cotangents=c)[1] for c in (u, v, mixed))
    for i, (got, a, b) in enumerate(zip(of_mixed, of_u, of_v, strict=True)):
        # Each term brings its own rounding, and the mixed one as much as the two: 2 (½ + 2) times that of one.
        allowance = subject.allowance("float64", largest(a) + 4 * largest(b))
        what, note = f"gradient of {subject.name(i)}", "pulled back ½u − 2v against ½ of u's less 2 of v's"
        noise = functools.partial(_noise_of_three, subject, i)
        yield from worst(what, "float64", got, 0.5 * a - 2 * b, allowance, note, noise)
    for power in (2.0**-4, 2.0**4) if subject.finest_of_gradients == "float16" else (2.0**-20, 2.0**20):
        _, of_multiple = subject.evaluate(subject.pull, "float64", cotangents=tuple(power * a for a in u))
        for i, (got, a) in enumerate(zip(of_multiple, of_u, strict=True)):
            what, note = f"gradient of {subject.name(i)}", f"pulled back {power:.2g} u, over that, against u's"
            noise = functools.partial(_noise_of_three, subject, i)
            yield from worst(what, "float64", got / power, a, subject.allowance("float64", 2 * largest(a)), note, noise)
    nothing = tuple(np.zeros_like(a) for a in u)
    for i, got in enumerate(subject.evaluate(subject.pull, "float64", cotangents=nothing)[1]):
        if got.any():
            entry = tuple(int(axis[0]) for axis in np.nonzero(got))
            yield Failure(
                f"gradient of {subject.name(i)}", "float64", entry, float(got[entry]), 0.0, note="zero cotangent"
            )


def _noise_of_three(subject, i):
    return 5 * subject.noise("float64")[1][i]


def each_output(subject: Subject) -> Iterator[Failure]:
    """With several outputs, the cotangent of each alone: a rule may forget one, or confuse two.

    A rule that is told of symbolic zeros also with each output alone in use, and each argument alone differentiated.
    """
    u = subject.cotangents()
    for j in range(len(u)) if len(u) > 1 else ():
        alone = tuple(a if i == j else np.zeros_like(a) for i, a in enumerate(u))
        _, wanted = subject.evaluate(subject.pull_twin, "float64", cotangents=alone)
        _, got = subject.evaluate(subject.pull, "float64", cotangents=alone)
        at = subject.leaves, alone
        yield from gradients_agree(subject, "float64", got, wanted, note=f"cotangent of output {j} alone", at=at)

    if subject.is_told_of_zeros:
        yield from _alone_in_use(subject, u)
        yield from _alone_differentiated(subject)


def _alone_in_use(subject, u):
    for j in range(len(u)) if len(u) > 1 else ():
        pulls = [_jitted_pull(_one_output(f, j), subject.wrt) for f in (subject.function, subject.twin)]
        (_, got), (_, wanted) = (subject.evaluate(pull, "float64", cotangents=u[j : j + 1]) for pull in pulls)
        yield from gradients_agree(subject, "float64", got, wanted, note=f"output {j} alone in use")


def _alone_differentiated(subject):
    for i, position in enumerate(subject.wrt) if len(subject.wrt) > 1 else ():
        _, (got,) = subject.evaluate(_jitted_pull(subject.function, (position,)), "float64")
        others = replaced(subject.truth[1], [i], [got])
        note = f"{subject.names[position]} alone differentiated"
        yield from gradients_agree(subject, "float64", others, subject.truth[1], note=note)


def _one_output(function, j):
    return lambda *leaves: tuple(out for out in function(*leaves) if is_real(out))[j : j + 1]


def _jitted_pull(function, wrt):
    return jax.jit(pull_back(function, wrt))


def determinism(subject: Subject) -> Iterator[Failure]:
    """The same call twice gives the same bits, traced anew each time and compiled once."""
    eager = pull_back(subject.function, subject.wrt)
    for pull in (eager, subject.pull):
        first, second = (subject.evaluate(pull, subject.given) for _ in range(2))
        names = [f"output {i}" for i in range(len(first[0]))] + [
            f"gradient of {subject.name(i)}" for i in range(len(first[1]))
        ]
        for what, a, b in zip(names, (*first[0], *first[1]), (*second[0], *second[1]), strict=True):
            if not np.array_equal(a, b, equal_nan=True):
                entry = tuple(int(axis[0]) for axis in np.nonzero(a != b))
                yield Failure(
                    what, subject.given, entry, float(b[entry]), float(a[entry]), note="the same call, repeated"
                )


def _unless_raised(result):
    if isinstance(result, Exception):
        raise result
    return result


def _reference_noise(subject, wide):
    """In float64, told from float32."""
    narrow = as_float64(jax.jit(subject.reference)(*cast("float32", subject.leaves)))
    return [FLOAT64_SHARE * n for n in noise_of(narrow, [wide])]
