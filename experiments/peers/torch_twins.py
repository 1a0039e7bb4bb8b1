"""The rules in PyTorch: the same functions, by the same names and options, their gradients by PyTorch's autograd.

What PyTorch calls otherwise, or lays out otherwise, is turned round here; what only ours know, such as what to keep for
the backward pass, is let go.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from . import torch_images, torch_sequences

Twin = Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]


def linear(x, w, b=None):
    return functional.linear(x, w.T, b)


def mlp_block(x, w1, b1, w2, b2):
    return linear(gelu(linear(x, w1, b1)), w2, b2)


def gelu(z, approximate=True):
    return functional.gelu(z, approximate="tanh" if approximate else "none")


def prelu(z, slope):
    return torch.where(z < 0, slope * z, z)


def squareplus(z, b=4.0):
    return (z + torch.sqrt(z**2 + b)) / 2


def logsumexp(z, axis=None, keepdims=False):
    return torch.logsumexp(z, tuple(range(z.ndim)) if axis is None else axis, keepdims)


def log_softmax(z, axis=-1):
    return torch.log_softmax(z, axis) if isinstance(axis, int) else z - torch.logsumexp(z, axis, keepdim=True)


def gated(activation):
    return lambda gate, value, **options: activation(gate, **options) * value


def summed(loss):
    """PyTorch leaves the features apart."""
    return lambda a, y, **options: loss(a, y, reduction="none", **options).sum(-1)


def squared_error(a, y):
    return ((a - y) ** 2).sum(-1) / 2


def log_cosh(a, y):
    return torch.log(torch.cosh(a - y)).sum(-1)


def sigmoid_cross_entropy(logits, labels):
    return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none").sum(-1)


def sigmoid_focal(logits, labels, alpha=None, gamma=2.0):
    y, p = labels.to(logits.dtype), torch.sigmoid(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return (weight * ((1 - y) * p + y * (1 - p)) ** gamma * entropy).sum(-1)


def softmax_cross_entropy(logits, targets, weights=None, where=None, z_loss=0.0, **options):
    rows = logits.reshape(-1, logits.shape[-1])
    of_rows = targets.reshape(rows.shape) if targets.ndim == logits.ndim else targets.reshape(-1)
    losses = functional.cross_entropy(rows, of_rows, reduction="none", **options)
    if weights is not None:  # PyTorch gives its own class weights no gradient
        losses = losses * weights[of_rows]
    losses = (losses + z_loss * torch.logsumexp(rows, -1) ** 2).reshape(logits.shape[:-1])
    return losses if where is None else torch.where(where, losses, 0)


def linear_softmax_cross_entropy(x, w, b, labels, chunk=None, **options):
    return softmax_cross_entropy(x @ w + b, labels, **options)


def cosine_similarity(a, b, epsilon=0.0):
    return (a * b).sum(-1) / torch.sqrt((a**2).sum(-1).clamp(min=epsilon) * (b**2).sum(-1).clamp(min=epsilon))


def multiclass_hinge(scores, labels):
    margins = scores + 1 - functional.one_hot(labels, scores.shape[-1])
    return margins.max(-1).values - scores.gather(-1, labels[..., None])[..., 0]


def triplet(anchors, positives, negatives, margin=1.0, eps=1e-6):
    far, near = (torch.sqrt(((anchors - other) ** 2).sum(-1) + eps) for other in (negatives, positives))
    return torch.relu(near - far + margin)


def nt_xent(embeddings, labels, temperature=0.07):
    unit = functional.normalize(embeddings)
    scores = unit @ unit.T / temperature
    same, others = labels[:, None] == labels, ~torch.eye(len(labels), dtype=torch.bool)
    e = torch.exp(scores)
    losses = torch.log((e * ~same).sum(1, keepdim=True) + e) - scores
    return losses[same & others].mean()


def layer_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    return functional.layer_norm(x, x.shape[-1:], scale, offset, eps)


def rms_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    y = functional.rms_norm(x, x.shape[-1:], scale, eps)
    return y if offset is None else y + offset


def group_norm(x, scale=None, offset=None, groups=1, spatial=2, eps=1e-5, keep=None):
    """PyTorch wants (batch, channels, *space); ours is (*batch, *space, channels)."""
    rows = x.reshape(-1, *x.shape[x.ndim - spatial - 1 :]).movedim(-1, 1)
    return functional.group_norm(rows, groups, scale, offset, eps).movedim(1, -1).reshape(x.shape)


def instance_norm(x, scale=None, offset=None, **options):
    return group_norm(x, scale, offset, groups=x.shape[-1], **options)


def batch_norm(x, scale=None, offset=None, eps=1e-5, keep=None):
    rows = x.reshape(-1, x.shape[-1])
    y = functional.batch_norm(rows, None, None, scale, offset, training=True, eps=eps)
    return y.reshape(x.shape), rows.mean(0), rows.var(0, correction=0)


def batch_norm_evaluation(x, mean, variance, scale=None, offset=None, eps=1e-5, keep=None):
    """Written out: PyTorch's own gives the statistics no gradient."""
    y = (x - mean) / torch.sqrt(variance + eps)
    return (y if scale is None else y * scale) + (0 if offset is None else offset)


