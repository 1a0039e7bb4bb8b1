"""What may be wrong with a gradient, told from all of its entries: a guess, for the person who reads the report."""

from collections.abc import Callable, Iterator

import numpy as np

from jbackprop import report

Agree = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(got, wanted) -> which entries are equal to rounding."""

_SIDE = 3
"""So many entries at least are wrong, and so many right, before a bound between them is worth a word."""
_RANKS = 0.95
"""The correlation of ranks from which an error is said to grow."""


def guess(got: np.ndarray, wanted: np.ndarray, agree: Agree, x: np.ndarray | None = None) -> str:
    """What the entries have in common, "" where nothing is seen.

    Args:
      got: the gradient.
      wanted: what it should be, of the same shape; NaN where nobody knows.
      agree: which entries of two such arrays are equal to rounding.
      x: what it is the gradient by, of the same shape, where known.
    """
    known = np.isfinite(wanted)
    if known.any() and not wanted[known].any():
        return "nothing but 0 is wanted; where another gradient is meant, `gradient_of` says which"
    if known.sum() < 2 or not np.isfinite(got[known]).all():
        return ""
    candidates = _candidates(got, wanted) if known.all() else ()
    fitting = (words for words, candidate in candidates if agree(got, candidate).all())
    right = agree(got, wanted)
    by_size = "" if x is None else _by_size(*(array[known] for array in (got, wanted, right, np.asarray(x, float))))
    return next(fitting, by_size or (f"{(~right).sum()} of {right.size} entries are wrong" if right.any() else ""))


def _candidates(got, wanted) -> Iterator[tuple[str, np.ndarray]]:
    """What may have been computed instead, the simplest first."""
    yield "all of it is 0", np.zeros_like(wanted)
    yield "all of it has the other sign", -wanted
    ratio = np.vdot(got, wanted) / max(np.vdot(wanted, wanted), np.finfo(float).tiny)
    yield f"all of it is {report.number(ratio)} times what is wanted", ratio * wanted
    if wanted.ndim > 1:
        yield "it is the transpose of what is wanted", np.swapaxes(wanted, -1, -2).reshape(wanted.shape)
    off = got - wanted
    yield f"all of it is off by {report.number(off.mean())}: a term is missing, or one too many", wanted + off.mean()
    for axis in range(wanted.ndim if wanted.ndim > 1 else 0):
        if wanted.shape[axis] > 1:
            words = f"off by the same number all along axis {axis}: a term is missing, or one too many, such as a mean"
            yield words, wanted + off.mean(axis=axis, keepdims=True)


def _by_size(got, wanted, right, x):
    """How the error goes with x: a bound beyond which it begins, or growth."""
    for words, size, sign in (("x ≥", x, 1), ("x ≤", -x, -1), ("|x| ≥", np.abs(x), 1)):
        if min(right.sum(), (~right).sum()) >= _SIDE and size[~right].min() > size[right].max():
            return f"wrong only where {words} {report.number(sign * size[~right].min())}"
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(got - wanted) / np.abs(wanted)
    seen = ~right & np.isfinite(share)
    grows = seen.sum() >= 2 * _SIDE and _correlation(share[seen], np.abs(x[seen])) >= _RANKS
    return "the relative error grows with |x|" if grows else ""


def _correlation(a, b):
    """Spearman's, of ranks."""
    a, b = (np.argsort(np.argsort(numbers)) - (len(numbers) - 1) / 2 for numbers in (a, b))
    return (a * b).sum() / (a * a).sum()
