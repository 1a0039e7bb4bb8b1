"""y = x ⊙ m / (1 − rate), m a random mask: each entry is 0 with probability rate, else 1.

The mask is a function of the key, not of x, so for one key the rule is linear in x:

    ∂C/∂x_i = ∂C/∂y_i · m_i / (1 − rate)        dx = dy ⊙ m / (1 − rate)
    ∂C/∂rate = Σ ∂C/∂y_i · y_i / (1 − rate)     for the mask as it is

Kept: the key.  The backward pass draws the mask from it again, so no array of x's size is kept; where forward and
backward are compiled together, XLA may decide to draw once and keep one byte an entry.

rate 0 is the identity; rate 1 is 0, and so is its gradient.

N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a simple way to prevent neural
networks from overfitting", JMLR 15, 2014.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from ._arrays import check_floating, check_key, widen
from ._options import Scalar, check_share, of_numbers


@partial(of_numbers, nondiff_argnames=("rate",))
def dropout(
    key: Key[Array, ""] | UInt32[Array, "..."], x: Float[Array, "*shape"], rate: Scalar = 0.5
) -> Float[Array, "*shape"]:
    """x with entries set to zero at random, the others scaled so that the expectation is x.

    Args:
      key: of `jax.random`, new style or old; the same key gives the same mask, that of
        `jax.random.bernoulli(key, 1 - rate, x.shape)`, which Flax draws too.
      x: any array.
      rate: the probability that an entry is dropped.

    Raises:
      TypeError: x is not floating point, or key is not one key.
      ValueError: rate is not in [0, 1].
    """
    return _dropout_fwd(key, x, rate)[0]


def _dropout_fwd(key, x, rate):
    check_key("dropout", key)
    check_floating("dropout", x=x)
    check_share("dropout", rate=rate)
    return _masked(key, x, rate), key


def _dropout_bwd(rate, key, dy):
    return None, _masked(key, dy, rate)


dropout.defvjp(_dropout_fwd, _dropout_bwd)


def _masked(key, x, rate):
    """x ⊙ m / (1 − rate), which is both passes."""
    if not isinstance(rate, jax.Array) and rate in (0, 1):
        return x if rate == 0 else jnp.zeros_like(x)
    kept = jax.random.bernoulli(key, _drawn_with(1 - rate), x.shape)
    return jnp.where(kept, widen(x) / (1 - rate), 0).astype(x.dtype)


def _drawn_with(share):
    """The probability in the dtype that Python's numbers have: it is that of the random numbers."""
    return share.astype(jnp.result_type(float)) if isinstance(share, jax.Array) else share


def _by_rate(given, key, dy):
    """dy ⊙ x ⊙ m / (1 − rate)², summed; 0 where all are dropped."""
    rate, products = given["rate"], widen(dy) * widen(given["x"])
    return _masked(key, products, rate).sum() / jnp.where(rate < 1, 1 - rate, 1)


dropout.defnumbers(rate=_by_rate)
