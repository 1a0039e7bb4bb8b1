"""Layers that are one rule with weights: products, convolutions, tables.  The derivations stand with the rules."""

from collections.abc import Sequence
from functools import partial

from jbackprop import rules

from ._layer import About, check_positive, spatial_axes
from ._of import Of, of
from ._parameters import FEATURES, Initialize, Parameter, he_normal, normal, zeros
from ._written import written

_PRODUCT = About(output="{x} W{l} + b{l}", delta="{dy}", input="{delta} W{l}ᵀ")
_CORRELATION = About(output="{x} ∗ W{l} + b{l}", delta="{dy}", input="{delta} ∗ᵀ W{l}")
_TABLE = About(output="table{l}[{x}]", delta="{dy}")


def _unbiased(about):
    return about._replace(output=about.output.partition(" +")[0])


def _weights(name, weights, bias):
    """A weight, and a bias of its number of columns where there is one."""
    return {name: weights} if bias is None else {name: weights, **bias}


@written
def linear(features: int, *, bias: bool = True, weights: Initialize = he_normal(), biases: Initialize = zeros) -> Of:
    """z = a W + b, from any number of input features to `features`.

    The parameters are {"w": (n_in, features), "b": (features,)}, or {"w": ...} without a bias.

    Args:
      features: how many pre-activations.
      bias: whether to add one.
      weights: draws W.
      biases: draws b.

    Raises:
      ValueError: features is not positive.
    """
    check_positive("linear", features=features)
    w, b = Parameter(weights, (FEATURES, features)), Parameter(biases, (features,))
    return of(rules.linear, w=w, b=b, says=_PRODUCT) if bias else of(rules.linear, w=w, says=_unbiased(_PRODUCT))


@written
def conv(
    features: int,
    window: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    padding: rules.Padding = "SAME",
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    bias: bool = True,
    kernels: Initialize = he_normal(),
    biases: Initialize = zeros,
) -> Of:
    """Convolution over one to three spatial axes, channels last, to `features` channels.

    The parameters are {"kernel": (*window, n_in / groups, features), "bias": (features,)}, the latter unless bias is
    False.

    Args:
      features: how many output channels.
      window: the kernel's size along each spatial axis.
      strides: from one window to the next along each; 1 unless given.
      padding: as in `rules.conv`.
      dilation: from one entry of a window to the next; 1 unless given.
      groups: into how many groups the channels fall, each convolved alone.
      bias: whether to add one.
      kernels: draws the kernel.
      biases: draws the bias.

    Raises:
      ValueError: a number is not positive; `init` raises it for shapes that do not fit.
    """
    check_positive("conv", features=features, groups=groups)
    axes = spatial_axes("conv", window) + 1
    rule = partial(
        rules.conv, window_strides=strides, padding=padding, rhs_dilation=dilation, feature_group_count=groups
    )
    kernel, b = Parameter(kernels, (*window, FEATURES // groups, features)), Parameter(biases, (features,))
    if bias:
        return of(rule, kernel=kernel, bias=b, axes=axes, says=_CORRELATION)
    return of(rule, kernel=kernel, axes=axes, says=_unbiased(_CORRELATION))


@written
def conv_transpose(
    features: int,
    window: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    padding: rules.Padding = "SAME",
    dilation: Sequence[int] | None = None,
    bias: bool = True,
    kernels: Initialize = he_normal(),
    biases: Initialize = zeros,
) -> Of:
    """Transposed convolution, which makes the space larger by the strides; arguments and errors as in `conv`."""
    check_positive("conv_transpose", features=features)
    axes = spatial_axes("conv_transpose", window) + 1
    rule = partial(rules.conv_transpose, strides=strides, padding=padding, rhs_dilation=dilation)
    kernel, b = Parameter(kernels, (*window, FEATURES, features)), Parameter(biases, (features,))
    says = About(output="{x} ∗ᵀ W{l} + b{l}", delta="{dy}", input="{delta} ∗ W{l}")
    if bias:
        return of(rule, kernel=kernel, bias=b, axes=axes, says=says)
    return of(rule, kernel=kernel, axes=axes, says=_unbiased(says))


@written
def embedding(rows: int, features: int, *, padding_index: int | None = None, table: Initialize = normal(1.0)) -> Of:
    """The rows of a table that numbers name; the parameters are {"table": (rows, features)}.

    Args:
      rows: how many there are, such as the size of a vocabulary.
      features: of each.
      padding_index: the row that gets no gradient.
      table: draws it.

    Raises:
      ValueError: a number is not positive, or the padding index names no row.
    """
    check_positive("embedding", rows=rows, features=features)
    rule = partial(rules.embedding, padding_index=padding_index)
    return of(rule, table=Parameter(table, (rows, features)), integers=True, says=_TABLE)


@written
def learned_positions(rows: int, *, table: Initialize = normal(0.02)) -> Of:
    """x plus a row of a table for each place of the sequence; the parameters are {"table": (rows, features)}.

    Args:
      rows: the longest sequence.
      table: draws it.

    Raises:
      ValueError: rows is not positive; `init` raises it for a longer sequence.
    """
    check_positive("learned_positions", rows=rows)
    says = About(output="{x} + table{l}", delta="{dy}", input="{dy}")
    return of(rules.learned_positions, table=Parameter(table, (rows, FEATURES)), axes=2, says=says)
