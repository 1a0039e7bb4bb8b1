"""Whole training steps, Adam included: by hand, automatically, and in PyTorch.

Four networks on random numbers of a training's sizes.  Times are medians of interleaved steps in one process, the
memory is what the compiled step has besides its arguments and results.

    python -m experiments.peers.steps --networks mlp cnn --rounds 15
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import jbackprop as jb
from jbackprop import layers, rules, training
from jbackprop.functions import interleaved, quartiles, time_sample

from . import torch_steps

RATE = 1e-3
WAYS = {"by hand": jb.backprop, "automatic": jb.autodiff}


class Problem(NamedTuple):
    """A network and a batch.

    Attributes:
      net: the network.
      shape: of one input.
      x: inputs, examples first.
      y: labels.
      peer: makes the step of PyTorch's network for the batch.
    """

    net: layers.Layer
    shape: tuple[int, ...]
    x: jax.Array
    y: jax.Array
    peer: Callable[..., Callable[[], Any]]


class Row(NamedTuple):
    """What a network's steps took.

    Attributes:
      name: of the network.
      seconds: the median of each way.
      bytes: of each compiled step's temporary memory.
    """

    name: str
    seconds: dict[str, float]
    bytes: dict[str, int]


def _numbers(below, *shape):
    return jax.random.randint(jax.random.key(1), shape, 0, below)


def mlp(examples: int = 128) -> Problem:
    """784-512-512-10."""
    hidden = [layer for _ in range(2) for layer in (layers.linear(512), layers.relu())]
    x = jax.random.normal(jax.random.key(0), (examples, 784))
    net = layers.chain(*hidden, layers.linear(10))
    return Problem(net, (784,), x, _numbers(10, examples), torch_steps.mlp)


def cnn(examples: int = 128) -> Problem:
    """Two convolutions and two linear layers over 28 × 28 pixels."""
    blocks = [layer for n in (32, 64) for layer in (layers.conv(n, (3, 3)), layers.relu(), layers.max_pool((2, 2)))]
    net = layers.chain(*blocks, layers.flatten(), layers.linear(128), layers.relu(), layers.linear(10))
    x = jax.random.normal(jax.random.key(0), (examples, 28, 28, 1))
    return Problem(net, (28, 28, 1), x, _numbers(10, examples), torch_steps.cnn)


def lstm(examples: int = 16, time: int = 256, hidden: int = 512) -> Problem:
    """A label for every step."""
    net = layers.chain(layers.lstm(hidden), layers.linear(10))
    x = jax.random.normal(jax.random.key(0), (examples, time, hidden))
    return Problem(net, (time, hidden), x, _numbers(10, examples, time), torch_steps.lstm)


def gpt(
    examples: int = 8,
    time: int = 512,
    width: int = 256,
    depth: int = 4,
    vocabulary: int = 4096,
    keep: Any = "all",
) -> Problem:
    """Blocks of attention and a gated MLP between one table, used at both ends."""
    block = layers.transformer_block(width, 4, keep=keep)
    inside = layers.stack(block, depth), layers.rms_norm()
    ends = layers.embedding(vocabulary, width, table=layers.normal(0.02)), layers.linear(vocabulary, bias=False)
    net = layers.shared(layers.chain(ends[0], *inside, ends[1]), ("0.table", "3.w.T"))
    ids = _numbers(vocabulary, examples, time)
    return Problem(net, (time,), ids, jnp.roll(ids, -1, axis=1), partial(torch_steps.gpt, width=width, depth=depth))


NETWORKS: dict[str, Callable[[], Problem]] = {
    "mlp": mlp,
    "cnn": cnn,
    "lstm": lstm,
    "gpt": gpt,
    "gpt, inputs kept": partial(gpt, keep="inputs"),
}


def measured(name: str, rounds: int, with_torch: bool = True) -> Row:
    """The medians over so many rounds, and the temporary memory."""
    problem = NETWORKS[name]()
    params, _ = problem.net.init(jax.random.key(2), problem.shape)
    optimizer = optax.adam(RATE)
    runs, memory = {}, {}
    for way, differentiate in WAYS.items():
        step = training.step(differentiate(problem.net, rules.softmax_cross_entropy), optimizer)
        state = training.init(params, optimizer)
        compiled: Any = step.lower(state, problem.x, problem.y).compile()
        memory[way] = compiled.memory_analysis().temp_size_in_bytes
        runs[way] = _Steps(compiled, state, problem.x, problem.y)
    if with_torch:
        runs["PyTorch"] = problem.peer(problem.x, problem.y, RATE)
    figures = interleaved({way: partial(time_sample, run, calls=1) for way, run in runs.items()}, rounds)
    return Row(name, {way: quartiles(times).middle for way, times in figures.items()}, memory)


class _Steps:
    """Steps of one training, each of which goes on from the one before."""

    def __init__(self, step: Any, state: training.State, x: jax.Array, y: jax.Array) -> None:
        self._step, self._state, self._batch = step, state, (x, y)

    def __call__(self) -> jax.Array:
        self._state, metrics = self._step(self._state, *self._batch)
        return metrics.cost


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Milliseconds and megabytes by hand, and its share of the others': a table in Markdown."""
    yield "| step | by hand, ms | MB | against automatic: time, memory | against PyTorch: time |"
    yield "|---|---|---|---|---|"
    for name, seconds, memory in rows:
        first, other = seconds["by hand"], seconds.get("PyTorch")
        share = f"{first / seconds['automatic']:.2f}, {memory['by hand'] / memory['automatic']:.2f}"
        beside = "" if other is None else f"{first / other:.2f}"
        yield f"| {name} | {1e3 * first:.3g} | {memory['by hand'] / 1e6:.3g} | {share} | {beside} |"


def main() -> None:
    """Reads the command line, measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers.steps", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), help="which")
    parser.add_argument("--rounds", type=int, default=11, help="how often each step is timed")
    parser.add_argument("--without-torch", action="store_true", help="measure JAX alone")
    options = parser.parse_args()
    for line in table([measured(name, options.rounds, not options.without_torch) for name in options.networks]):
        print(line, flush=True)


if __name__ == "__main__":
    main()
