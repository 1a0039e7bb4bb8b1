"""The library's own table of local derivatives: one line a primitive wherever one line says it.

Each line reads: primitive, then for each operand the local gradient in symbols and as a function.  Kinks follow JAX:
relu has 0 at 0; of two equal numbers max and min give each ½, of n equal ones reduce_max and reduce_min each 1/n, in a
window of reduce_window_max the first everything; clamp has 0 at its bounds.  |x| alone has 0 at 0, its least point,
where JAX has 1.
"""

import math

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import digamma, polygamma

from jbackprop.report import superscript

from ._convolution import convolution_image, convolution_kernel
from ._maps import (
    cumulative,
    dot_left,
    dot_right,
    dot_text,
    largest,
    others,
    part,
    routed,
    row,
    scattered,
    sorted_back,
    spread,
    top_back,
)
from ._rules import Factor, Linear, derivative
from ._windows import pooled_max, pooled_sum

# ----- one operand, element by element --------------------------------------------------------
derivative("neg", Factor("(−1)", lambda c: -jnp.ones_like(c.x)))
derivative("sin", Factor("cos {x}", lambda c: jnp.cos(c.x)))
derivative("cos", Factor("(−sin {x})", lambda c: -jnp.sin(c.x)))
derivative("tan", Factor("(1 + {y}²)", lambda c: 1 + c.y**2))
derivative("asin", Factor("1/√(1 − {x}²)", lambda c: lax.rsqrt(1 - c.x**2)))
derivative("acos", Factor("(−1/√(1 − {x}²))", lambda c: -lax.rsqrt(1 - c.x**2)))
derivative("atan", Factor("1/(1 + {x}²)", lambda c: 1 / (1 + c.x**2)))
derivative("sinh", Factor("cosh {x}", lambda c: jnp.cosh(c.x)))
derivative("cosh", Factor("sinh {x}", lambda c: jnp.sinh(c.x)))
derivative("tanh", Factor("(1 − {y}²)", lambda c: (1 - c.y) * (1 + c.y)))
derivative("asinh", Factor("1/√({x}² + 1)", lambda c: lax.rsqrt(c.x**2 + 1)))
derivative("acosh", Factor("1/√({x}² − 1)", lambda c: lax.rsqrt((c.x - 1) * (c.x + 1))))
derivative("atanh", Factor("1/(1 − {x}²)", lambda c: 1 / (1 - c.x**2)))
derivative("exp", Factor("{y}", lambda c: c.y))
derivative("exp2", Factor("{y} ln 2", lambda c: c.y * math.log(2)))
derivative("log", Factor("1/{x}", lambda c: 1 / c.x))
derivative("expm1", Factor("({y} + 1)", lambda c: c.y + 1))
derivative("log1p", Factor("1/({x} + 1)", lambda c: 1 / (c.x + 1)))
derivative("sqrt", Factor("1/(2{y})", lambda c: 0.5 / c.y))
derivative("rsqrt", Factor("(−{y}/(2{x}))", lambda c: -0.5 * c.y / c.x))
derivative("cbrt", Factor("1/(3{y}²)", lambda c: 1 / (3 * c.y**2)))
derivative("logistic", Factor("{y}(1 − {y})", lambda c: c.y * (1 - c.y)))
derivative("erf", Factor("2/√π · e^(−{x}²)", lambda c: 2 / math.sqrt(math.pi) * jnp.exp(-(c.x**2))))
derivative("erfc", Factor("−2/√π · e^(−{x}²)", lambda c: -2 / math.sqrt(math.pi) * jnp.exp(-(c.x**2))))
derivative("erf_inv", Factor("√π/2 · e^({y}²)", lambda c: math.sqrt(math.pi) / 2 * jnp.exp(c.y**2)))
derivative("lgamma", Factor("ψ({x})", lambda c: digamma(c.x)))
derivative("digamma", Factor("ψ′({x})", lambda c: polygamma(1, c.x)))
derivative("relu", Factor("[{x} > 0]", lambda c: 1.0 * (c.x > 0)))
derivative("abs", Factor("sign {x}", lambda c: jnp.sign(c.x)))
derivative("square", Factor("2{x}", lambda c: 2 * c.x))
derivative(
    "integer_pow",
    Factor(lambda c: _power_text(c.params["y"]), lambda c: _power(c.x, c.params["y"])),
)
derivative("sign", None)
derivative("floor", None)
derivative("ceil", None)
derivative("round", None)
derivative("stop_gradient", None)
derivative("convert_element_type", Linear("{m}", lambda m, c: m.astype(c.x.dtype)))
derivative("reduce_precision", Linear("{m}", lambda m, c: m))
derivative("copy", Linear("{m}", lambda m, c: m))

