"""What does clipping each example's gradient cost, or its curvature?  Beside the plain gradient and `vmap(jax.grad)`.

Four networks: `signals.clipped_gradient`, `jbackprop.backprop`, `jax.grad` of the same with every rule removed,
`vmap(jax.grad)` with the same clipping behind it, `clipped_grad` of jax-privacy, and Opacus, with the gradients of the
examples and with ghost clipping.  Each has a process of its own; times are medians of calls that are taken in turn, the
memory is what JAX's compiled program has besides its arguments and results.

    python -m experiments.peers.clipping --networks mlp cnn --rounds 15

With `--program Kronecker` the Kronecker factors of every layer are measured instead, beside the plain gradient.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.comparison import temporary_bytes
from jbackprop import automatic, backprop, layers, rules, signals

from .processes import Prepare, medians, serving

MAX_NORM = 1.0
_SAMPLE_SECONDS = 0.3

Gradients = Callable[..., Any]
"""(params, x, y) -> a tree like params."""


class Problem(NamedTuple):
    """A network and a batch.

    Attributes:
      net: the network.
      loss: one value for each example.
      x: inputs, examples first.
      y: targets.
      shape: of one input.
    """

    net: layers.Layer
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    x: Any
    y: jax.Array
    shape: Any


class Row(NamedTuple):
    """What a network's programs took.

    Attributes:
      name: of the network.
      seconds: the median of each peer.
      bytes: of temporary memory, where it is known.
    """

    name: str
    seconds: dict[str, float]
    bytes: dict[str, int]


def of_tokens(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean over an example's tokens."""
    return rules.softmax_cross_entropy(logits, labels).mean(axis=-1)


def labels(classes: int, *shape: int) -> jax.Array:
    """Random numbers below so many."""
    return jax.random.randint(jax.random.key(1), shape, 0, classes)


def mlp(examples: int = 256) -> Problem:
    """784-512-512-10."""
    hidden = [layer for _ in range(2) for layer in (layers.linear(512), layers.relu())]
    x = jax.random.normal(jax.random.key(0), (examples, 784))
    net = layers.chain(*hidden, layers.linear(10))
    return Problem(net, rules.softmax_cross_entropy, x, labels(10, examples), (784,))


def cnn(examples: int = 256) -> Problem:
    """Two convolutions and two linear layers over 28 × 28 pixels."""
    blocks = [layer for n in (32, 64) for layer in (layers.conv(n, (3, 3)), layers.relu(), layers.max_pool((2, 2)))]
    net = layers.chain(*blocks, layers.flatten(), layers.linear(128), layers.relu(), layers.linear(10))
    x = jax.random.normal(jax.random.key(0), (examples, 28, 28, 1))
    return Problem(net, rules.softmax_cross_entropy, x, labels(10, examples), (28, 28, 1))


def lstm(examples: int = 64, time: int = 64, hidden: int = 256, features: int = 128) -> Problem:
    """A label for every step."""
    net = layers.chain(layers.lstm(hidden), layers.linear(10))
    x = jax.random.normal(jax.random.key(0), (examples, time, features))
    return Problem(net, of_tokens, x, labels(10, examples, time), (time, features))


