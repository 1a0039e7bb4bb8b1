"""O = softmax(scale Q Kᵀ + B) V for each head, without keeping the softmax.

For one head, i a query and j a key, with q already scaled:

    S_ij = Σ_c q_ic k_jc + B_ij, −∞ where masked       E_ij = e^{S_ij − m_i}, m_i = max_j S_ij
    L_i = Σ_j E_ij        P_ij = E_ij / L_i            O_ic = Σ_j P_ij v_jc

The logarithm of the sum of exponentials is m + log L.  Both are brought up to date tile by tile of keys, as O is:

    m' = max(m, max S)        L' = L e^{m − m'} + Σ e^{S − m'}        O' = O e^{m − m'} + e^{S − m'} V

With dO = ∂C/∂O given, and since Σ_j P_ij dP_ij = Σ_c dO_ic O_ic (both are Σ_jc dO_ic P_ij v_jc), the sum along a row
of the softmax's pull-back is known before the row is, and so each tile's part of the gradients:

    ∂C/∂v_jc = Σ_i P_ij dO_ic                          dV = Pᵀ dO
    ∂C/∂P_ij = Σ_c dO_ic v_jc                          dP = dO Vᵀ
    ∂C/∂S_ij = P_ij (dP_ij − Σ_k P_ik dP_ik)           dS = P ⊙ (dP − Σ_c dO ⊙ O) = ∂C/∂B
    ∂C/∂q_ic = Σ_j dS_ij k_jc                          dQ = scale dS K        q = scale Q
    ∂C/∂k_jc = Σ_i dS_ij q_ic                          dK = dSᵀ q, summed over the query heads that share a key head

The backward pass makes Pᵀ and dSᵀ, keys first: then two of its three sums are products of rows with columns as they
stand in memory, and dQᵀ = Kᵀ dSᵀ, the third, has to turn K alone, the smallest factor.

Kept: the arguments, the output, and the two numbers m and L for each query and head, 2 T numbers a head instead of the
T² of P.  Their logarithm m + log L alone would not do: where S is large, log L is lost in its rounding.

A query for which every key is masked has L = 0: its output and its gradients are 0.

T. Dao, "FlashAttention-2: faster attention with better parallelism and work partitioning", ICLR, 2024.
M. N. Rabe, C. Staats, "Self-attention does not need O(n²) memory", arXiv:2112.05682, 2021.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

from jbackprop.rules._arrays import computed_once, cotangent, rows, wide_dtype, widen, within
from jbackprop.rules._meshes import laid, layout, varied_like, whole_on_one
from jbackprop.rules._options import Scalar, of_numbers

from . import _cudnn
from ._arguments import check_attention, check_implementation, scaled_before
from ._shares import (
    for_each_share,
    heads_apart,
    heads_together,
    join_heads,
    places_of,
    places_of_numbers,
    split_heads,
)
from ._tiles import (
    Arguments,
    add,
    add_matrix,
    biased,
    flattened,
    heads_first,
    masked,
    over_heads,
    over_tiles,
    part_of_head,
    places,
    put,
    queries,
    seen,
    sequences,
    summed_to,
    take,
    tiling,
    unflattened,
)

Window = int | tuple[int, int] | None
Implementation = Literal["xla", "cudnn"] | None


@partial(of_numbers, nondiff_argnames=("scale", "is_causal", "local_window_size", "block_size", "implementation"))
def dot_product_attention(
    query: Float[Array, "*batch time heads depth"],
    key: Float[Array, "*batch source key_heads depth"],
    value: Float[Array, "*batch source key_heads value_depth"],
    bias: Float[Array, "..."] | None = None,
    mask: Bool[Array, "..."] | None = None,
    query_seq_lengths: Integer[Array, "*batch"] | None = None,
    key_value_seq_lengths: Integer[Array, "*batch"] | None = None,
    scale: Scalar | None = None,
    is_causal: bool = False,
    local_window_size: Window = None,
    block_size: int | None = None,
    implementation: Implementation = None,
) -> Float[Array, "*batch time heads value_depth"]:
    """Attention, with the arguments of `jax.nn.dot_product_attention` by name, without `return_residual`.

    A query that sees no key has output 0, where jax.nn has the mean of all values.  Unlike
    `flax.linen.dot_product_attention` it has no dropout, and half precision is computed in float32.

    Args:
      query: Q; its heads are a multiple of the key heads, and neighbours share a key head.
      key: K.
      value: V.
      bias: B, to be added to the scaled products; it broadcasts to (*batch, heads, time, source).
      mask: True where a query may look at a key; it broadcasts as the bias does.
      query_seq_lengths: how many queries of each example count; the outputs of the others are 0.
      key_value_seq_lengths: how many keys of each example count.
      scale: of the products, 1/√depth unless given.  One that is an array multiplies the query before, which is rounded
        to its dtype again.
      is_causal: whether query i sees keys 0 to i only.
      local_window_size: how many keys to the left and to the right of its own place a query sees; one number for both.
      block_size: how many queries and keys to take at a time; it leaves at most 2²⁰ tiles.
      implementation: "xla", the tiles of this module, or "cudnn", the kernels of NVIDIA's library; the latter unless
        given, where it can: on an NVIDIA GPU as JAX's default device when this is traced, with jax 0.11.1 or later, in
        bfloat16 or float16, for equal depths of key and value that are a multiple of 8 up to 128 (256 since Hopper) and
        sequences of at least 64, without block size, explicit mesh or `shard_map`; a window has to be one to the left
        and without key lengths, a bias of the query's dtype, and with a bias or mask the sequences even: there is a
        number in memory for each logit that has its own then, of which there may be 2²⁹.  Its backward half is not
        deterministic unless XLA is told so; second derivatives are those of the tiles.  For another platform than the
        default device's (`jax.export`, a CPU beside a GPU) name "xla".

    Returns:
      The output in the query's dtype; half precision is computed in float32.

    Raises:
      TypeError: an argument has the wrong kind of numbers.
      ValueError: shapes or options do not belong together, a length that is known is longer than the sequence, or the
        implementation cannot take the call.
    """
    arrays = query, key, value, bias, mask, query_seq_lengths, key_value_seq_lengths
    options = scale, is_causal, local_window_size, block_size, implementation
    return _dot_product_attention_fwd(*arrays, *options)[0]


def _dot_product_attention_fwd(
    query, key, value, bias, mask, query_lengths, key_lengths, scale, is_causal, window, block_size, implementation
):
    given = Arguments(query, key, value, bias, mask, query_lengths, key_lengths)
    check_attention(given, window, block_size)
    refusal = _cudnn.refusal(given, is_causal, window, block_size)
    check_implementation(implementation, refusal)
    if not refusal and implementation != "xla":
        out, pull = _cudnn.forward(given, _on_tiles(scale, is_causal, window), scale, is_causal, window)
        return out, (given, pull)
    out, largest, total = _forward(given, scale, is_causal, window, block_size)
    return out, (given, out, largest, total)


def _dot_product_attention_bwd(scale, is_causal, window, block_size, implementation, residuals, dout):
    given, *kept = residuals
    if len(kept) == 1:
        (pull,) = kept
        gradients = _cudnn.backward(given, pull, dout, _on_tiles(scale, is_causal, window))
    else:
        gradients = _backward(given, *kept, dout, scale, is_causal, window, block_size)
    gradients = tuple(map(cotangent, given, gradients))
    return *gradients, *[None] * (len(given) - len(gradients))  # mask and lengths, and a bias that was not given


dot_product_attention.defvjp(_dot_product_attention_fwd, _dot_product_attention_bwd)


dot_product_attention.deftraced(partial(scaled_before, dot_product_attention), "scale")


_OPTIONS = ("scale", "is_causal", "window", "block_size")  # compiled once, also for calls outside jit


@partial(jax.jit, static_argnames=_OPTIONS)
def _forward(given, scale, is_causal, window, block_size):
    """O, and m and L as (*batch, heads, padded time)."""
    of_query, (given,) = layout(given.query), whole_on_one(given)
    arrays = heads_apart(given)

    def share(*arrays):
        given = heads_together(Arguments(*arrays))
        cut = tiling(given, scale, is_causal, window, block_size)
        flat = flattened(given, cut)
        out, *numbers = over_heads(lambda at: _head_forward(flat, at, cut), places(given))
        batch, (shared, sharing) = given.query.shape[:-3], arrays[0].shape[-3:-1]
        numbers = (array.reshape(*batch, shared, sharing, array.shape[-1]) for array in numbers)
        return split_heads(unflattened(out, given.query), shared, -2), *numbers

    axes, numbers = places_of(arrays), places_of_numbers(arrays)
    out, largest, total = for_each_share(share, arrays, axes, (axes.query, numbers, numbers))
    return laid(join_heads(out, -3), of_query[:-1]), join_heads(largest, -3), join_heads(total, -3)


@partial(jax.jit, static_argnames=_OPTIONS)
def _backward(given, out, largest, total, dout, scale, is_causal, window, block_size):
    """dQ, dK, dV and dB."""
    given, out, largest, total, dout = whole_on_one(given, out, largest, total, dout)
    arrays, shared = heads_apart(given), given.key.shape[-2]
    axes, numbers = places_of(arrays), places_of_numbers(arrays)
    outputs = (split_heads(array, shared, -2) for array in (out, dout, largest, total))
    share = partial(_share_backward, scale=scale, is_causal=is_causal, window=window, block_size=block_size)
    dquery, dkey, dvalue, dbias = for_each_share(
        share, (*arrays, *outputs), (*axes, axes.query, axes.query, numbers, numbers), axes[:4]
    )
    return join_heads(dquery, -3), dkey, dvalue, None if dbias is None else dbias.reshape(given.bias.shape)


def _share_backward(*arrays, scale, is_causal, window, block_size):
    """dQ, dK, dV and dB of a share."""
    given, shared = heads_together(Arguments(*arrays[:7])), arrays[0].shape[-3]
    out, dout = (join_heads(array, -3) for array in arrays[7:9])
    largest, total = (rows(array) for array in arrays[9:])
    cut = tiling(given, scale, is_causal, window, block_size)
    flat, inverse = flattened(given, cut), _inverse(total)
    row_sum = heads_first(widen(out) * widen(dout), cut.rows).sum(axis=-1) * inverse
    dout = sequences(within(dout, given.query_lengths, trailing=2), cut.rows)
    dquery, dkey, dvalue, dbias = over_heads(
        lambda at, *numbers: _head_backward(flat, dout, at, numbers, cut), places(given), largest, inverse, row_sum
    )
    return (
        split_heads(unflattened(jnp.swapaxes(dquery, 1, 2), given.query), shared, -2),
        unflattened(dkey, given.key),
        unflattened(dvalue, given.value),
        None if given.bias is None else split_heads(summed_to(dbias, given, cut), arrays[3].shape[-4], -3),
    )


def _head_forward(flat, at, cut):
    """O (time, value_depth), m and L (time) of one head."""

    def step(carry, tile):
        out, largest, total = (take(array, tile, cut) for array in carry)
        logits = queries(flat, at, tile, cut) @ part_of_head(flat.key, at.key, tile.column, cut.columns).T
        logits = masked(biased(logits, flat, at, tile, cut), seen(flat, at, tile, cut), -jnp.inf)
        larger = jnp.maximum(largest, lax.stop_gradient(logits.max(axis=-1)))
        e, shrink = jnp.exp(logits - larger[:, None]), jnp.exp(largest - larger)
        out = out * shrink[:, None] + e @ part_of_head(flat.value, at.value, tile.column, cut.columns)
        total = total * shrink + e.sum(axis=-1)
        return tuple(put(array, new, tile) for array, new in zip(carry, (out, larger, total), strict=True))

    nothing = jnp.zeros((flat.query.shape[1], flat.value.shape[-1]), wide_dtype(flat.query, flat.value))
    lowest = jnp.full_like(nothing[:, 0], jnp.finfo(nothing.dtype).min)
    out, largest, total = over_tiles(step, varied_like((nothing, lowest, nothing[:, 0]), flat), cut)
    return out * _inverse(total)[:, None], largest, total


def _head_backward(flat, dout, at, numbers, cut):
    """dQᵀ, dK, dV and dB of one head, from m, 1 / L and Σ dO ⊙ O / L of its queries."""

    def step(carry, tile):
        dquery, dkey, dvalue, dbias = carry
        largest, inverse, row_sum = (take(array, tile, cut) for array in numbers)
        query, key = queries(flat, at, tile, cut), part_of_head(flat.key, at.key, tile.column, cut.columns)
        # P = E / L, and the division is cheapest here.
        pull = part_of_head(dout, at.query, tile.row, cut.rows) * inverse[:, None]
        sight = seen(flat, at, tile, cut, turned=True)
        e = jnp.exp(
            masked(biased(_turned_logits(query, key), flat, at, tile, cut, turned=True), sight, -jnp.inf)
            - largest[None]
        )
        dlogits = masked(
            e * (part_of_head(flat.value, at.value, tile.column, cut.columns) @ pull.T - row_sum[None]), sight, 0
        )
        return (
            add(dquery, key.T @ dlogits * cut.scale, tile.row, axis=1),
            add(dkey, dlogits @ query, tile.column),
            add(dvalue, e @ pull, tile.column),
            None if dbias is None else add_matrix(dbias, dlogits.T, tile),
        )

    dquery, dkey, dvalue = (jnp.zeros((x.shape[1], x.shape[-1]), wide_dtype(x)) for x in flat[:3])
    dbias = None if flat.bias is None else jnp.zeros(flat.bias.shape[1:], wide_dtype(flat.bias))
    return over_tiles(step, varied_like((dquery.T, dkey, dvalue, dbias), flat, dout, numbers), cut)


def _turned_logits(query, key):
    """K qᵀ, to the bit what the forward pass had: e / L is 1 for the one key that a query sees only then.

    XLA on a CPU rounds a small product otherwise than its transpose, into which it would turn this one.
    """
    return key @ query.T if min(len(query), len(key)) >= _LARGE else computed_once(query @ key.T).T


_LARGE = 64


def _on_tiles(scale, is_causal, window):
    """Both halves."""
    options = scale, is_causal, window, None

    def out(given):
        return _forward(given, *options)[0]

    def gradients(given, dout):
        return _backward(given, *_forward(given, *options), dout, *options)

    return out, gradients


def _inverse(total):
    return 1 / jnp.where(total == 0, 1, total)
