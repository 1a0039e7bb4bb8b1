"""Where in a sequence an entry stands, told to a network that would not know: added to it, or by turning it.

    learned_positions        y = x + E_{0 … T−1}          dx = dy        dE_t = Σ_batch dy_t, 0 for rows beyond T

    sinusoidal_positions     y = x + s                    dx = dy
                             s_{t,2k} = sin(t ω_k), s_{t,2k+1} = cos(t ω_k), ω_k = base^{−2k/d}

    rotary_embedding         y = R(t) x                   dx = R(t)ᵀ dy = R(−t) dy

R(t) turns each pair of features (x_k, x_{k+d/2}) by the angle t ω_k, so that the product of two turned vectors depends
on the distance of their positions alone:

    y_k       = x_k cos(t ω_k) − x_{k+d/2} sin(t ω_k)
    y_{k+d/2} = x_{k+d/2} cos(t ω_k) + x_k sin(t ω_k)

The base has its gradient where it is traced, through ∂(t ω_k)/∂base = −(2k/d) t ω_k / base.

All three are linear in x, of which nothing is kept: rotary_embedding keeps the positions, learned_positions a slice of
the table without features for its rows and dtype.

A. Vaswani et al., "Attention is all you need", NeurIPS, 2017 (sinusoidal).  J. Gehring et al., "Convolutional sequence
to sequence learning", ICML, 2017 (learned).  J. Su, Y. Lu, S. Pan, B. Wen, Y. Liu, "RoFormer: enhanced transformer with
rotary position embedding", arXiv:2104.09864, 2021.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from ._arrays import beside, check_floating, check_integers, wide_dtype, widen
from ._factors import Summed, totals
from ._options import Scalar, check_positive, of_numbers
from ._pieces import in_two


@jax.custom_vjp
def learned_positions(
    x: Float[Array, "*batch time features"], table: Float[Array, "rows features"]
) -> Float[Array, "*batch time features"]:
    """x plus a row of the table for each place of the sequence.

    Args:
      x: sequences of at most as many entries as the table has rows.
      table: one row for each position.

    Returns:
      The sum in x's dtype.

    Raises:
      TypeError: an argument is not floating point.
      ValueError: the table has other features than x, or too few rows.
    """
    return _learned_positions_fwd(x, table)[0]


def _learned_positions_fwd(x, table):
    check_floating("learned_positions", x=x, table=table)
    _check_sequences("learned_positions", x)
    time, features = x.shape[-2:]
    if jnp.ndim(table) != 2 or table.shape[1] != features or len(table) < time:
        raise ValueError(
            f"learned_positions: table, wanted at least {time} rows of {features} features, got {jnp.shape(table)}"
        )
    return (widen(x) + beside(table[:time], widen(x))).astype(x.dtype), table[:, :0]


def _learned_positions_bwd(empty, dy):
    return dy, *totals(_learned_positions_factors(empty, dy), table=empty)


learned_positions.defvjp(_learned_positions_fwd, _learned_positions_bwd)


def _learned_positions_travel(empty, dy):
    return dy, dy


def _learned_positions_factors(empty, dy):
    return {"table": Summed(dy, (len(empty), dy.shape[-1]))}


in_two(learned_positions, _learned_positions_travel, _learned_positions_factors)


@partial(of_numbers, nondiff_argnames=("base",))
def sinusoidal_positions(
    x: Float[Array, "*batch time features"], base: Scalar = 10000.0
) -> Float[Array, "*batch time features"]:
    """x plus sines and cosines of each place of the sequence, in turn.

    Args:
      x: sequences, of an even number of features.
      base: the longest wave is 2π base.

    Raises:
      TypeError: x is not floating point.
      ValueError: the features are odd, or base is not positive.
    """
    return _sinusoidal_positions_fwd(x, base)[0]


def _sinusoidal_positions_fwd(x, base):
    check_floating("sinusoidal_positions", x=x)
    _check_sequences("sinusoidal_positions", x)
    _check_waves("sinusoidal_positions", x, base)
    angles = _angles(jnp.arange(x.shape[-2]), x, base)
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(x.shape[-2:])
    return (widen(x) + beside(waves, widen(x))).astype(x.dtype), None


def _sinusoidal_positions_bwd(base, _, dy):
    return (dy,)


sinusoidal_positions.defvjp(_sinusoidal_positions_fwd, _sinusoidal_positions_bwd)


def _sinusoidal_by_base(given, _, dy):
    angles, by_base = _angles_by_base(jnp.arange(dy.shape[-2]), dy, given["base"])
    dsin, dcos = widen(dy)[..., ::2], widen(dy)[..., 1::2]
    return ((dsin * beside(jnp.cos(angles), dsin) - dcos * beside(jnp.sin(angles), dcos)) * beside(by_base, dsin)).sum()


sinusoidal_positions.defnumbers(base=_sinusoidal_by_base)


@partial(of_numbers, nondiff_argnames=("base",))
def rotary_embedding(
    x: Float[Array, "*batch time heads features"],
    positions: Integer[Array, "*examples time"],
    base: Scalar = 10000.0,
) -> Float[Array, "*batch time heads features"]:
    """x with each pair of features turned by an angle that grows with the position (RoPE).

    Args:
      x: queries or keys, of an even number of features; the first half of them pairs with the second.
      positions: of each entry of the sequence, (time,) for all examples or (*batch, time).
      base: the longest wave is 2π base.

    Returns:
      The turned vectors in x's dtype; the angles are computed in float32 at least.

    Raises:
      TypeError: x is not floating point, or the positions are not integers.
      ValueError: the shapes do not belong together, the features are odd, or base is not positive.
    """
    return _rotary_embedding_fwd(x, positions, base)[0]


def _rotary_embedding_fwd(x, positions, base):
    _check_rotary(x, positions, base)
    return _turned(x, positions, base, 1), positions


def _rotary_embedding_bwd(base, positions, dy):
    return _turned(dy, positions, base, -1), None


rotary_embedding.defvjp(_rotary_embedding_fwd, _rotary_embedding_bwd)


def _rotary_by_base(given, positions, dy):
    """∂C/∂(t ω_k) is the turned-back cotangent beside x: x_k dx_{k+d/2} − x_{k+d/2} dx_k."""
    _, by_base = _angles_by_base(positions, dy, given["base"])
    first, second = jnp.split(widen(given["x"]), 2, axis=-1)
    dfirst, dsecond = jnp.split(_turned(widen(dy), positions, given["base"], -1), 2, axis=-1)
    return ((first * dsecond - second * dfirst) * beside(by_base[..., None, :], first)).sum()


rotary_embedding.defnumbers(base=_rotary_by_base)


def _turned(x, positions, base, sense):
    """R(t) x, or R(−t) x for sense −1."""
    first, second = jnp.split(widen(x), 2, axis=-1)
    angles = beside(_angles(positions, x, base)[..., None, :], first)  # alike for all heads
    cos, sin = jnp.cos(angles), sense * jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def _angles(positions, x, base):
    """(*positions.shape, features / 2): t ω_k."""
    features, dtype = x.shape[-1], wide_dtype(x)
    t = positions[..., None].astype(dtype)
    return t * beside(base ** (-jnp.arange(0, features, 2, dtype=dtype) / features), t)


def _angles_by_base(positions, x, base):
    """t ω_k, and its derivative −(2k/d) t ω_k / base."""
    angles, features = _angles(positions, x, base), x.shape[-1]
    return angles, -angles * beside(jnp.arange(0, features, 2, dtype=angles.dtype) / features, angles) / base


def _check_sequences(rule, x):
    if jnp.ndim(x) < 2:
        raise ValueError(f"{rule}: x, wanted shape (*batch, time, features), got {jnp.shape(x)}")


def _check_waves(rule, x, base):
    if x.shape[-1] % 2:
        raise ValueError(f"{rule}: x, wanted an even number of features, got {x.shape[-1]}")
    check_positive(rule, base=base)


def _check_rotary(x, positions, base):
    check_floating("rotary_embedding", x=x)
    check_integers("rotary_embedding", positions=positions)
    if jnp.ndim(x) < 3:
        raise ValueError(f"rotary_embedding: x, wanted shape (*batch, time, heads, features), got {jnp.shape(x)}")
    if positions.shape not in (x.shape[:-2], x.shape[-3:-2]):
        raise ValueError(
            f"rotary_embedding: positions, wanted shape {x.shape[-3:-2]} or {x.shape[:-2]}, got {positions.shape}"
        )
    _check_waves("rotary_embedding", x, base)
