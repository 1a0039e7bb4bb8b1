"""Clipped gradients by Opacus, of networks written as its users write them, with the parameters of JAX's.

    written out        the gradient of each example, then their weighted sum
    ghost clipping     norms without the gradients where it knows how, then a second backward pass of weighted losses

Both divide by ‖g_i‖ + 1e-6 where we divide by ‖g_i‖.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn
from torch.nn import functional


class Place(NamedTuple):
    """Where an array of JAX's parameters stands.

    Attributes:
      tensors: one, or one for each block of a stack.
      axes: of ours, in the order of theirs.
    """

    tensors: Sequence[nn.Parameter]
    axes: Sequence[int]


class Twin(NamedTuple):
    """A network of PyTorch.

    Attributes:
      net: the module.
      places: of its parameters, in the order of JAX's.
    """

    net: nn.Module
    places: Sequence[Place]


class _ChannelsLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class _ChannelsFirst(nn.Module):
    """In the plain memory format: of the other one Opacus 1.6 gives a convolution wrong gradients."""

    def forward(self, x):
        return x.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


def mlp(params: Any) -> Twin:
    """Linear layers with relu between them."""
    inside = [nn.Linear(*layer["w"].shape) for layer in params if layer]
    between = [layer for linear in inside for layer in (linear, nn.ReLU())]
    return Twin(nn.Sequential(*between[:-1]), [place for linear in inside for place in _linear(linear)])


def cnn(params: Any) -> Twin:
    """Convolutions with relu and max pooling, then linear layers."""
    convs = [nn.Conv2d(*layer["kernel"].shape[2:], 3, padding=1) for layer in params if "kernel" in layer]
    blocks = [layer for conv in convs for layer in (conv, nn.ReLU(), nn.MaxPool2d(2))]
    last = mlp([layer for layer in params if "w" in layer])
    places = [place for conv in convs for place in (Place([conv.bias], (0,)), Place([conv.weight], (3, 2, 0, 1)))]
    net = nn.Sequential(_ChannelsFirst(), *blocks, _ChannelsLast(), nn.Flatten(), last.net)
    return Twin(net, [*places, *last.places])


class _LSTM(nn.Module):
    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.inside = DPLSTM(features, hidden, batch_first=True)
        self.last = nn.Linear(hidden, classes)
        self.inside.bias_hh_l0.requires_grad_(False).zero_()  # PyTorch has two biases in one place

    def forward(self, x):
        return self.last(self.inside(x)[0])


def lstm(params: Any) -> Twin:
    """A recurrence and a linear layer at each of its steps."""
    net = _LSTM(len(params[0]["w"]), len(params[0]["u"]), params[1]["w"].shape[1])
    bias, u, w = net.inside.bias_ih_l0, net.inside.weight_hh_l0, net.inside.weight_ih_l0
    return Twin(net, [Place([bias], (0,)), Place([u], (1, 0)), Place([w], (1, 0)), *_linear(net.last)])


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norms = heads, nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.queries_keys_values = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.out, self.up, self.down = nn.Linear(width, width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        a = self.norms[0](x)
        q, k, v = (linear(a).unflatten(-1, (self.heads, -1)).transpose(1, 2) for linear in self.queries_keys_values)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        return x + self.down(functional.gelu(self.up(self.norms[1](x)), approximate="tanh"))


class _GPT(nn.Module):
    def __init__(self, vocabulary: int, time: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.table, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(time, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.last.weight = self.table.weight

    def forward(self, ids):
        positions = torch.arange(ids.shape[1]).expand(len(ids), -1)
        return self.last(self.norm(self.blocks(self.table(ids) + self.positions(positions))))


def gpt(params: Any, heads: int = 4) -> Twin:
    """Blocks between one table, used at both ends."""
    (time, width), depth = params[1]["table"].shape, len(params[2][0][0]["scale"])
    net = _GPT(len(params[0]["table"]), time, width, depth, heads)
    blocks, identity = list(net.blocks), (0, 1)
    attends = (_linear(*(block.queries_keys_values[i] for block in blocks)) for i in range(3))
    places = [Place([net.table.weight], identity), Place([net.positions.weight], identity)]
    places += [*_norm(*(block.norms[0] for block in blocks)), *(place for each in attends for place in each)]
    places += [*_linear(*(block.out for block in blocks)), *_norm(*(block.norms[1] for block in blocks))]
    places += [*_linear(*(block.up for block in blocks)), *_linear(*(block.down for block in blocks))]
    return Twin(net, [*places, *_norm(net.norm)])


TWINS: dict[str, Callable[..., Twin]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}
"""For each of `clipping.NETWORKS`, what makes it for parameters of JAX."""


def _linear(*layers):
    return Place([layer.bias for layer in layers], (0,)), Place([layer.weight for layer in layers], (1, 0))


def _norm(*layers):
    return Place([layer.bias for layer in layers], (0,)), Place([layer.weight for layer in layers], (0,))


def load(twin: Twin, leaves: Sequence[Any]) -> None:
    """Gives a network the parameters of JAX's, the leaves of their tree."""
    with torch.no_grad():
        for (tensors, axes), leaf in zip(twin.places, leaves, strict=True):
            blocks = leaf if leaf.ndim > len(axes) else [leaf]
            for tensor, block in zip(tensors, blocks, strict=True):
                tensor.copy_(torch.from_numpy(np.array(block)).permute(axes))


