"""The gradients of one case after another, as each peer has them; and what they take as a table."""

import dataclasses
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from tqdm import tqdm

from jbackprop import rules
from jbackprop.cases import CASES, Case
from jbackprop.functions import draw_cotangents, is_real

from .processes import medians, serving

_SAMPLE_SECONDS = 0.02

PEERS = {
    "by hand": "jax_peers:by_hand",
    "autodiff": "jax_peers:autodiff",
    "jax.nn, optax": "jax_peers:of_jax",
    "Flax": "jax_peers:of_flax",
    "PyTorch": "torch_peer:twin",
}
"""Who is measured: the module, and in it the function that gives a case's function, or None."""


def _block(x, w1, b1, w2, b2):
    """The feed-forward half of a transformer's layer."""
    return rules.linear(rules.gelu(rules.linear(x, w1, b1)), w2, b2)


def _uniform(*shape):
    return lambda key, dtype: (jax.random.normal(key, shape) / jnp.sqrt(shape[0])).astype(dtype)


def _tokens(key, dtype):
    return jax.random.normal(key, (8, 512, 256)).astype(dtype)


MLP = Case(
    name="mlp_block",
    rule=_block,
    reference=_block,
    arguments=(_tokens, _uniform(256, 1024), _uniform(1024), _uniform(1024, 256), _uniform(256)),
    kept=(),
)
ROWS: dict[str, Case] = {case.name: case for case in (MLP, *CASES) if case is MLP or case.at_scale}
"""The cases to measure, by name: those that have a size that people use."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One case.

    Attributes:
      name: of the case.
      sizes: of its arguments.
      seconds: the median of each peer that has such a function.
    """

    name: str
    sizes: tuple[str, ...]
    seconds: Mapping[str, float]


def run(names: Sequence[str] = tuple(ROWS), rounds: int = 11) -> Iterator[Row]:
    """Measures the cases of these names, and yields each when it is done.

    Args:
      names: keys of `ROWS`.
      rounds: how often each peer is timed.

    Raises:
      ValueError: there is no case of such a name, or no round.
    """
    for name in names:
        if name not in ROWS:
            raise ValueError(f"peers: cases, wanted names among {', '.join(ROWS)}, got {name!r}")
    if rounds < 1:
        raise ValueError(f"peers: rounds, wanted a positive number, got {rounds}")
    with serving({peer: partial(_prepared, *place.split(":")) for peer, place in PEERS.items()}) as peers:
        for name in tqdm(names, unit="case", leave=False):
            sizes = tuple("×".join(map(str, a.shape)) or "scalar" for a in _arguments(ROWS[name]))
            yield Row(name, sizes, medians(name, peers, rounds, _SAMPLE_SECONDS))


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Milliseconds by hand, and how many times that the others take: the lines of a table in Markdown."""
    first, *others = PEERS
    yield f"| case | sizes | {first}, ms | " + " | ".join(f"{peer} ×" for peer in others) + " |"
    yield "|---" * (3 + len(others)) + "|"
    for row in rows:
        ratios = [f"{row.seconds[peer] / row.seconds[first]:.2f}" if peer in row.seconds else "" for peer in others]
        yield f"| {row.name} | {', '.join(row.sizes)} | {1e3 * row.seconds[first]:.2f} | {' | '.join(ratios)} |"


def _prepared(module, function, name):
    """A call that computes the gradients of a case; None if the peer has no such function."""
    peer = importlib.import_module(f".{module}", __package__)
    case = ROWS[name]
    f = getattr(peer, function)(case)
    if f is None:
        return None
    arguments = _arguments(case)
    outputs = [y for y in jax.tree.leaves(jax.eval_shape(case.rule, *arguments)) if is_real(y)]
    return peer.gradients(f, arguments, draw_cotangents(outputs, jax.random.key(1)))


def _arguments(case):
    return case.draw(jax.random.key(0), at_scale=True)
