"""Training steps in PyTorch, written as its users write them; each function makes one for a batch of JAX's arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def mlp(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """784-512-512-10."""
    net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return _step(net, *_tensors(x, y), rate)


def cnn(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """Two convolutions and two linear layers, in the memory format that PyTorch is fastest at on a CPU."""
    blocks = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    blocks += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10))
    net = net.to(memory_format=torch.channels_last)
    images, labels = _tensors(x, y)
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return _step(net, images, labels, rate)


def lstm(x: Any, y: Any, rate: float) -> Callable[[], Any]:
    """A label for every step."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.LSTM(x.shape[-1], x.shape[-1], batch_first=True)
            self.last = nn.Linear(x.shape[-1], 10)

        def forward(self, x):
            return self.last(self.inside(x)[0])

    return _step(Net(), *_tensors(x, y), rate)


def gpt(x: Any, y: Any, rate: float, width: int = 256, depth: int = 4, heads: int = 4) -> Callable[[], Any]:
    """Blocks of attention and a gated MLP between one table, used at both ends."""
    half = width // heads // 2
    angles = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    turn = angles.cos(), angles.sin()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4096, width)
            self.blocks = nn.Sequential(*(_Block(width, heads, turn) for _ in range(depth)))
            self.norm = nn.RMSNorm(width)

        def forward(self, ids):
            return self.norm(self.blocks(self.table(ids))) @ self.table.weight.T

    return _step(Net(), *_tensors(x, y), rate)


class _Block(nn.Module):
    """Causal attention with rotary positions, and a gated MLP."""

    def __init__(self, width: int, heads: int, turn: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__()
        inner = -(-width // 3) * 8
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.projections = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)
        self.heads, self.turn = heads, turn

    def forward(self, x):
        parts = self.projections(self.norms[0](x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        q, k = _turned(q, *self.turn), _turned(k, *self.turn)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        gate, value = self.up(self.norms[1](x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * value)


def _turned(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _step(net, x, y, rate):
    """Forward, backward and Adam; the mean cross-entropy of every label."""
    optimizer = torch.optim.Adam(net.parameters(), rate)

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = net(x)
        cost = functional.cross_entropy(logits.flatten(0, -2), y.flatten())
        cost.backward()
        optimizer.step()
        return cost.detach().numpy()

    return step


def _tensors(x, y):
    return torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y)).long()


STEPS: dict[str, Callable[..., Callable[[], Any]]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}
