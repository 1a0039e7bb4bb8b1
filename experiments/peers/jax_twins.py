"""The rules as jax.nn, jax.numpy, jax.lax and optax have them, under our names and options."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def linear(x, w, b=None):
    return x @ w if b is None else x @ w + b


def mlp_block(x, w1, b1, w2, b2):
    return linear(jax.nn.gelu(linear(x, w1, b1)), w2, b2)


def gated(activation):
    return lambda gate, value, **options: activation(gate, **options) * value


def summed(loss):
    """optax leaves the features apart."""
    return lambda a, y, **options: loss(a, y, **options).sum(-1)


def softmax_cross_entropy(logits, targets):
    hard = optax.softmax_cross_entropy_with_integer_labels
    return hard(logits, targets) if targets.ndim < logits.ndim else optax.softmax_cross_entropy(logits, targets)


def linear_softmax_cross_entropy(x, w, b, labels, **options):
    return optax.softmax_cross_entropy_with_integer_labels(linear(x, w, b), labels)


def layer_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    y = jax.nn.standardize(x, epsilon=eps)
    return (y if scale is None else y * scale) + (0 if offset is None else offset)


TWINS: dict[str, Callable] = {
    "linear": linear,
    "mlp_block": mlp_block,
    **{name: getattr(jax.nn, name) for name in ("relu", "leaky_relu", "elu", "selu", "sigmoid", "softplus", "silu")},
    **{name: getattr(jax.nn, name) for name in ("gelu", "relu6", "hard_tanh", "hard_sigmoid", "hard_silu", "celu")},
    **{name: getattr(jax.nn, name) for name in ("log_sigmoid", "soft_sign", "squareplus", "mish", "glu")},
    **{name: getattr(jax.nn, name) for name in ("sparse_plus", "sparse_sigmoid")},
    **{name: getattr(jax.nn, name) for name in ("softmax", "log_softmax", "logsumexp")},
    "tanh": jnp.tanh,
    "swiglu": gated(jax.nn.silu),
    "geglu": gated(jax.nn.gelu),
    "reglu": gated(jax.nn.relu),
    "squared_error": summed(optax.l2_loss),
    "sigmoid_cross_entropy": summed(optax.sigmoid_binary_cross_entropy),
    "softmax_cross_entropy": softmax_cross_entropy,
    "linear_softmax_cross_entropy": linear_softmax_cross_entropy,
    "huber": summed(optax.huber_loss),
    "log_cosh": summed(optax.log_cosh),
    "sigmoid_focal": summed(optax.sigmoid_focal_loss),
    "kl_divergence": optax.losses.kl_divergence,
    "kl_divergence_with_log_targets": optax.losses.kl_divergence_with_log_targets,
    "cosine_similarity": optax.cosine_similarity,
    "cosine_distance": optax.cosine_distance,
    "nt_xent": optax.losses.ntxent,
    "multiclass_hinge": optax.losses.multiclass_hinge_loss,
    "triplet": optax.losses.triplet_margin_loss,
    "layer_norm": layer_norm,
}