def fixed_point(w, x, z):
    """The case's own function, unrolled."""
    for _ in range(64):
        z = 0.25 * torch.tanh(z @ w) + x
    return z


def fixed_point_of_a_pair(params, first, second):
    """The case's own function, unrolled."""
    for _ in range(64):
        first, second = 0.25 * torch.cos(second) * params, 0.25 * torch.sin(first) + params
    return first, second


TWINS: dict[str, Twin] = {
    "linear": linear,
    "mlp_block": mlp_block,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "silu": functional.silu,
    "gelu": gelu,
    "relu6": functional.relu6,
    "hard_tanh": functional.hardtanh,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_silu": functional.hardswish,
    "relu_squared": lambda z: torch.relu(z) ** 2,
    "prelu": prelu,
    "celu": functional.celu,
    "log_sigmoid": functional.logsigmoid,
    "soft_sign": functional.softsign,
    "squareplus": squareplus,
    "mish": functional.mish,
    "glu": lambda x, axis=-1: functional.glu(x, axis),
    "swiglu": gated(functional.silu),
    "geglu": gated(gelu),
    "reglu": gated(torch.relu),
    "softmax": lambda z, axis=-1: torch.softmax(z, axis),
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "squared_error": squared_error,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "absolute_error": summed(functional.l1_loss),
    "huber": summed(functional.huber_loss),
    "log_cosh": log_cosh,
    "sigmoid_focal": sigmoid_focal,
    "kl_divergence": summed(functional.kl_div),
    "kl_divergence_with_log_targets": lambda a, y: functional.kl_div(a, y, reduction="none", log_target=True).sum(-1),
    "cosine_similarity": cosine_similarity,
    "cosine_distance": lambda a, b: 1 - cosine_similarity(a, b),
    "nt_xent": nt_xent,
    "multiclass_hinge": multiclass_hinge,
    "triplet": triplet,
    "softmax_cross_entropy": softmax_cross_entropy,
    "linear_softmax_cross_entropy": linear_softmax_cross_entropy,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "batch_norm": batch_norm,
    "batch_norm_evaluation": batch_norm_evaluation,
    "linear_solve": lambda a, b: torch.linalg.solve(a, b),
    "fixed_point": fixed_point,
    "fixed_point, a tree": fixed_point_of_a_pair,
    **{name: getattr(torch_images, name) for name in ("max_pool", "avg_pool", "global_avg_pool")},
    **{name: getattr(torch_images, name) for name in ("conv", "conv_transpose")},
    **{name: getattr(torch_sequences, name) for name in ("attention", "embedding", "rnn", "gru", "lstm", "ctc")},
    "learned_positions": torch_sequences.learned_positions,
    "sinusoidal_positions": torch_sequences.sinusoidal_positions,
    "rotary_embedding": torch_sequences.rotary_embedding,
}
