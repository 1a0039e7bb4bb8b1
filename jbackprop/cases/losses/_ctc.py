"""Cases of CTC, with padded frames, padded labels and repeated labels."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from jbackprop import rules
from jbackprop.cases._case import Case, fixed, normal


def _reference(logits, logit_paddings, labels, label_paddings, blank_id=0):
    """`optax.ctc_loss`, which has one batch axis, and takes paddings as numbers."""
    batch = logits.shape[:-2]
    arrays = (logits, logit_paddings.astype(logits.dtype), labels, label_paddings.astype(logits.dtype))
    flat = (a.reshape(-1, *a.shape[len(batch) :]) for a in arrays)
    return optax.ctc_loss(*flat, blank_id=blank_id, log_epsilon=-1e10).reshape(batch)


_LABELS = ((1, 1, 2), (3, 2, 4), (4, 0, 0))
_LABEL_PADDINGS = ((0, 0, 0), (0, 0, 1), (0, 1, 1))
_PADDINGS = ((0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1), (0, 0, 1, 1, 1, 1))


def _padded(least, *shape):
    """1 behind a random number of entries along the last axis, of at least so many."""

    def draw(key, dtype):
        lengths = jax.random.randint(key, (*shape[:-1], 1), least, shape[-1] + 1)
        return (jnp.arange(shape[-1]) >= lengths).astype(jnp.int32)

    return draw


def _labels(classes, *shape):
    return lambda key, dtype: jax.random.randint(key, shape, 1, classes)


def _kept(batch):
    time = f"{batch}6"
    return (
        f"float32[{time},5]",
        f"int32[{time}]",
        f"int32[{batch}3]",
        f"int32[{batch}3]",
        f"float32[{time},1]",
        f"float32[{time},1]",
        f"float32[6,{batch}7]",
        f"float32[{batch}7]",
    )


CTC = (
    Case(
        "ctc",
        rules.ctc,
        _reference,
        (normal(3, 6, 5), fixed(_PADDINGS), fixed(_LABELS), fixed(_LABEL_PADDINGS)),
        _kept("3,"),
        (normal(16, 256, 128), _padded(192, 16, 256), _labels(128, 16, 32), _padded(16, 16, 32)),
    ),
    Case(
        "ctc, another blank, no batch axis",
        partial(rules.ctc, blank_id=3),
        partial(_reference, blank_id=3),
        (normal(6, 5), fixed(_PADDINGS[1]), fixed((0, 2, 2)), fixed((0, 0, 0))),
        _kept(""),
        variant_of="ctc",
    ),
    Case(
        "ctc, two batch axes",
        rules.ctc,
        _reference,
        (normal(1, 3, 6, 5), *(fixed([values]) for values in (_PADDINGS, _LABELS, _LABEL_PADDINGS))),
        _kept("1,3,"),
        variant_of="ctc",
    ),
)
