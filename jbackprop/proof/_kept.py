"""What the forward half keeps for the backward half: enough, and of its own call."""

from collections.abc import Iterator

import jax

from jbackprop.functions import Arrays, as_float64, cast, is_real, precision

from ._compare import gradients_agree
from ._pull import real_outputs
from ._report import Failure
from ._subject import Subject
from ._transformations import varied


def residuals(subject: Subject) -> Iterator[Failure]:
    """The backward half needs nothing but its residuals.

    They leave one compiled function and enter another, which a rule that reaches for a value of the forward pass does
    not survive; and two forward passes run before the first is pulled back, so a rule that remembers the last one
    gives the wrong gradient.
    """
    first, second = subject.leaves, varied(subject, 0)
    _, wanted = subject.evaluate(subject.pull, subject.given)
    with precision(subject.given):
        forward = jax.jit(lambda leaves: _forward(subject, leaves)[1])
        kept, _ = (forward(cast(subject.given, leaves)) for leaves in (first, second))
        got = as_float64(jax.jit(lambda vjp, u: vjp(u))(kept, _typed(subject, subject.cotangents())))
    yield from gradients_agree(subject, subject.given, got, wanted, note="from the residuals alone")


def _forward(subject, leaves):
    return jax.vjp(real_outputs(subject.function, leaves, subject.wrt), *[leaves[i] for i in subject.wrt])


def _typed(subject, cotangents) -> Arrays:
    real = [out for out in subject.outputs if is_real(out)]
    return tuple(u.astype(out.dtype) for u, out in zip(cotangents, real, strict=True))
