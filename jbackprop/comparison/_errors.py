"""How far an array lies from the truth."""

import jax.numpy as jnp
import numpy as np

from ._data import Error


def error(of: str, got, truth) -> Error:
    """The error of one array, in roundings of its own dtype and relative.

    Entries that are equal, NaN in both included, have no error; where one side alone is not finite it is infinite.
    """
    rounding = float(jnp.finfo(got.dtype).eps)
    got, truth = _double(got), _double(truth)
    same = (got == truth) | (np.isnan(got) & np.isnan(truth))
    finite = np.isfinite(got) & np.isfinite(truth)
    missed = np.abs(np.where(same | ~finite, 0, got) - np.where(same | ~finite, 0, truth))
    missed = np.where(same, 0, np.where(finite, missed, np.inf))
    size = np.abs(np.where(np.isfinite(truth), truth, 0))
    return Error(
        of,
        roundings=float(missed.max(initial=0) / (rounding * _or_one(size.max(initial=0)))),
        relative=float(np.linalg.norm(missed) / _or_one(np.linalg.norm(size))),
    )


def _double(array):
    return np.asarray(array).astype(np.complex128 if jnp.iscomplexobj(array) else np.float64)


def _or_one(scale):
    return scale if scale > 0 else 1.0