def gpt(
    examples: int = 16, time: int = 256, width: int = 256, depth: int = 4, heads: int = 4, vocabulary: int = 4096
) -> Problem:
    """Blocks of attention and of a perceptron between one table, used at both ends."""
    split = layers.reshape(time, heads, width // heads)
    queries_keys_values = layers.parallel(*(layers.chain(layers.linear(width), split) for _ in range(3)))
    attend = layers.chain(
        queries_keys_values, layers.dot_product_attention(is_causal=True), layers.reshape(time, width)
    )
    block = layers.chain(
        layers.residual(layers.layer_norm(), attend, layers.linear(width)),
        layers.residual(layers.layer_norm(), layers.linear(4 * width), layers.gelu(), layers.linear(width)),
    )
    inside = layers.learned_positions(time), layers.stack(block, depth), layers.layer_norm()
    ends = layers.embedding(vocabulary, width), layers.linear(vocabulary, bias=False)
    net = layers.shared(layers.chain(ends[0], *inside, ends[1]), ("0.table", "4.w.T"))
    ids = labels(vocabulary, examples, time)
    return Problem(net, of_tokens, ids, jnp.roll(ids, -1, axis=1), (time,))


NETWORKS: dict[str, Callable[..., Problem]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}


def clipped(problem: Problem) -> Gradients:
    """By hand, from one backward pass."""
    take = signals.clipped_gradient(problem.net, problem.loss, MAX_NORM)
    return lambda *arguments: take(*arguments).gradients


def plain(problem: Problem) -> Gradients:
    """By hand, of the mean alone."""
    take = backprop(problem.net, mean_of(problem.loss))
    return lambda *arguments: take(*arguments)[1]


def kronecker(problem: Problem) -> Gradients:
    """No gradient, but A and B of each parameter, from the same two passes."""
    take = signals.factored_gradient(problem.net, problem.loss)
    return lambda *arguments: signals.kronecker_factors(take(*arguments).factors)


def autodiff(problem: Problem) -> Gradients:
    """The same without any rule."""
    return jax.grad(_mean_loss(problem))


def by_vmap(problem: Problem) -> Gradients:
    """The gradient of each example, clipped."""
    mean_loss = _mean_loss(problem)

    def take(params, x, y):
        each = jax.vmap(lambda x, y: jax.grad(mean_loss)(params, x[None], y[None]))(x, y)
        squares = [jnp.square(leaf).reshape(len(leaf), -1).sum(1) for leaf in jax.tree.leaves(each)]
        scales = jnp.minimum(1, MAX_NORM / jnp.sqrt(sum(squares))) / len(x)
        return jax.tree.map(lambda leaf: jnp.einsum("i,i...->...", scales, leaf), each)

    return take


def by_jax_privacy(problem: Problem) -> Gradients:
    """The same by jax-privacy."""
    from jax_privacy import clipping

    options = {"l2_clip_norm": MAX_NORM, "normalize_by": len(problem.x), "batch_argnums": (1, 2)}
    return clipping.clipped_grad(_mean_loss(problem), **options)


def _mean_loss(problem):
    return automatic(lambda params, x, y: problem.loss(problem.net.forward(params, x)[0], y).mean())


def mean_of(loss: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A loss with the same mean, by hand."""
    return rules.softmax_cross_entropy if loss is of_tokens else loss


PROGRAMS: dict[str, Callable[[Problem], Gradients]] = {
    "clipped": clipped,
    "Kronecker": kronecker,
    "plain": plain,
    "autodiff": autodiff,
    "vmap(grad)": by_vmap,
    "jax-privacy": by_jax_privacy,
}
"""What runs on JAX."""


def of_jax(program: str, name: str) -> Callable[[], Any]:
    """A call of one of `PROGRAMS` for one of `NETWORKS`."""
    found = compiled(program, problem := NETWORKS[name]())
    return partial(found, drawn(problem), problem.x, problem.y)


def compiled(program: str, problem: Problem) -> jax.stages.Compiled:
    """A function of (params, x, y)."""
    return jax.jit(PROGRAMS[program](problem)).lower(drawn(problem), problem.x, problem.y).compile()


def drawn(problem: Problem) -> Any:
    """Parameters."""
    return problem.net.init(jax.random.key(2), problem.shape)[0]


def of_opacus(way: str, name: str) -> Callable[[], Any]:
    """A call of a function of `opacus_clipping` for one of `NETWORKS`, after a first that finds out whether it can."""
    from . import opacus_clipping

    problem = NETWORKS[name]()
    params = drawn(problem)
    twin = opacus_clipping.TWINS[name](params)
    opacus_clipping.load(twin, jax.tree.leaves(params))
    run = getattr(opacus_clipping, way)(twin, problem.x, problem.y, MAX_NORM)
    run()
    return run


PEERS: dict[str, Prepare] = {
    **{program: partial(of_jax, program) for program in PROGRAMS},
    "Opacus": partial(of_opacus, "written_out"),
    "Opacus, ghost": partial(of_opacus, "ghost"),
}
BESIDE = {"clipped": [peer for peer in PEERS if peer not in ("clipped", "Kronecker")], "Kronecker": ["plain"]}
"""What is measured, beside which peers."""


def measured(names: Sequence[str], rounds: int, peers: Mapping[str, Prepare]) -> Iterator[Row]:
    """The medians over so many rounds, and the temporary memory where JAX tells it."""
    with serving(peers) as connections:
        for name in names:
            seconds = medians(name, connections, rounds, _SAMPLE_SECONDS)
            there = [program for program in PROGRAMS if program in seconds]
            yield Row(name, seconds, {one: temporary_bytes(compiled(one, NETWORKS[name]())) for one in there})


def table(rows: Iterable[Row], first: str = "clipped") -> Iterator[str]:
    """Milliseconds and megabytes of one of `BESIDE`, and its share of the others': a table in Markdown."""
    others = BESIDE[first]
    columns = [f"against {other}: {'time, memory' if other in PROGRAMS else 'time'}" for other in others]
    yield f"| network | {first}, ms | MB | {' | '.join(columns)} |"
    yield "|---" * (3 + len(columns)) + "|"
    for name, seconds, memory in rows:
        shares = [_shares(other, first, seconds, memory) for other in others]
        yield f"| {name} | {1e3 * seconds[first]:.3g} | {memory[first] / 1e6:.3g} | {' | '.join(shares)} |"


def _shares(other, first, *figures):
    return ", ".join(f"{figure[first] / figure[other]:.3g}" for figure in figures if other in figure)


def main() -> None:
    """Reads the command line, measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers.clipping", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), help="which")
    parser.add_argument("--program", default="clipped", choices=list(BESIDE), help="what is measured")
    parser.add_argument("--rounds", type=int, default=11, help="how often each program is timed")
    options = parser.parse_args()
    peers = {peer: PEERS[peer] for peer in (options.program, *BESIDE[options.program])}
    for line in table(measured(options.networks, options.rounds, peers), options.program):
        print(line, flush=True)


if __name__ == "__main__":
    main()
