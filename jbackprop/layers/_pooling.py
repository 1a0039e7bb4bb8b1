"""Layers that make images smaller, without parameters.  The derivations stand with the rules."""

from collections.abc import Sequence
from functools import partial

from jbackprop import rules

from ._layer import About, spatial_axes
from ._of import Of, of
from ._written import written


@written
def max_pool(window: Sequence[int], *, strides: Sequence[int] | None = None, padding: rules.Padding = "VALID") -> Of:
    """The largest entry of each window, channels last.

    Args:
      window: its size along each spatial axis.
      strides: from one window to the next along each; the window's size unless given, so that none overlap.
      padding: as in `rules.max_pool`.
    """
    axes = spatial_axes("max_pool", window) + 1
    rule = partial(rules.max_pool, window_shape=window, strides=strides or window, padding=padding)
    return of(rule, axes=axes, says=About(output="max {x}", input="{dy} sent to the maxima"))


@written
def avg_pool(
    window: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    padding: rules.Padding = "VALID",
    count_include_pad: bool = True,
) -> Of:
    """The mean of each window; arguments as in `max_pool` and `rules.avg_pool`."""
    axes = spatial_axes("avg_pool", window) + 1
    options = {"strides": strides or window, "padding": padding, "count_include_pad": count_include_pad}
    rule = partial(rules.avg_pool, window_shape=window, **options)
    return of(rule, axes=axes, says=About(output="mean {x}", input="{dy} / n spread"))


@written
def global_avg_pool(spatial: int = 2) -> Of:
    """The mean over all of `spatial` axes before the channels."""
    says = About(output="mean {x}", input="{dy} / n spread")
    return of(partial(rules.global_avg_pool, spatial=spatial), axes=spatial + 1, says=says)
