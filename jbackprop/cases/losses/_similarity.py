"""Cases of the cosine, of the contrastive loss and of the losses with a margin."""

from functools import partial

import jax.numpy as jnp
import optax

from jbackprop import rules
from jbackprop.cases._case import Case, booleans, classes, counting, normal


def _cosine(a, b):
    return (a * b).sum(axis=-1) / jnp.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))


_PAIR = (normal(5, 7), normal(5, 7))
_KEPT = ("float32[5,7]", "float32[5,7]")
_AT_SCALE = (normal(512, 256), normal(512, 256))
_TRIPLET = (normal(5, 7), normal(5, 7), normal(5, 7))

SIMILARITY = (
    Case("cosine_similarity", rules.cosine_similarity, _cosine, _PAIR, _KEPT, _AT_SCALE),
    Case(
        "cosine_similarity, epsilon, two batch axes",
        partial(rules.cosine_similarity, epsilon=4.0),
        partial(optax.cosine_similarity, epsilon=4.0),
        (normal(2, 5, 7), normal(2, 5, 7)),
        ("float32[2,5,7]", "float32[2,5,7]"),
        (normal(8, 64, 256), normal(8, 64, 256)),
    ),
    Case(
        "cosine_similarity, axes 0 and 2, where",
        counting(rules.cosine_similarity, axis=(0, 2)),
        counting(optax.cosine_similarity, axis=(0, 2)),
        (normal(2, 5, 7), normal(2, 5, 7), booleans(5, 7)),
        ("float32[2,5,7]", "float32[2,5,7]", "bool[5,7]"),
    ),
    Case(
        "cosine_distance, no batch axis",
        rules.cosine_distance,
        lambda a, b: 1 - _cosine(a, b),
        (normal(7), normal(7)),
        ("float32[7]", "float32[7]"),
        (normal(256), normal(256)),
    ),
    Case(
        "nt_xent",
        partial(rules.nt_xent, temperature=0.5),
        partial(optax.losses.ntxent, temperature=0.5),
        (normal(11, 7), classes(3, 11)),
        ("float32[11,7]", "int32[11]"),
        (normal(512, 256), classes(64, 512)),
    ),
    Case(
        "multiclass_hinge",
        rules.multiclass_hinge,
        optax.losses.multiclass_hinge_loss,
        (normal(5, 7), classes(7, 5)),
        ("int32[5]", "int32[5]", "float32[0,5,7]"),
        (normal(512, 1000), classes(1000, 512)),
    ),
    Case(
        "triplet",
        rules.triplet,
        optax.losses.triplet_margin_loss,
        _TRIPLET,
        (*_KEPT, "float32[5,7]"),
        (*_AT_SCALE, normal(512, 256)),
    ),
    Case(
        "triplet, no margin",
        partial(rules.triplet, margin=0.0, eps=1e-3),
        partial(optax.losses.triplet_margin_loss, margin=0.0, eps=1e-3),
        _TRIPLET,
        (*_KEPT, "float32[5,7]"),
        (*_AT_SCALE, normal(512, 256)),
    ),
)
