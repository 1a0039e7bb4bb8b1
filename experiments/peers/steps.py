"""Whole training steps, Adam included: by hand, automatically, and in PyTorch.

Four networks on random numbers of a training's sizes.  Times are medians of interleaved steps in one process, the
memory is what the compiled step has besides its arguments and results.

    python -m experiments.peers.steps --networks mlp cnn --rounds 15
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jbackprop as jb
from experiments import comparison
from jbackprop import layers, rules, training
from jbackprop.functions import interleaved, quartiles, time_sample

from . import clipping, torch_steps

RATE = 1e-3
WAYS = {"by hand": jb.backprop, "automatic": jb.autodiff}


def gpt(
    examples: int = 8,
    time: int = 512,
    width: int = 256,
    depth: int = 4,
    vocabulary: int = 4096,
    keep: Any = "all",
) -> clipping.Problem:
    """Blocks of attention and a gated MLP between one table, used at both ends."""
    block = layers.transformer_block(width, 4, keep=keep)
    inside = layers.stack(block, depth), layers.rms_norm()
    ends = layers.embedding(vocabulary, width, table=layers.normal(0.02)), layers.linear(vocabulary, bias=False)
    net = layers.shared(layers.chain(ends[0], *inside, ends[1]), ("0.table", "3.w.T"))
    ids = clipping.labels(vocabulary, examples, time)
    return clipping.Problem(net, clipping.of_tokens, ids, jnp.roll(ids, -1, axis=1), (time,))


NETWORKS: dict[str, tuple[Callable[[], clipping.Problem], Callable[..., Callable[[], Any]]]] = {
    "mlp": (partial(clipping.mlp, 128), torch_steps.mlp),
    "cnn": (partial(clipping.cnn, 128), torch_steps.cnn),
    "lstm": (partial(clipping.lstm, 16, 256, 512, features=512), torch_steps.lstm),
    "gpt": (gpt, torch_steps.gpt),
    "gpt, inputs kept": (partial(gpt, keep="inputs"), torch_steps.gpt),
}
"""For each network, what makes it with a batch, and what makes the step of PyTorch's for that batch."""


def measured(name: str, rounds: int, with_torch: bool = True) -> clipping.Row:
    """The medians over so many rounds, and the temporary memory."""
    make, peer = NETWORKS[name]
    problem = make()
    params, _ = problem.net.init(jax.random.key(2), problem.shape)
    optimizer = optax.adam(RATE)
    steps = {
        way: comparison.Steps.of(
            differentiate(problem.net, rules.softmax_cross_entropy),
            optimizer,
            training.init(params, optimizer),
            problem.x,
            problem.y,
        )
        for way, differentiate in WAYS.items()
    }
    runs: dict[str, Callable[[], Any]] = dict(steps)
    if with_torch:
        runs["PyTorch"] = peer(problem.x, problem.y, RATE)
    figures = interleaved({way: partial(time_sample, run, calls=1) for way, run in runs.items()}, rounds)
    seconds = {way: quartiles(times).middle for way, times in figures.items()}
    return clipping.Row(name, seconds, {way: comparison.temporary_bytes(step.step) for way, step in steps.items()})


def table(rows: Sequence[clipping.Row]) -> Iterator[str]:
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
