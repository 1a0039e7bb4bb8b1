"""Cases of the embedding: numbers that occur more than once.

The padding row has gradient 0 on purpose, where its derivative is not; no number here names it, it has its own test.
"""

from functools import partial

import jax.numpy as jnp

from jbackprop import rules

from ._case import Case, classes, normal


def _by_product(table, ids):
    """k is a row of the table, c a feature."""
    chosen = (ids[..., None] == jnp.arange(len(table))).astype(table.dtype)
    return jnp.einsum("...k,kc->...c", chosen, table)


EMBEDDING = (
    Case(
        "embedding",
        rules.embedding,
        _by_product,
        (normal(3, 7), classes(3, 5)),
        ("int32[5]", "float32[3,0]"),
        (normal(32000, 512), classes(32000, 4096)),
    ),
    Case(
        "embedding, no batch axis",
        rules.embedding,
        _by_product,
        (normal(3, 7), classes(3)),
        ("int32[]", "float32[3,0]"),
        variant_of="embedding",
    ),
    Case(
        "embedding, padding_index, two batch axes",
        partial(rules.embedding, padding_index=3),
        _by_product,
        (normal(4, 7), classes(3, 2, 5)),
        ("int32[2,5]", "float32[4,0]"),
        (normal(32000, 512), classes(32000, 8, 512)),
    ),
)
