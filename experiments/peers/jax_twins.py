"""The rules as jax.nn, jax.numpy, jax.lax and optax have them, under our names and options."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import lax


def linear(x, w, b=None):
    return x @ w if b is None else x @ w + b


def mlp_block(x, w1, b1, w2, b2):
    return linear(jax.nn.gelu(linear(x, w1, b1)), w2, b2)


def gated(activation):
    return lambda gate, value, **options: activation(gate, **options) * value


def summed(loss):
    """optax leaves the features apart."""
    return lambda a, y, **options: loss(a, y, **options).sum(-1)


def softmax_cross_entropy(logits, targets, ignore_index=None):
    if targets.ndim == logits.ndim:
        return optax.softmax_cross_entropy(logits, targets)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses if ignore_index is None else jnp.where(targets == ignore_index, 0, losses)


def linear_softmax_cross_entropy(x, w, b, labels, ignore_index=None):
    return softmax_cross_entropy(linear(x, w, b), labels, ignore_index)


def triplet(anchors, positives, negatives, margin=1.0, eps=1e-6):
    return optax.losses.triplet_margin_loss(anchors, positives, negatives, margin=margin, eps=eps)


def layer_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    y = jax.nn.standardize(x, epsilon=eps)
    return (y if scale is None else y * scale) + (0 if offset is None else offset)


def attention(query, key, value, block_size=None, **options):
    """`jax.nn` asks for a batch axis."""
    if query.ndim == 3:
        return attention(query[None], key[None], value[None], **options)[0]
    return jax.nn.dot_product_attention(query, key, value, **options)


def conv(x, kernel, bias=0, window_strides=None, padding="SAME", rhs_dilation=None, feature_group_count=None):
    """The number of groups is told by the shapes."""
    axes, groups = kernel.ndim - 2, x.shape[-1] // kernel.shape[-2]
    y = lax.conv_general_dilated(
        _one_batch_axis(x, axes),
        kernel,
        window_strides or (1,) * axes,
        padding,
        rhs_dilation=rhs_dilation,
        dimension_numbers=_channels_last(axes),
        feature_group_count=groups,
    )
    return y.reshape(*x.shape[: x.ndim - axes - 1], *y.shape[1:]) + bias


def conv_transpose(x, kernel, bias=0, strides=None, padding="SAME", rhs_dilation=None):
    axes = kernel.ndim - 2
    rows, numbers = _one_batch_axis(x, axes), _channels_last(axes)
    y = lax.conv_transpose(rows, kernel, strides or (1,) * axes, padding, rhs_dilation, numbers)
    return y.reshape(*x.shape[: x.ndim - axes - 1], *y.shape[1:]) + bias


def _one_batch_axis(x, axes):
    return x.reshape(-1, *x.shape[x.ndim - axes - 1 :])


def _channels_last(axes):
    letters = "DHW"[-axes:]
    return f"N{letters}C", f"{letters}IO", f"N{letters}C"


def lstm(x, w, u, b, c, h):
    """One time step at a time, as one writes it down."""

    def step(carry, x):
        c, h = carry
        i, f, g, o = jnp.split(x @ w + h @ u + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h

    last, y = lax.scan(step, (c, h), x.swapaxes(0, 1))
    return last, y.swapaxes(0, 1)


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
    "triplet": triplet,
    "layer_norm": layer_norm,
    "attention": attention,
    "embedding": lambda table, ids, padding_index=None: table[ids],
    "conv": conv,
    "conv_transpose": conv_transpose,
    "lstm": lstm,
    "linear_solve": lambda a, b: jnp.linalg.solve(a, b if b.ndim == a.ndim else b[..., None]).reshape(b.shape),
    "ctc": optax.ctc_loss,
}
