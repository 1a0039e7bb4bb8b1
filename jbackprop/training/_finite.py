"""Whether everything is still finite, and where it stopped being so."""

import jax
import jax.numpy as jnp

from ._scale import SMALLEST
from ._state import Metrics


class NonFiniteError(FloatingPointError):
    """Training met a NaN or an infinity; the message names the step and the layer."""


def check_finite(metrics: Metrics) -> None:
    """Raises NonFiniteError at the first step whose cost, δ, gradients or updates were not finite.

    It names that step and, going backward from the output, the first layer whose δ is not finite; where every δ is
    finite, or there is none, the first parameter whose gradient is not, or else whose update is not.  A step that only
    made a dynamic loss scale fall, as `overflowed` tells, is none of these.

    Args:
      metrics: of one step or of an epoch.
    """
    steps = jax.device_get(metrics)  # from whatever mesh
    if not jnp.ndim(steps.cost):
        steps = jax.tree.map(lambda array: jnp.asarray(array)[None], steps)
    bad = ~(all_finite(steps) | overflowed(steps))
    if bad.any():
        first = int(bad.argmax())
        raise NonFiniteError(_diagnosis(jax.tree.map(lambda array: array[first], steps)))


def _diagnosis(metrics):
    message = f"step {metrics.step}: the cost is {metrics.cost}"
    found = {"δ of layer": metrics.delta_norms, "gradient of": metrics.gradient_norms, "update of": metrics.updates}
    for what, norms in found.items():
        bad = [
            (path, norm) for path, norm in jax.tree_util.tree_leaves_with_path(norms) if not jnp.isfinite(norm).all()
        ]
        if bad:
            path, norm = bad[-1]
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            return f"{message}; going backward, the {what} {name}{_block(norm)} is the first that is not finite"
    return message


def _block(norms):
    """Of a stack the last block whose norm is not finite."""
    return f", block {int(jnp.flatnonzero(~jnp.isfinite(norms))[-1])}," if norms.ndim else ""


def all_finite(metrics):
    """Whether all metrics are finite, for each step."""
    steps = jnp.shape(metrics.cost)
    finite = [jnp.isfinite(leaf).reshape(*steps, -1).all(axis=-1) for leaf in jax.tree.leaves(metrics)]
    return jnp.stack(finite, axis=-1).all(axis=-1)


def overflowed(metrics: Metrics) -> jax.Array:
    """Which steps were not taken because the dynamic loss scale was too large: it has fallen since.

    Args:
      metrics: of one step or of an epoch.
    """
    if isinstance(metrics.loss_scale, tuple):
        return jnp.zeros(jnp.shape(metrics.cost), bool)
    return ~all_finite(metrics._replace(updates=())) & (metrics.loss_scale > SMALLEST)
