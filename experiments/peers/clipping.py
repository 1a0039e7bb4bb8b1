"""What does clipping each example's gradient cost?  Beside the plain gradient, and beside `vmap(jax.grad)`.

Four networks: `signals.clipped_gradient`, `jbackprop.backprop`, `jax.grad` of the same with every rule removed,
`vmap(jax.grad)` with the same clipping behind it, and `clipped_grad` of jax-privacy where that is installed.  Times are
medians of interleaved calls, the memory is what the compiled program has besides its arguments and results.

    python -m experiments.peers.clipping --networks mlp cnn --rounds 15
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.comparison import temporary_bytes
from jbackprop import automatic, backprop, layers, rules, signals
from jbackprop.functions import calls_per_sample, interleaved, quartiles, time_sample

MAX_NORM = 1.0
PROGRAMS = ("clipped", "plain", "autodiff", "vmap(grad)", "jax-privacy")


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
      seconds: the median of each program.
      bytes: of each program's temporary memory.
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


def programs(problem: Problem, params: Any) -> dict[str, Callable[..., Any]]:
    """Functions of (params, x, y) that give gradients."""
    net, loss = problem.net, problem.loss

    @automatic
    def mean_loss(params, x, y):
        return loss(net.forward(params, x)[0], y).mean()

    def clipped_by_vmap(params, x, y):
        def one(x, y):
            return jax.grad(mean_loss)(params, x[None], y[None])

        each = jax.vmap(one)(x, y)
        squares = [jnp.square(leaf).reshape(len(leaf), -1).sum(1) for leaf in jax.tree.leaves(each)]
        scales = jnp.minimum(1, MAX_NORM / jnp.sqrt(sum(squares))) / len(x)
        return jax.tree.map(lambda leaf: jnp.einsum("i,i...->...", scales, leaf), each)

    return {
        "clipped": lambda *args: signals.clipped_gradient(net, loss, MAX_NORM)(*args).gradients,
        "plain": lambda *args: backprop(net, mean_of(loss))(*args)[1],
        "autodiff": jax.grad(mean_loss),
        "vmap(grad)": clipped_by_vmap,
        **_of_jax_privacy(mean_loss, len(problem.x)),
    }


def _of_jax_privacy(mean_loss, examples):
    """The same by jax-privacy; nothing where it is not installed."""
    if not importlib.util.find_spec("jax_privacy"):
        return {}
    from jax_privacy import clipping

    options = {"l2_clip_norm": MAX_NORM, "normalize_by": examples, "batch_argnums": (1, 2)}
    return {"jax-privacy": clipping.clipped_grad(mean_loss, **options)}


def mean_of(loss: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A loss with the same mean, by hand."""
    return rules.softmax_cross_entropy if loss is of_tokens else loss


def measured(name: str, problem: Problem, rounds: int, wanted: Sequence[str] = PROGRAMS) -> Row:
    """The medians over so many rounds, and the temporary memory."""
    params, _ = problem.net.init(jax.random.key(2), problem.shape)
    arguments = params, problem.x, problem.y
    functions = {program: f for program, f in programs(problem, params).items() if program in wanted}
    compiled = {program: jax.jit(f).lower(*arguments).compile() for program, f in functions.items()}
    runs = {program: partial(f, *arguments) for program, f in compiled.items()}
    takes = {program: partial(time_sample, run, calls_per_sample(run)) for program, run in runs.items()}
    figures = interleaved(takes, rounds)
    memory = {program: temporary_bytes(f) for program, f in compiled.items()}
    return Row(name, {program: quartiles(values).middle for program, values in figures.items()}, memory)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Milliseconds and megabytes of the clipped gradient, and the others' share of them: a table in Markdown."""
    first, *others = PROGRAMS
    columns = [*(f"against {other}: time, memory" for other in others)]
    yield f"| network | {first}, ms | MB | {' | '.join(columns)} |"
    yield "|---" * (3 + len(columns)) + "|"
    for name, seconds, memory in rows:
        shares = [
            f"{seconds[first] / seconds[other]:.3g}, {memory[first] / memory[other]:.3g}" if other in seconds else ""
            for other in others
        ]
        yield f"| {name} | {1e3 * seconds[first]:.3g} | {memory[first] / 1e6:.3g} | {' | '.join(shares)} |"


def main() -> None:
    """Reads the command line, measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.peers.clipping", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), help="which")
    parser.add_argument("--rounds", type=int, default=11, help="how often each program is timed")
    options = parser.parse_args()
    for line in table([measured(name, NETWORKS[name](), options.rounds) for name in options.networks]):
        print(line, flush=True)


if __name__ == "__main__":
    main()
