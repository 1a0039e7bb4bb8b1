"""What a reader of a failure wants to know besides: whether autodiff says the same, and whether x is at a kink."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from jbackprop.functions import UNITS

from ._compare import typical
from ._kinks import slopes
from ._report import Failure
from ._subject import Subject

AT_GIVEN = ("gradient", "reference", "finite differences")
"""The checks that judge gradients at the arguments as they were given."""


def explained(subject: Subject, check: str, failure: Failure) -> Failure:
    """The failure of a check with what else there is to say about it as its hint."""
    if check not in AT_GIVEN:
        return failure
    hints = [failure.hint] if failure.hint else []
    with contextlib.suppress(Exception):  # whatever the function raises, the failure is there to be read
        hints.extend(_circumstances(subject, check, failure))
    return dataclasses.replace(failure, hint="; ".join(hints))


def _circumstances(subject, check, failure) -> Iterator[str]:
    found = [i for i in range(len(subject.wrt)) if failure.what == f"gradient of {subject.name(i)}"]
    for i in found:
        if check != "gradient" and not subject.irreversible and _autodiff_agrees(subject, i):
            yield "automatic differentiation agrees with the rule here"
        if failure.entry is not None and _is_at_kink(subject, i, failure.entry):
            yield f"{subject.name(i)} is at a kink there"


def _autodiff_agrees(subject, i):
    _, got = subject.evaluate(subject.pull, "float64")
    allowance = subject.allowance("float64", typical(subject)[i], subject.noise("float64")[1][i])
    wanted = subject.truth[1][i]
    return np.isfinite(wanted).any() and (allowance.units(got[i], wanted) <= UNITS).all()


def _is_at_kink(subject, i, entry):
    """Whether the function has another slope ahead of this entry than behind it."""
    sizes = [math.prod(np.shape(subject.leaves[position])) for position in subject.wrt]
    shape = np.shape(subject.leaves[subject.wrt[i]])
    direction = np.zeros((1, sum(sizes)))
    direction[0, sum(sizes[:i]) + int(np.ravel_multi_index(entry, shape)) if shape else sum(sizes[:i])] = 1
    behind, ahead, slack = slopes(subject, subject.leaves, subject.cotangents(), direction)
    return bool((np.abs(ahead - behind) > 2 * slack).any())
