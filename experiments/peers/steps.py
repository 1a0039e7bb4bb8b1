"""Whole training steps, Adam included: by hand, automatically, in Flax NNX and in PyTorch.

Four networks on random numbers of a training's sizes.  Each peer has a process of its own; times are medians of steps
that are taken in turn, the memory is what the compiled step has besides its arguments and results.

    python -m experiments.peers.steps --networks mlp cnn --rounds 15
"""

import argparse
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jbackprop as jb
from experiments import comparison
from jbackprop import layers, training

from . import clipping
from .processes import Prepare, medians, serving

RATE = 1e-3
_SAMPLE_SECONDS = 0.3
"""So long a process goes on with its step, for the first one finds its caches cold."""


def gpt(
    examples: int = 8,
    time: int = 512,
    width: int = 256,
    depth: int = 4,
    vocabulary: int = 4096,
    keep: Any = "all",
    fused: bool = False,
) -> clipping.Problem:
    """Blocks of attention and a gated MLP between one table, used at both ends; perhaps with its loss inside."""
    block = layers.transformer_block(width, 4, keep=keep)
    table = layers.embedding(vocabulary, width, table=layers.normal(0.02))
    body = layers.chain(table, layers.stack(block, depth), layers.rms_norm())
    ids = clipping.labels(vocabulary, examples, time)
    following = jnp.roll(ids, -1, axis=1)
    if not fused:
        net = layers.shared(layers.chain(body, layers.linear(vocabulary, bias=False)), ("0.0.table", "1.w.T"))
        return clipping.Problem(net, clipping.of_tokens, ids, following, (time,))
    head = layers.linear_softmax_cross_entropy(vocabulary, bias=False, keep="gradients")
    both = layers.chain(layers.parallel(body, layers.identity(), split=True), head)
    net = layers.shared(both, ("0.0.0.table", "1.w.T"))
    return clipping.Problem(net, _its_losses, (ids, following), following, ((time,), (time,)))


def _its_losses(losses, following):
    return losses


NETWORKS: dict[str, Callable[..., clipping.Problem]] = {
    "mlp": partial(clipping.mlp, 128),
    "cnn": partial(clipping.cnn, 128),
    "lstm": partial(clipping.lstm, 16, 256, 512, features=512),
    "gpt": gpt,
    "gpt, inputs kept": partial(gpt, keep="inputs"),
    "gpt, inputs kept, in parts": partial(gpt, keep="inputs"),
}
"""What makes each network with a batch."""

BY_HAND = {name: partial(make, fused=True) for name, make in NETWORKS.items() if name.startswith("gpt")}
"""The same as one would write them for the δ recursion."""

PARTS = {"gpt, inputs kept, in parts": 8}
"""How many parts of its batch a network takes by hand, one after the other."""


def by_hand(name: str) -> comparison.Steps:
    """A training's step by `jb.backprop`."""

    def way(net, loss):
        whole = jb.backprop(net, loss)
        return training.in_parts(whole, PARTS[name]) if name in PARTS else whole

    return _step(way, BY_HAND.get(name, NETWORKS[name])())


def automatic(name: str) -> comparison.Steps:
    """The same by `jb.autodiff`."""
    return _step(jb.autodiff, NETWORKS[name]())


def _step(way, problem):
    params, _ = problem.net.init(jax.random.key(2), problem.shape)
    optimizer, differentiated = optax.adam(RATE), way(problem.net, clipping.mean_of(problem.loss))
    return comparison.Steps.of(differentiated, optimizer, training.init(params, optimizer), problem.x, problem.y)


def of_peer(module: str, name: str) -> Callable[[], Any]:
    """The step of a library, written in a module of its own.

    Raises:
      ImportError: the library is not there, or not made for this JAX.
    """
    try:
        peer = importlib.import_module(f".{module}", __package__)
    except AttributeError as error:
        raise ImportError(str(error)) from error
    problem = NETWORKS[name]()
    return peer.STEPS[name.partition(",")[0]](problem.x, problem.y, RATE)


WAYS = {"by hand": by_hand, "automatic": automatic}
PEERS: dict[str, Prepare] = {
    **WAYS,
    "Flax NNX": partial(of_peer, "flax_steps"),
    "PyTorch": partial(of_peer, "torch_steps"),
}


def measured(names: Sequence[str], rounds: int, peers: Mapping[str, Prepare] = PEERS) -> Iterator[clipping.Row]:
    """The medians over so many rounds, and the temporary memory where JAX tells it."""
    with serving(peers) as connections:
        for name in names:
            memory = {way: comparison.temporary_bytes(WAYS[way](name).step) for way in WAYS if way in peers}
            yield clipping.Row(name, medians(name, connections, rounds, _SAMPLE_SECONDS), memory)


def table(rows: Iterable[clipping.Row]) -> Iterator[str]:
    """Milliseconds and megabytes by hand, and its share of the others': a table in Markdown."""
    first, automatic, *others = PEERS
    columns = "".join(f" against {other}: time |" for other in others)
    yield f"| step | {first}, ms | MB | against {automatic}: time, memory |{columns}"
    yield "|---" * (4 + len(others)) + "|"
    for name, seconds, memory in rows:
        shares = {peer: f"{seconds[first] / taken:.2f}" for peer, taken in seconds.items()}
        cells = [name, f"{1e3 * seconds[first]:.3g}", f"{memory[first] / 1e6:.3g}"]
        cells.append(f"{shares[automatic]}, {memory[first] / memory[automatic]:.2f}")
        yield f"| {' | '.join([*cells, *(shares.get(other, '') for other in others)])} |"


def main() -> None:
    """Reads the command line, measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers.steps", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), help="which")
    parser.add_argument("--rounds", type=int, default=11, help="how often each step is timed")
    options = parser.parse_args()
    for line in table(measured(options.networks, options.rounds)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
