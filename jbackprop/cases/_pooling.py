"""Cases of pooling.  The references are `lax.reduce_window`, as Flax has them."""

import math
from functools import partial

import jax.numpy as jnp
from jax import lax

from jbackprop import rules

from ._case import Case, float32, normal


def _reduced(x, start, combine, window_shape, strides=None, padding="VALID"):
    before = (1,) * (x.ndim - len(window_shape) - 1)
    window, strides = ((*before, *given, 1) for given in (window_shape, strides or (1,) * len(window_shape)))
    pads = padding if isinstance(padding, str) else [*((0, 0) for _ in before), *padding, (0, 0)]
    return lax.reduce_window(x, start, combine, window, strides, pads)


def _max(x, **options):
    return _reduced(x, -jnp.inf, lax.max, **options)


def _avg(x, window_shape, count_include_pad=True, **options):
    counted = math.prod(window_shape)
    if not count_include_pad:
        counted = _reduced(jnp.ones_like(x), 0.0, lax.add, window_shape, **options)
    return _reduced(x, 0.0, lax.add, window_shape, **options) / counted


def _global_avg(x, spatial=2):
    rows = x.reshape(*x.shape[: x.ndim - spatial - 1], -1, x.shape[-1])
    return jnp.einsum("...pc->...c", rows) / rows.shape[-2]  # p positions, c channels


def _case(name, rule, reference, shape, kept=(), at_scale=(), **options):
    """A case that keeps x's shape, as an array of nothing, besides the rest."""
    given = (partial(rule, **options), partial(reference, **options))
    return Case(
        name, *given, (normal(*shape),), (*kept, *float32((0, *shape))), tuple(normal(*size) for size in at_scale)
    )


_IMAGES = ((64, 32, 32, 64),)

POOLING = (
    _case(
        "max_pool",
        rules.max_pool,
        _max,
        (2, 6, 4, 3),
        ("uint8[2,3,2,3]",),
        _IMAGES,
        window_shape=(2, 2),
        strides=(2, 2),
    ),
    _case(
        "max_pool, overlapping windows",
        rules.max_pool,
        _max,
        (2, 7, 5, 3),
        ("uint8[2,4,3,3]",),
        _IMAGES,
        window_shape=(3, 3),
        strides=(2, 2),
        padding="SAME",
    ),
    _case(
        "max_pool, no batch axis, one space axis, stride 1",
        rules.max_pool,
        _max,
        (7, 2),
        ("uint8[7,2]",),
        ((4096, 64),),
        window_shape=(3,),
        padding="SAME",
    ),
    _case(
        "max_pool, two batch axes, gaps between the windows",
        rules.max_pool,
        _max,
        (2, 3, 7, 5, 1),
        ("uint8[2,3,3,3,1]",),
        window_shape=(1, 2),
        strides=(3, 3),
        padding=((1, 0), (0, 4)),
    ),
    _case(
        "max_pool, three space axes",
        rules.max_pool,
        _max,
        (2, 4, 3, 5, 1),
        ("uint8[2,2,2,2,1]",),
        ((4, 16, 16, 16, 32),),
        window_shape=(2, 2, 3),
        strides=(2, 1, 2),
    ),
    _case("avg_pool", rules.avg_pool, _avg, (2, 6, 4, 3), at_scale=_IMAGES, window_shape=(2, 2), strides=(2, 2)),
    _case(
        "avg_pool, overlapping windows",
        rules.avg_pool,
        _avg,
        (2, 7, 5, 3),
        at_scale=_IMAGES,
        window_shape=(3, 3),
        strides=(2, 2),
        padding="SAME",
    ),
    _case(
        "avg_pool, no batch axis, one space axis, padding not counted",
        rules.avg_pool,
        _avg,
        (7, 2),
        at_scale=((4096, 64),),
        window_shape=(3,),
        padding="SAME",
        count_include_pad=False,
    ),
    _case(
        "avg_pool, two batch axes, gaps between the windows, padding not counted",
        rules.avg_pool,
        _avg,
        (2, 3, 7, 5, 1),
        window_shape=(3, 2),
        strides=(4, 3),
        padding=((1, 0), (0, 2)),
        count_include_pad=False,
    ),
    _case(
        "avg_pool, three space axes",
        rules.avg_pool,
        _avg,
        (2, 4, 3, 5, 1),
        at_scale=((4, 16, 16, 16, 32),),
        window_shape=(2, 2, 3),
        strides=(2, 1, 2),
    ),
    _case("global_avg_pool", rules.global_avg_pool, _global_avg, (2, 5, 4, 3), at_scale=_IMAGES),
    _case("global_avg_pool, no batch axis, one space axis", rules.global_avg_pool, _global_avg, (5, 3), spatial=1),
    _case(
        "global_avg_pool, two batch axes, three space axes",
        rules.global_avg_pool,
        _global_avg,
        (2, 3, 5, 4, 1, 7),
        spatial=3,
    ),
)
