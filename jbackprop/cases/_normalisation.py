"""Cases of the normalisations.

Where the output is kept and there is a scale, x̂ = (y − β) / γ asks for a scale that is not near 0, and a finite offset;
there the two are constants of the rule, not arguments to be tried at every number.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import rules

from ._case import Case, float32, normal

_SCALE = np.array([1.5, -0.5, 2.0, 0.75, -1.25, 1.0], np.float32)
_OFFSET = np.array([0.5, -1.0, 0.25, 2.0, 0.0, -0.125], np.float32)
_AFFINE = (normal(6), normal(6))
_PARAMETERS = (normal(256), normal(256))
_IMAGES = (normal(8, 32, 32, 96), normal(96), normal(96))
_KEEP_OUTPUT = {"scale": _SCALE, "offset": _OFFSET, "keep": "output"}


def _variance(*shape):
    return lambda key, dtype: (0.25 + jnp.square(jax.random.normal(key, shape))).astype(dtype)


def _affine(y, scale, offset):
    return (y if scale is None else y * scale) + (0 if offset is None else offset)


def _layer(x, scale=None, offset=None, eps=1e-5):
    return _affine(jax.nn.standardize(x, epsilon=eps, variance=x.var(-1, keepdims=True)), scale, offset)


def _rms(x, scale=None, offset=None, eps=1e-5):
    return _affine(x / jnp.sqrt(jnp.einsum("...k,...k->...", x, x)[..., None] / x.shape[-1] + eps), scale, offset)


def _group(x, scale=None, offset=None, groups=1, spatial=2, eps=1e-5):
    """Group by group: each is laid out as one row and standardised."""
    parts = jnp.split(x, groups, axis=-1)
    rows = [part.reshape(*x.shape[: x.ndim - spatial - 1], -1) for part in parts]
    standard = [_layer(row, eps=eps).reshape(part.shape) for row, part in zip(rows, parts, strict=True)]
    return _affine(jnp.concatenate(standard, axis=-1), scale, offset)


def _instance(x, scale=None, offset=None, spatial=2, eps=1e-5):
    return _group(x, scale, offset, groups=x.shape[-1], spatial=spatial, eps=eps)


def _batch(x, scale=None, offset=None, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    return _affine(_layer(rows.T, eps=eps).T.reshape(x.shape), scale, offset), rows.mean(0), rows.var(0)


def _batch_evaluation(x, mean, variance, scale=None, offset=None, eps=1e-5):
    return _affine((x - mean) / jnp.sqrt(variance + eps), scale, offset)


def _case(name, rule, reference, shape, kept, draws=_AFFINE, at_scale=(), variant_of="", **options):
    """A case of an input of this shape, then what draws gives; the reference need not know what is kept."""
    known = {option: value for option, value in options.items() if option != "keep"}
    arguments = (normal(*shape), *draws)
    return Case(name, partial(rule, **options), partial(reference, **known), arguments, kept, at_scale, variant_of)


def _first(function):
    """The normalised batch without its statistics."""
    return lambda *arguments, **options: function(*arguments, **options)[0]


def _policies(name, rule, reference, shape, mean):
    """One case for each thing to keep; `mean` is the shape of the statistics."""
    case, at_scale = partial(_case, rule=rule, reference=reference, shape=shape), (normal(8, 512, 256), *_PARAMETERS)
    statistics = (mean,) if rule is rules.rms_norm else (mean, mean)
    return (
        case(name, kept=float32(shape, *statistics, (6,), (6,)), at_scale=at_scale),
        case(f"{name}, normalised kept", kept=float32(shape, mean, (6,), (6,)), at_scale=at_scale, keep="normalised"),
        case(f"{name}, output kept", kept=float32(shape, mean, (6,), (6,)), draws=(), **_KEEP_OUTPUT),
        case(
            f"{name}, output kept, no parameters",
            kept=float32(shape, mean),
            draws=(),
            at_scale=at_scale[:1],
            keep="output",
        ),
    )


NORMALISATION = (
    *_policies("layer_norm", rules.layer_norm, _layer, (5, 6), (5, 1)),
    _case(
        "layer_norm, no batch axis",
        rules.layer_norm,
        _layer,
        (6,),
        float32((6,), (1,), (1,), (6,), (6,)),
        variant_of="layer_norm",
    ),
    _case(
        "layer_norm, two batch axes, scale alone, eps 0.1",
        rules.layer_norm,
        _layer,
        (2, 5, 6),
        float32((2, 5, 6), (2, 5, 1), (2, 5, 1), (6,)),
        draws=(normal(6),),
        eps=0.1,
    ),
    *_policies("rms_norm", rules.rms_norm, _rms, (5, 6), (5, 1)),
    _case(
        "rms_norm, no batch axis",
        rules.rms_norm,
        _rms,
        (6,),
        float32((6,), (1,), (6,), (6,)),
        variant_of="rms_norm",
    ),
    _case(
        "rms_norm, two batch axes, no parameters, eps 0.1",
        rules.rms_norm,
        _rms,
        (2, 5, 6),
        float32((2, 5, 6), (2, 5, 1)),
        draws=(),
        eps=0.1,
    ),
    _case(
        "group_norm",
        rules.group_norm,
        _group,
        (2, 5, 4, 6),
        float32((2, 5, 4, 3, 2), (2, 1, 1, 3, 1), (2, 1, 1, 3, 1), (6,), (6,)),
        at_scale=_IMAGES,
        groups=3,
    ),
    _case(
        "group_norm, no batch axis, one space axis, normalised kept",
        rules.group_norm,
        _group,
        (5, 6),
        float32((5, 2, 3), (1, 2, 1), (6,), (6,)),
        groups=2,
        spatial=1,
        keep="normalised",
    ),
    _case(
        "group_norm, two batch axes, no space, output kept, eps 0.1",
        rules.group_norm,
        _group,
        (2, 5, 6),
        float32((2, 5, 3, 2), (2, 5, 3, 1), (6,), (6,)),
        draws=(),
        groups=3,
        spatial=0,
        eps=0.1,
        **_KEEP_OUTPUT,
    ),
    _case(
        "instance_norm",
        rules.instance_norm,
        _instance,
        (2, 5, 4, 6),
        float32((2, 5, 4, 6), (2, 1, 1, 6), (2, 1, 1, 6), (6,), (6,)),
        at_scale=_IMAGES,
    ),
    _case(
        "instance_norm, no batch axis, normalised kept",
        rules.instance_norm,
        _instance,
        (5, 4, 6),
        float32((5, 4, 6), (1, 1, 6), (6,), (6,)),
        keep="normalised",
    ),
    _case(
        "instance_norm, two batch axes, one space axis, output kept, eps 0.1",
        rules.instance_norm,
        _instance,
        (2, 3, 5, 6),
        float32((2, 3, 5, 6), (2, 3, 1, 6), (6,), (6,)),
        draws=(),
        spatial=1,
        eps=0.1,
        **_KEEP_OUTPUT,
    ),
    _case(
        "batch_norm",
        rules.batch_norm,
        _batch,
        (5, 6),
        float32((5, 6), (1, 6), (1, 6), (6,), (6,)),
        at_scale=_IMAGES,
    ),
    _case(
        "batch_norm, two batch axes, no parameters, eps 0.1",
        rules.batch_norm,
        _batch,
        (2, 5, 6),
        float32((2, 5, 6), (1, 1, 6), (1, 1, 6)),
        draws=(),
        eps=0.1,
    ),
    _case(
        "batch_norm, normalised kept",
        _first(rules.batch_norm),
        _first(_batch),
        (5, 6),
        float32((5, 6), (1, 6), (6,), (6,)),
        keep="normalised",
    ),
    _case(
        "batch_norm, output kept",
        _first(rules.batch_norm),
        _first(_batch),
        (5, 6),
        float32((5, 6), (1, 6), (6,), (6,)),
        draws=(),
        **_KEEP_OUTPUT,
    ),
    _case(
        "batch_norm_evaluation",
        rules.batch_norm_evaluation,
        _batch_evaluation,
        (5, 6),
        float32((5, 6), *[(6,)] * 5),
        draws=(normal(6), _variance(6), *_AFFINE),
        at_scale=(_IMAGES[0], normal(96), _variance(96), *_IMAGES[1:]),
    ),
    _case(
        "batch_norm_evaluation, no batch axis, no parameters, normalised kept",
        rules.batch_norm_evaluation,
        _batch_evaluation,
        (6,),
        float32(*[(6,)] * 4),
        draws=(normal(6), _variance(6)),
        keep="normalised",
    ),
    _case(
        "batch_norm_evaluation, two batch axes, output kept, eps 0.1",
        rules.batch_norm_evaluation,
        _batch_evaluation,
        (2, 5, 6),
        float32((2, 5, 6), *[(6,)] * 5),
        draws=(normal(6), _variance(6)),
        eps=0.1,
        **_KEEP_OUTPUT,
    ),
)
