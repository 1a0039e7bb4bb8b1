"""Right functions that nobody here wrote, with custom rules of `jax.custom_jvp` and `jax.custom_vjp`: false alarms?

`optax.scale_gradient` is not among them but at scale 1: it is meant to have another gradient than its function's.
Neither are, of `jax.scipy.special`, `spence`, whose gradient is NaN for 3/2 ≤ x < 2, as `jb.check` says, and `betainc`
and `hyp2f1`, of which one has no gradient by its first arguments and the other takes minutes.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import nn
from jax.scipy import linalg, special, stats
from tqdm import tqdm

import jbackprop as jb
from jbackprop.functions import function_name

from .calls import Draw, RightCall, between, complex_normal, definite, normal, simplex, whole
from .composed import COMPOSED


def run(output: str = "runs/detection") -> dict[str, list[str]]:
    """What `jb.check` holds against each call in float64 and float32, beyond those in the output folder already.

    Args:
      output: folder of `right.jsonl`.
    """
    path = Path(output) / "right.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = read(path)
    todo = [call for call in CALLS if call.name not in found]
    with path.open("a") as file:
        for call in tqdm(todo, unit="call", disable=not todo):
            found[call.name] = _failures(call)
            file.write(json.dumps([call.name, found[call.name]], ensure_ascii=False) + "\n")
            file.flush()
            jax.clear_caches()
    return found


def read(path: Path) -> dict[str, list[str]]:
    """What an earlier run found."""
    return dict(map(json.loads, path.read_text().splitlines())) if path.exists() else {}


def _failures(call):
    report = jb.check(
        call.function, *call.draw(), dtypes=("float64", "float32"), skip=call.skip, raises=False, **call.options
    )
    return [f"{result.check}: {failure}" for result in report.results for failure in result.failures]


def _each(module: str, functions: tuple[Callable, ...], *draws: Draw, skip: tuple[str, ...] = ()) -> list[RightCall]:
    return [RightCall(f"{module}.{_name(f)}", f, draws, skip) for f in functions]


def _name(f):
    if not isinstance(f, partial):
        return function_name(f)
    given = [str(a) for a in f.args] + [f"{name}={value}" for name, value in f.keywords.items()]
    return f"{_name(f.func)}({', '.join(given)})"


_ACTIVATIONS = (
    nn.relu,
    nn.relu6,
    nn.leaky_relu,
    nn.elu,
    nn.celu,
    nn.selu,
    nn.gelu,
    partial(nn.gelu, approximate=False),
    nn.silu,
    nn.sigmoid,
    nn.log_sigmoid,
    nn.softplus,
    nn.sparse_plus,
    nn.sparse_sigmoid,
    nn.soft_sign,
    nn.hard_sigmoid,
    nn.hard_silu,
    nn.hard_tanh,
    nn.squareplus,
    nn.mish,
    nn.tanh,
    nn.glu,
    nn.softmax,
    nn.log_softmax,
    nn.logsumexp,
    nn.logmeanexp,
    nn.standardize,
)

_SPECIAL = (
    special.erf,
    special.erfc,
    special.erfcx,
    special.dawsn,
    special.ndtr,
    special.log_ndtr,
    partial(special.log_ndtr, series_order=2),
    special.expit,
    special.i0,
    special.i0e,
    special.i1,
    special.i1e,
    special.sici,
    special.fresnel,
    special.softmax,
    special.log_softmax,
    special.logsumexp,
)

_OF_POSITIVE = (
    special.digamma,
    special.gammaln,
    special.gamma,
    special.factorial,
    special.entr,
    partial(special.polygamma, 1),
    partial(special.polygamma, 2),
    partial(special.zeta, q=1.5),
    partial(special.multigammaln, d=1),
)

_SERIES = (special.expi, special.exp1)
_SERIES_OF_PAIRS = (special.gammainc, special.gammaincc)
_ENDLESS = ("special inputs", "large inputs")
"""Left out for series, whose loops may not end at subnormal or huge arguments in float64."""

_OF_POSITIVE_PAIRS = (
    special.xlogy,
    special.xlog1py,
    special.kl_div,
    special.rel_entr,
    special.betaln,
    special.beta,
    special.zeta,
    special.owens_t,
    special.boxcox,
    special.boxcox1p,
)

_MATRIX = (
    jnp.linalg.det,
    jnp.linalg.slogdet,
    jnp.linalg.inv,
    jnp.linalg.norm,
    jnp.linalg.cholesky,
    jnp.linalg.eigvalsh,
    jnp.linalg.eigh,
    partial(jnp.linalg.matrix_power, n=3),
    linalg.expm,
    partial(linalg.cho_solve, (np.eye(4, dtype=np.float32), True)),
)
_BY_SINGULAR_VALUES = (jnp.linalg.pinv, partial(jnp.linalg.norm, ord="nuc"), partial(jnp.linalg.svd, compute_uv=False))
_SINGULAR = ("non-finite inputs",)
"""Left out for what takes singular values: those of a matrix with a NaN are searched for without end."""

_LOSSES_OF_CLASSES = (
    optax.softmax_cross_entropy,
    optax.safe_softmax_cross_entropy,
    optax.losses.poly_loss_cross_entropy,
    optax.convex_kl_divergence,
    optax.kl_divergence,
    optax.losses.generalized_kl_divergence,
    optax.cosine_distance,
    optax.cosine_similarity,
    optax.sigmoid_binary_cross_entropy,
    optax.squared_error,
    optax.l2_loss,
    optax.huber_loss,
    optax.log_cosh,
    optax.losses.ranking_softmax_loss,
)

_LOSSES_OF_NUMBERS = (
    optax.softmax_cross_entropy_with_integer_labels,
    optax.losses.multiclass_hinge_loss,
    optax.losses.multiclass_perceptron_loss,
    optax.losses.multiclass_sparsemax_loss,
)

_PROJECTIONS = (
    optax.projections.projection_simplex,
    optax.projections.projection_non_negative,
    optax.projections.projection_l2_ball,
    optax.projections.projection_l2_sphere,
    optax.projections.projection_l1_ball,
    optax.projections.projection_l1_sphere,
    optax.projections.projection_linf_ball,
    optax.projections.projection_hypercube,
)

_NUMPY = (
    jnp.sinc,
    jnp.i0,
    jnp.cumsum,
    jnp.cumprod,
    jnp.prod,
    jnp.max,
    jnp.min,
    jnp.sort,
    jnp.median,
    jnp.var,
    jnp.std,
    jnp.abs,
    jnp.tanh,
    jnp.expm1,
    jnp.arctan,
    jnp.arcsinh,
    jnp.nan_to_num,
)

_NUMPY_PAIRS = (
    jnp.logaddexp,
    jnp.logaddexp2,
    jnp.maximum,
    jnp.minimum,
    jnp.hypot,
    jnp.arctan2,
    jnp.multiply,
    jnp.divide,
    jnp.convolve,
)

_OF_COMPLEX = (jnp.abs, jnp.angle, jnp.exp, jnp.log, jnp.sqrt, jnp.sin, jnp.tanh, jnp.reciprocal, jnp.cumprod)

_TRANSFORMS = (jnp.fft.fft, jnp.fft.ifft2, jnp.fft.irfft, jnp.fft.fftshift)

CALLS = (
    *_each("jax.nn", _ACTIVATIONS, normal(3, 4)),
    *_each("jax.nn", (nn.log1mexp,), between(0.1, 3, 3, 4)),
    *_each("jax.nn", (nn.dot_product_attention,), normal(2, 5, 3, 4), normal(2, 6, 3, 4), normal(2, 6, 3, 4)),
    *_each("jax.scipy.special", _SPECIAL, normal(3, 4)),
    *_each("jax.scipy.special", (special.logit, special.ndtri), between(0.1, 0.9, 3, 4)),
    *_each("jax.scipy.special", (special.erfinv,), between(-0.9, 0.9, 3, 4)),
    *_each("jax.scipy.special", _OF_POSITIVE, between(1.1, 4, 3, 4)),
    *_each("jax.scipy.special", _OF_POSITIVE_PAIRS, *(between(1.1, 4, 3, 4),) * 2),
    *_each("jax.scipy.special", _SERIES, between(1.1, 4, 3, 4), skip=_ENDLESS),
    *_each("jax.scipy.special", _SERIES_OF_PAIRS, *(between(1.1, 4, 5),) * 2, skip=_ENDLESS),
    *_each("jax.scipy.special", (partial(special.expn, 2),), between(1.1, 4, 3, 4), skip=(*_ENDLESS, "random inputs")),
    # Its gradient at 0 is NaN, where it has a slope.
    *_each("jax.scipy.special", (special.poch,), *(between(1.1, 4, 5),) * 2, skip=(*_ENDLESS, "special inputs")),
    *_each("jax.scipy.special", (special.hyp1f1,), *(between(0.5, 2, 5),) * 3, skip=_ENDLESS),
    *_each("jax.scipy.stats.norm", (stats.norm.logpdf, stats.norm.logcdf), normal(3, 4)),
    *_each("jax.scipy.stats.norm", (stats.norm.ppf,), between(0.1, 0.9, 3, 4)),
    *_each("jax.scipy.stats.laplace", (stats.laplace.logpdf,), normal(3, 4)),
    *_each("jax.scipy.stats.gamma", (stats.gamma.logpdf,), *(between(1.1, 4, 3, 4),) * 2),
    *_each("jax.scipy.stats.t", (stats.t.logpdf,), *(between(1.1, 4, 3, 4),) * 2),
    *_each("jax.scipy.stats.chi2", (stats.chi2.logpdf,), *(between(1.1, 4, 3, 4),) * 2),
    *_each("jax.scipy.stats.beta", (stats.beta.logpdf,), between(0.1, 0.9, 5), *(between(1.1, 4, 5),) * 2),
    *_each("jax.numpy", _NUMPY, normal(3, 4)),
    *_each("jax.numpy", _NUMPY_PAIRS, normal(5), normal(5)),
    *_each("jax.numpy", (jnp.float_power,), between(0.5, 2, 5), normal(5)),
    *_each("complex", _OF_COMPLEX, complex_normal(3, 4)),
    *_each("complex", (jnp.multiply, jnp.divide, jnp.vdot), complex_normal(3, 4), complex_normal(3, 4)),
    *_each("complex", (jnp.linalg.solve,), complex_normal(4, 4), complex_normal(4, 3)),
    *_each("complex", _TRANSFORMS, complex_normal(3, 5)),
    *_each("jax.numpy.fft", (jnp.fft.rfft,), normal(3, 5)),
    *_each("linalg", _MATRIX, definite),
    *_each("linalg", (jnp.linalg.solve, linalg.solve_triangular), definite, normal(4, 3)),
    *_each("linalg", _BY_SINGULAR_VALUES, normal(5, 3), skip=_SINGULAR),
    *_each("optax", _LOSSES_OF_CLASSES, normal(3, 4), simplex(3, 4)),
    # Its gradient by a label of 0 or 1 is not its slope: JAX's logsumexp has none by a factor b of 0.
    *_each("optax", (optax.sigmoid_focal_loss,), normal(3, 4), simplex(3, 4), skip=("special inputs",)),
    *_each("optax", _LOSSES_OF_NUMBERS, normal(3, 4), whole(4, 3)),
    *_each("optax", (optax.losses.hinge_loss, optax.losses.sparsemax_loss), normal(5), whole(2, 5)),
    *_each("optax", (optax.losses.triplet_margin_loss,), *(normal(3, 4),) * 3),
    *_each("optax.projections", _PROJECTIONS, normal(5)),
    *_each("optax", (partial(optax.scale_gradient, scale=1.0),), normal(3, 4)),
    *COMPOSED,
)
"""All of them."""
