"""The parts of a transformer, each a chain of other layers.

    self-attention     x → (q, k, v) = x W → heads → softmax(q kᵀ / √d) v → W
    gated MLP          x → (g, u) = x W → φ(g) ⊙ u → W
    block              x + attention(norm(x)),  then  x + mlp(norm(x))

A. Vaswani et al., "Attention is all you need", NeurIPS, 2017.  J. Ainslie et al., "GQA: training generalized
multi-query transformer models from multi-head checkpoints", EMNLP, 2023, for fewer heads of keys and values.
N. Shazeer, "GLU variants improve transformer", arXiv:2002.05202, 2020.
"""

from collections.abc import Callable
from typing import Literal, get_args

from ._activations import swiglu
from ._branches import parallel, residual
from ._chain import Chain, chain
from ._checkpoint import checkpoint
from ._dropout import dropout as dropped
from ._layer import Layer, check_positive
from ._linear import linear
from ._normalisation import rms_norm
from ._sequences import dot_product_attention, rotary_embedding
from ._shapes import reshape, split

Keep = Literal["all", "attention", "inputs"]


def self_attention(
    width: int,
    heads: int,
    *,
    kv_heads: int | None = None,
    is_causal: bool = False,
    rotary: bool = False,
    bias: bool = False,
) -> Chain:
    """Attention of a sequence (time, width) to itself, with the linear layers before and after it.

    Args:
      width: of the sequence, and of all heads of queries together.
      heads: of queries; they divide width.
      kv_heads: of keys and values; they divide heads, and are as many unless given.
      is_causal: whether a step sees none that come later.
      rotary: whether queries and keys are turned by their place in time.
      bias: whether the linear layers have one.

    Raises:
      ValueError: a number is not positive, or the heads do not divide.
    """
    before, attention = _attention("self_attention", width, heads, kv_heads, is_causal, rotary, bias)
    return chain(*before, *attention)


def _attention(maker, width, heads, kv_heads, is_causal, rotary, bias):
    """What makes queries, keys and values, and the rest."""
    kv_heads = heads if kv_heads is None else kv_heads
    check_positive(maker, width=width, heads=heads, kv_heads=kv_heads)
    for name, number, whole in ("heads", heads, width), ("kv_heads", kv_heads, heads):
        if whole % number:
            raise ValueError(f"{maker}: {name}, wanted a number that divides {whole}, got {number}")
    size = width // heads
    turned = (rotary_embedding(),) if rotary else ()
    queries, keys = (chain(reshape(-1, n, size), *turned) for n in (heads, kv_heads))
    sizes = width, kv_heads * size, kv_heads * size
    apart = split(*sizes), parallel(queries, keys, reshape(-1, kv_heads, size), split=True)
    attend = dot_product_attention(is_causal=is_causal), reshape(-1, width), linear(width, bias=bias)
    return (linear(sum(sizes), bias=bias), *apart), attend


def gated_mlp(width: int, inner: int, *, gate: Callable[[], Layer] = swiglu, bias: bool = False) -> Chain:
    """φ(x W) ⊙ (x V), and a linear layer back: two linear layers in one product, a gate, and a third.

    Args:
      width: of the input and the output.
      inner: of what the gate multiplies.
      gate: the function that makes the gate, such as `layers.geglu`.
      bias: whether the linear layers have one.

    Raises:
      ValueError: a number is not positive.
    """
    check_positive("gated_mlp", width=width, inner=inner)
    return chain(linear(2 * inner, bias=bias), gate(), linear(width, bias=bias))


def transformer_block(
    width: int,
    heads: int,
    inner: int | None = None,
    *,
    kv_heads: int | None = None,
    is_causal: bool = True,
    rotary: bool = True,
    dropout: float = 0.0,
    norm: Callable[[], Layer] = rms_norm,
    keep: Keep = "all",
) -> Layer:
    """Attention and a gated MLP, each behind a norm and beside a shortcut: a block to stack.

    Args:
      width: of the sequence (time, width).
      heads: of queries.
      inner: of the MLP; 8/3 of the width, rounded up to a multiple of 8, unless given.
      kv_heads: of keys and values; as many as of queries unless given.
      is_causal: whether a step sees none that come later.
      rotary: whether queries and keys are turned by their place in time.
      dropout: the probability that an entry is dropped at the end of either part, in training.
      norm: the function that makes the norms, such as `layers.layer_norm`.
      keep: what is kept for the backward pass, and not computed again: "all"; the "attention" alone, and the inputs of
        what stands before and behind it; or the block's "inputs".

    Raises:
      ValueError: a number is not positive, the heads do not divide, or there is no such keep.
    """
    if keep not in get_args(Keep):
        raise ValueError(f"transformer_block: keep, wanted one of {', '.join(get_args(Keep))}, got {keep!r}")
    inner = -(-width // 3) * 8 if inner is None else inner
    ends = (dropped(dropout),) if dropout else ()
    before, attention = _attention("transformer_block", width, heads, kv_heads, is_causal, rotary, False)
    before, mlp = (norm(), *before), (norm(), gated_mlp(width, inner), *ends)
    if keep == "attention":
        before, mlp = (checkpoint(*before),), (checkpoint(*mlp),)
    block = chain(residual(*before, *attention, *ends), residual(*mlp))
    return checkpoint(block) if keep == "inputs" else block
