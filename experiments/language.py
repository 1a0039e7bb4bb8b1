"""Models of text, one character after the other: the network, what it costs a character, and what it writes.

A network's input is a pair (characters, those that come next), and its output the loss of each: the output layer and
its loss are one layer, in which no character's probabilities are kept.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jbackprop import layers

from .problem import Problem, Scores

NONE = -1
"""In place of a next character that does not count."""


class Model(NamedTuple):
    """A language model.

    Attributes:
      net: of pairs (ids, next ids), which ends in the losses.
      body: from ids to the output layer's input.
      tied: whether the output layer's weights are the embedding's table.
    """

    net: layers.Layer
    body: layers.Layer
    tied: bool

    def logits(self, params: layers.Params, ids: jax.Array) -> jax.Array:
        """Of the next character at each place, with the network's parameters."""
        whole = self.net.whole(params) if isinstance(self.net, layers.Shared) else params
        (body, _), head = whole
        z = layers.evaluation(self.body).apply((body, ()), ids) @ head["w"]
        return z + head["b"] if "b" in head else z


def model(body: layers.Chain, characters: int, tied: bool) -> Model:
    """A body that begins with an embedding, and an output layer behind it, perhaps of the same table."""
    both = layers.parallel(body, layers.identity(), split=True)
    head = layers.linear_softmax_cross_entropy(
        characters, bias=not tied, ignore_index=NONE, keep="gradients", weights=layers.normal(0.02)
    )
    net = layers.chain(both, head)
    return Model(layers.shared(net, ("0.0.0.table", "1.w.T")) if tied else net, body, tied)


def problem(
    model: Model,
    length: int,
    draw: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    examples: int,
    held_out: tuple[np.ndarray, np.ndarray],
    sample: Callable[[layers.Params, jax.Array], str] | None = None,
) -> Problem:
    """What there is to learn of texts of one length; `draw` gives ids and next ids."""

    def drawn(key):
        ids, following = draw(key)
        return (ids, following), following

    ids, following = held_out
    shape = (length,), (length,)
    return Problem(
        model.net, mean_of_each, shape, drawn, examples, ((ids, following), following), scores, "bits", False, sample
    )


def mean_of_each(losses: jax.Array, following: jax.Array) -> jax.Array:
    """The mean over an example's characters that count."""
    return losses.sum(-1) / jnp.maximum((following != NONE).sum(-1), 1)


def scores(losses: jax.Array, following: jax.Array) -> tuple[Scores, jax.Array]:
    """The cost and the bits of a character, every character counted once."""
    cost = mean_of_each(losses, following)
    return {"cost": cost, "bits": cost / math.log(2)}, (following != NONE).sum(-1).astype(cost.dtype)


def written(
    model: Model, params: layers.Params, key: jax.Array, starts: jax.Array, length: int, temperature: float = 1.0
) -> jax.Array:
    """Texts that the model writes: each start (texts, characters) followed by so many more, (texts, …).

    At every step the model reads again what it has written.
    """
    count, begun = starts.shape
    texts = jnp.zeros((count, begun + length), starts.dtype).at[:, :begun].set(starts)

    @jax.jit
    def write(params, texts):
        def step(texts, at):
            logits = model.logits(params, texts)
            last = jax.lax.dynamic_index_in_dim(logits, at - 1, axis=1, keepdims=False)
            drawn = jax.random.categorical(jax.random.fold_in(key, at), last / temperature)
            return jax.lax.dynamic_update_index_in_dim(texts, drawn.astype(texts.dtype), at, axis=1), None

        return jax.lax.scan(step, texts, jnp.arange(begun, begun + length))[0]

    return write(params, texts)


def n_gram_bits(train: np.ndarray, held_out: np.ndarray, characters: int, order: int = 3) -> float:
    """The bits a character of a model that counts n-grams, each order smoothed by the one before.

    p_n(c | h) = (count(h c) + k p_{n−1}(c | h')) / (count(h) + k), k = 5, so that no history is without an answer.

    Args:
      train: rows of ids that end where the next is `NONE`: pairs as (rows, 2, length), ids and next ids.
      held_out: the same.
      characters: how many there are.
      order: n.
    """
    probabilities = np.full(int((held_out[:, 1] != NONE).sum()), 1 / characters)
    for n in range(1, order + 1):
        seen, asked = (_grams(rows, n, characters) for rows in (train, held_out))
        counts = np.bincount(seen, minlength=characters ** (n + 1) if n > 1 else characters**2).astype(float)
        counts = counts.reshape(-1, characters)
        history, following = np.divmod(asked, characters)
        probabilities = (counts[history, following] + 5 * probabilities) / (counts[history].sum(1) + 5)
    return float(-np.log2(probabilities).mean())


def _grams(rows, n, characters):
    """Each counted character with the n − 1 before it as one number; before the first stands character 0."""
    ids, following = rows[:, 0], rows[:, 1]
    number = np.zeros_like(ids)
    for back in range(n - 2, -1, -1):
        shifted = np.pad(ids, [(0, 0), (back, 0)])[:, : ids.shape[1]]
        number = number * characters + shifted
    counted = following != NONE
    return number[counted] * characters + following[counted]


def encoded(texts: Sequence[str], alphabet: str) -> list[np.ndarray]:
    """Each text as places in the alphabet, all of whose characters it has."""
    place = {character: i for i, character in enumerate(alphabet)}
    return [np.array([place[character] for character in text], np.int32) for text in texts]
