"""Layers in a row: aˡ = fˡ(aˡ⁻¹), and backpropagation itself.

    ∂C/∂aˡ⁻¹ = (∂C/∂aˡ) (∂aˡ/∂aˡ⁻¹)        from the last layer to the first, each product computed once

Every gradient of an earlier layer contains the product of all later Jacobians; going backward, that product is one row
of numbers for each example, ∂C/∂aˡ, handed from layer to layer.  Parameters, caches, deltas and factors are trees
shaped like the network: a tuple with an entry for each part.
"""

import dataclasses
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax

from ._given import check_entries, keys_for
from ._layer import Layer, Params, Shape, Swept, check_layer, settings, snake_case

_WIDTH = 100
"""How long a network's line may be before it goes on over several."""


@dataclasses.dataclass(frozen=True, repr=False)
class Several(Layer):
    """What the layers that hold a tuple of parts share.

    Attributes:
      parts: the layers.
    """

    parts: tuple[Layer, ...]

    def __repr__(self) -> str:
        words = [*map(repr, self.parts), *settings(self)[1:]]
        name, line = snake_case(type(self).__name__), ", ".join(words)
        if len(line) <= _WIDTH and "\n" not in line:
            return f"{name}({line})"
        lines = textwrap.indent(",\n".join(words), "    ")
        return f"{name}(\n{lines},\n)"

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """A tuple of what the parts name."""
        return tuple(part.factors(*rest) for part, *rest in zip(self.parts, params, cache, delta, strict=True))

    def statistics(self, params: Params, cache: Any) -> Any:
        """A tuple of those of the parts."""
        return tuple(part.statistics(*rest) for part, *rest in zip(self.parts, params, cache, strict=True))

    def in_order(self, params: Params, key: jax.Array | None) -> Iterator[tuple[Layer, Params, jax.Array | None]]:
        """Each part with its own parameters and its own key."""
        name = snake_case(type(self).__name__)
        check_entries(name, params, len(self.parts))
        keys = [None] * len(self.parts) if key is None else keys_for(name, key, len(self.parts))
        return zip(self.parts, params, keys, strict=True)

    def scope(self, i: int) -> AbstractContextManager:
        """A part's name in a profile."""
        return jax.named_scope(f"{i}.{self.parts[i].about().name or snake_case(type(self.parts[i]).__name__)}")


@dataclasses.dataclass(frozen=True, repr=False)
class Chain(Several):
    """Layers in a row; `chain` makes it."""

    def init(self, key: jax.Array, shape: Shape) -> tuple[Params, Shape]:
        """Each part for the output of the one before."""
        params = []
        for part, part_key in zip(self.parts, keys_for("chain", key, len(self.parts)), strict=True):
            drawn, shape = part.init(part_key, shape)
            params.append(drawn)
        return tuple(params), shape

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """From the first part to the last."""
        return self._through(self.in_order(params, key), x)

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """From the last part to the first."""
        dx, deltas = self._recursion(params, cache, dy, without_gradients)
        return dx, deltas

    def backpropagate(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any, Params]:
        """From the last part to the first, each one's gradients before the next."""
        dx, found = self._recursion(params, cache, dy, with_gradients)
        return dx, *apart(found)

    @property
    def sweeps(self) -> bool:
        """Whether the last part does."""
        return bool(self.parts) and self.parts[-1].sweeps

    def sweep(self, params: Params, x: Any, dy: Any, key: jax.Array | None = None) -> Swept:
        """Forward through all parts but the last, which turns round, and back."""
        if not self.sweeps:
            return super().sweep(params, x, dy, key)
        *first, (last, last_params, last_key) = self.in_order(params, key)
        x, cache = self._through(first, x)
        with self.scope(len(first)):
            y, dy, delta, gradients, statistics = last.sweep(last_params, x, dy, last_key)
        dx, found = self._recursion(params[:-1], cache, dy, with_gradients)
        deltas, before = apart(found)
        several = (part.statistics(*rest) for part, *rest in zip(self.parts[:-1], params[:-1], cache, strict=True))
        return Swept(y, dx, (*deltas, delta), (*before, gradients), (*several, statistics))

    def _through(self, parts, x):
        cache = []
        for i, (part, params, key) in enumerate(parts):
            with self.scope(i):
                x, kept = part.forward(params, x, key)
            cache.append(kept)
        return x, tuple(cache)

    def _recursion(self, params, cache, dy, step):
        found = []
        parts = self.parts[: len(params)]
        for i, (part, *rest) in reversed(list(enumerate(zip(parts, params, cache, strict=True)))):
            with self.scope(i):
                dy, more = step(part, *rest, dy)
            found.append(more)
        return dy, tuple(reversed(found))


def chain(*layers: Layer) -> Chain:
    """The composition of layers, itself a layer: params, cache, deltas and factors are tuples with one entry for each.

    Raises:
      TypeError: an argument is not a `Layer` (an activation wants its brackets: `relu()`).
      ValueError: there is no layer.
    """
    check_layers("chain", layers)
    return Chain(layers)


def check_layers(maker: str, layers: tuple[Any, ...]) -> None:
    """Raises what the combinators say that they raise."""
    if not layers:
        raise ValueError(f"{maker}: layers, wanted at least one, got none")
    check_layer(maker, **{f"layers[{i}]": layer for i, layer in enumerate(layers)})


def with_gradients(part: Layer, params: Params, cache: Any, dy: Any) -> tuple[Any, tuple[Any, Params]]:
    """A part's dx, and beside it the pair of its δ and its gradients."""
    dx, delta, gradients = part.backpropagate(params, cache, dy)
    return dx, (delta, gradients)


def without_gradients(part: Layer, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
    """A part's dx and δ."""
    return part.backward(params, cache, dy)


def apart(pairs: tuple[tuple[Any, Params], ...]) -> tuple[tuple[Any, ...], tuple[Params, ...]]:
    """The deltas of all parts, and their gradients."""
    return tuple(delta for delta, _ in pairs), tuple(gradients for _, gradients in pairs)
