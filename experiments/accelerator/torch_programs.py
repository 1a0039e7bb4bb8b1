"""The same programs in PyTorch, forward and backward; without it there are none."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from .arrays import Array


def available() -> bool:
    """Whether PyTorch is installed and has an accelerator."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


class Run:
    """Forward and backward; like what JAX returns it can be waited for."""

    def __init__(self, f: Callable[[], Any], arrays: Sequence[Any]):
        self._f, self._arrays = f, arrays

    def __call__(self) -> "Run":
        """One call, which is not waited for."""
        import torch

        y = self._f()
        y.backward(torch.ones_like(y))
        for array in self._arrays:
            array.grad = None
        return self

    def block_until_ready(self) -> "Run":
        """Waits for all calls."""
        import torch

        torch.cuda.synchronize()
        return self

    def temporary_bytes(self) -> int:
        """The most memory of a call beyond its arguments and gradients."""
        import torch

        self().block_until_ready()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        self().block_until_ready()
        gradients = sum(array.numel() * array.element_size() for array in self._arrays)
        return max(0, torch.cuda.max_memory_allocated() - before - gradients)


def attention(query: Array, *others: Array) -> Run:
    """Causal."""
    from torch.nn import functional

    batch, time, heads, depth = query.shape
    arrays = [_drawn((batch, heads, time, depth), query.dtype) for _ in range(3)]
    return Run(lambda: functional.scaled_dot_product_attention(*arrays, is_causal=True), arrays)


def output_layer(x: Array, w: Array, labels: Array) -> Run:
    """A product and the cross-entropy."""
    from torch.nn import functional

    arrays = [_drawn(x.shape, x.dtype), _drawn(w.shape[::-1], w.dtype, scale=0.02)]
    numbers = _numbers(labels)
    return Run(lambda: functional.cross_entropy(functional.linear(*arrays), numbers, reduction="none"), arrays)


def convolution(x: Array, w: Array) -> Run:
    """Channels last in memory."""
    import torch
    from torch.nn import functional

    n, height, width, channels = x.shape
    images = _drawn((n, channels, height, width), x.dtype).detach()
    images = images.to(memory_format=torch.channels_last).requires_grad_()
    rows, columns, n_in, n_out = w.shape
    arrays = [images, _drawn((n_out, n_in, rows, columns), w.dtype, scale=0.04)]
    return Run(lambda: functional.conv2d(*arrays, padding=rows // 2), arrays)


def ctc(logits: Array, paddings: Array, labels: Array, label_paddings: Array) -> Run:
    """Without padding."""
    import torch
    from torch.nn import functional

    batch, frames, classes = logits.shape
    z, numbers = _drawn((frames, batch, classes), logits.dtype), _numbers(labels)
    lengths = (torch.full((batch,), length, device="cuda") for length in (frames, labels.shape[1]))
    given = (numbers, *lengths)
    return Run(lambda: functional.ctc_loss(z.log_softmax(-1), *given, reduction="none"), [z])


def gpt2(parameters: Any, ids: Array, labels: Array) -> Run:
    """Compiled."""
    import torch
    from torch.nn import functional

    given = {name: _drawn(array.shape, array.dtype, 0.02) for name, array in parameters.items() if name != "blocks"}
    blocks = [{name: _drawn(a.shape, a.dtype, 0.02) for name, a in block.items()} for block in parameters["blocks"]]
    numbers, wanted = _numbers(ids), _numbers(labels)

    def norm(x, scale):
        return functional.rms_norm(x, scale.shape, scale)

    def cost():
        x = given["table"][numbers] + given["positions"]
        for block in blocks:
            z = norm(x, block["before"]) @ block["queries_keys_values"]
            heads = (a.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for a in z.chunk(3, -1))
            z = functional.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)
            x = x + z.reshape(x.shape) @ block["out"]
            gate, value = (norm(x, block["between"]) @ block["up"]).chunk(2, -1)
            x = x + (functional.silu(gate) * value) @ block["down"]
        logits = norm(x, given["after"]) @ given["table"].T
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    return Run(torch.compile(cost), [*given.values(), *(array for block in blocks for array in block.values())])


_HEADS = 12


def _drawn(shape, dtype, scale=1.0):
    import torch

    array = scale * torch.randn(*shape, device="cuda")
    return array.to(getattr(torch, jnp.dtype(dtype).name)).detach().requires_grad_()


def _numbers(array):
    import torch

    return torch.randint(1, array.below, array.shape, device="cuda")
