"""Inner products of gradients from their factors, without the gradients.

With ∂C_i/∂p = Σ_t l_itᵀ r_it, and h_j of other factors likewise,

    ⟨g_i, h_j⟩ = Σ_t Σ_s ⟨l_it, l'_js⟩ ⟨r_it, r'_js⟩        a product of two small matrices, entry by entry

since ⟨lᵀ r, l'ᵀ r'⟩ = tr(rᵀ l l'ᵀ r') = ⟨l, l'⟩ ⟨r, r'⟩.  Against a one-hot l the inner product is an entry looked up,
and of two one-hot ones it says whether they are the same row.

X. Li, F. Tramèr, P. Liang, T. Hashimoto, "Large language models can be strong differentially private learners",
ICLR, 2022, who called this for squared norms ghost clipping.
"""

import math

import jax
import jax.numpy as jnp

from jbackprop.rules import OneHot, Product

Side = jax.Array | OneHot


def paired(one: Product, other: Product) -> jax.Array:
    """⟨g_i, h_i⟩ of each example, (examples,)."""
    left, right = (_gram(_sequence(a), _sequence(b)) for a, b in zip(one, other, strict=True))
    return (left * right).sum((1, 2))


def crossed(one: Product, other: Product) -> jax.Array:
    """⟨g_i, h_j⟩ of every two examples, (examples, other examples)."""
    left, right = (_gram(_together(a), _together(b))[0] for a, b in zip(one, other, strict=True))
    shape = *_examples_and_positions(one.left), *_examples_and_positions(other.left)
    return (left * right).reshape(shape).sum((1, 3))


def positions(side: Side) -> int:
    """How many rows an example has."""
    return _examples_and_positions(side)[1]


def _gram(a: Side, b: Side) -> jax.Array:
    """⟨a_nt, b_ns⟩, (n, t, s), in float32 at least."""
    match a, b:
        case OneHot(), OneHot():
            return (a.ids[:, :, None] == b.ids[:, None, :]).astype(jnp.float32)
        case OneHot(), _:
            return _wide(_looked_up(b, a.ids))
        case _, OneHot():
            return _wide(_looked_up(a, b.ids)).swapaxes(1, 2)
        case _ if a.shape[1] == b.shape[1] == 1:  # a product of single rows is slow
            return (_wide(a) * _wide(b)).sum(-1, keepdims=True)
        case _:
            return jnp.einsum("nti,nsi->nts", a, b, preferred_element_type=_wide_dtype(a, b))


def _looked_up(rows, ids):
    """(n, t, s): the entry t of row s."""
    return jnp.take_along_axis(rows, ids[:, None, :], axis=-1, mode="clip").swapaxes(1, 2)


def _sequence(side):
    """(examples, positions, features)."""
    return _reshaped(side, *_examples_and_positions(side))


def _together(side):
    """The same as one example."""
    return _reshaped(side, 1, math.prod(side.shape[:-1]))


def _reshaped(side, *leading):
    if isinstance(side, OneHot):
        return OneHot(side.ids.reshape(leading), side.size)
    return side.reshape(*leading, side.shape[-1])


def _examples_and_positions(side):
    examples, *others, _ = side.shape
    return examples, math.prod(others)


def _wide(array):
    return array.astype(_wide_dtype(array))


def _wide_dtype(*arrays):
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)