def leaves(twin: Twin, gradients: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Gradients of `trained`, as JAX has them."""
    found, of = [], dict(zip(trained(twin.net), gradients, strict=True))
    for tensors, axes in twin.places:
        blocks = [of[tensor].permute(*np.argsort(axes)).numpy() for tensor in tensors]
        found.append(np.stack(blocks) if len(blocks) > 1 else blocks[0])
    return found


def trained(net: nn.Module) -> list[nn.Parameter]:
    """The parameters that have gradients."""
    return [p for p in net.parameters() if p.requires_grad]


Clipped = Callable[[], list[torch.Tensor]]
"""The mean of the clipped gradients, of each parameter."""


def written_out(twin: Twin, x: Any, y: Any, max_norm: float) -> Clipped:
    """By the gradients of the examples; the cost is the mean cross-entropy of every label."""
    net, (x, y) = GradSampleModule(twin.net), _tensors(x, y)
    optimizer, parameters = DPOptimizer(_descent(net), **_private(max_norm, x)), trained(net)

    def take():
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(net(x).flatten(0, -2), y.flatten()).backward()
        optimizer.clip_and_accumulate()
        return [p.summed_grad / len(x) for p in parameters]

    return take


def ghost(twin: Twin, x: Any, y: Any, max_norm: float) -> Clipped:
    """By ghost clipping, and what that is not for by the gradients of the examples, then by a second backward pass."""
    net, (x, y) = GradSampleModuleFastGradientClipping(twin.net, max_grad_norm=max_norm), _tensors(x, y)
    optimizer, parameters = DPOptimizerFastGradientClipping(_descent(net), **_private(max_norm, x)), trained(net)
    loss = DPLossFastGradientClipping(net, optimizer, nn.CrossEntropyLoss())
    shape = (*y.shape, -1) if y.ndim > 1 else None

    def take():
        optimizer.zero_grad(set_to_none=True)
        loss(net(x).flatten(0, -2), y.flatten(), shape=shape).backward()
        return [p.grad / len(x) for p in parameters]

    return take


def _descent(net):
    return torch.optim.SGD(net.parameters(), 0.0)


def _private(max_norm, x):
    return {"noise_multiplier": 0.0, "max_grad_norm": max_norm, "expected_batch_size": len(x)}


def _tensors(x, y):
    return torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y)).long()