# ----- two operands a, b, element by element --------------------------------------------------
derivative("add", Factor("1", lambda c: jnp.ones_like(c.y)))
derivative("add_any", Factor("1", lambda c: jnp.ones_like(c.y)))
derivative(
    "sub",
    Factor("1", lambda c: jnp.ones_like(c.y)),
    Factor("(−1)", lambda c: -jnp.ones_like(c.y)),
)
derivative("mul", Factor("{b}", lambda c: c.b), Factor("{a}", lambda c: c.a))
derivative("div", Factor("1/{b}", lambda c: 1 / c.b), Factor("(−{y}/{b})", lambda c: -c.y / c.b))
derivative("max", Factor("[{x} is larger]", lambda c: _wins(c, jnp.greater)))
derivative("min", Factor("[{x} is smaller]", lambda c: _wins(c, jnp.less)))
derivative(
    "pow",
    Factor("{b}·{a}^({b} − 1)", lambda c: _power(c.a, c.b)),
    Factor("{y} ln {a}", lambda c: c.y * jnp.log(jnp.where(c.a == 0, 1, c.a))),
)
derivative(
    "atan2",
    Factor("{b}/({a}² + {b}²)", lambda c: c.b / (c.a**2 + c.b**2)),
    Factor("(−{a}/({a}² + {b}²))", lambda c: -c.a / (c.a**2 + c.b**2)),
)
derivative(
    "rem",
    Factor("1", lambda c: jnp.ones_like(c.y)),
    Factor("(−trunc({a}/{b}))", lambda c: -jnp.trunc(c.a / c.b)),
)
derivative(  # the operands are lower bound, x, upper bound
    "clamp",
    Factor("[{y} is the lower bound]", lambda c: 1.0 * (c.operands[1] < c.operands[0])),
    Factor("[within the bounds]", lambda c: 1.0 * ((c.a < c.b) & (c.b < c.operands[2]))),
    Factor("[{y} is the upper bound]", lambda c: 1.0 * (c.operands[1] > c.operands[2])),
)

# ----- elements moved about: the messages go back where they came from ------------------------
derivative("reshape", Linear("{m} reshaped", routed))
derivative("transpose", Linear("{m}ᵀ", routed))
derivative("squeeze", Linear("{m} reshaped", routed))
derivative("broadcast_in_dim", Linear("Σ {m} over the copies", routed))
derivative("rev", Linear("{m} reversed", routed))
derivative("slice", Linear("{m} put back into zeros", routed))
derivative("dynamic_slice", Linear("{m} put back into zeros", routed), None)
derivative(
    "dynamic_update_slice",
    Linear("its part of {m}", routed),
    Linear("its part of {m}", routed),
    None,
)
derivative("gather", Linear("{m} added up where it was read", routed), None)
derivative("scatter", Linear("its part of {m}", routed), None, Linear("its part of {m}", routed))
derivative("concatenate", Linear("its part of {m}", part))
derivative("stack", Linear("its part of {m}", row))
derivative("split", Linear("{m} put back into zeros", routed))
derivative("pad", Linear("its part of {m}", routed))
derivative("tile", Linear("Σ {m} over the copies", routed))
derivative("select_n", None, Linear("{m} where {x} was chosen", routed))
derivative("sort", Linear("{m} in the old order", sorted_back))
derivative("top_k", Linear("{m} put back where it was read", top_back))
derivative(
    "scatter-add",
    Linear("{m}", lambda m, c: m),
    None,
    Linear("{m} read there", scattered),
)

# ----- reductions and running results ---------------------------------------------------------
derivative("reduce_sum", Linear("{m} to each element", spread))
derivative("reduce_max", Linear("{m} where {x} is the largest", largest))
derivative("reduce_min", Linear("{m} where {x} is the smallest", largest))
derivative("reduce_prod", Linear("{m} × the product of the others", others))
derivative("cumsum", Linear("Σ {m} from here on", cumulative(lambda y, x, new: (1.0, 1.0))))
derivative("cumprod", Linear("{m} run back", cumulative(lambda y, x, new: (x, y))))
derivative("cummax", Linear("{m} run back", cumulative(lambda y, x, new: (y > x, y <= x))))
derivative("cummin", Linear("{m} run back", cumulative(lambda y, x, new: (y < x, y >= x))))
derivative(
    "cumlogsumexp",
    Linear("{m} run back", cumulative(lambda y, x, new: (jnp.exp(y - new), jnp.exp(x - new)))),
)
derivative("reduce_window_sum", Linear("Σ {m} of the windows around", pooled_sum))
derivative("reduce_window_max", Linear("{m} where {x} was the largest", pooled_max))

# ----- products -------------------------------------------------------------------------------
derivative("dot_general", Linear(dot_text, dot_left), Linear(dot_text, dot_right))
derivative(
    "conv_general_dilated",
    Linear("{m} spread by {b}", convolution_image),
    Linear("{a} correlated with {m}", convolution_kernel),
)


def _power(x, n):
    """n xⁿ⁻¹, and 0 where n = 0."""
    return jnp.where(n == 0, 0, n * jnp.where(n == 0, 1, x) ** (n - 1))


def _power_text(n):
    return "2{x}" if n == 2 else f"({n}){{x}}{superscript(n - 1)}"


def _wins(call, better):
    """1 where the operand decides, ½ where both are equal."""
    other = call.operands[1 - call.position]
    return jnp.where(call.x == other, 0.5, 1.0 * better(call.x, other))
