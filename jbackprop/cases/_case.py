"""What a case is, and how its arguments are drawn."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Draw = Callable[[jax.Array, DTypeLike], jax.Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """A rule with the arguments to try it on.

    Attributes:
      name: what a report calls it.
      rule: the rule, its options bound by `functools.partial`.
      reference: the same function, implemented independently.
      arguments: one function (key, dtype) -> array for each argument.
      kept: the arrays that the forward pass keeps for the backward pass, as "dtype[shape]" in float32.
      at_scale: arguments of a size that people use, to measure on; those of the proof unless given.
      variant_of: the name of the case whose code this one runs, with other batch axes or other numbers as options that
        no line of the rule asks for: what holds of that code holds here too, and the values tell the rest.
    """

    name: str
    rule: Callable[..., jax.Array]
    reference: Callable[..., jax.Array]
    arguments: tuple[Draw, ...]
    kept: tuple[str, ...]
    at_scale: tuple[Draw, ...] = ()
    variant_of: str = ""

    @property
    def rule_name(self) -> str:
        """The rule's own name, which the case's begins with."""
        return self.name.split(",")[0]

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that are bound to the rule."""
        return getattr(self.rule, "keywords", {})

    def draw(self, key: jax.Array, dtype: DTypeLike = jnp.float32, at_scale: bool = False) -> tuple[jax.Array, ...]:
        """Random arguments, floating point ones in the dtype."""
        draws = self.at_scale if at_scale and self.at_scale else self.arguments
        return tuple(draw(key, dtype) for draw, key in zip(draws, jax.random.split(key, len(draws)), strict=True))


def counting(rule: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The rule as a function of its arrays, the last of which says which entries count."""
    return lambda *arrays: rule(*arrays[:-1], where=arrays[-1], **options)


def float32(*shapes: Sequence[int]) -> tuple[str, ...]:
    """Arrays of these shapes as `Case.kept` has them."""
    return tuple(f"float32[{','.join(map(str, shape))}]" for shape in shapes)


def fixed(values: Any) -> Draw:
    """The same integers every time."""
    return lambda key, dtype: jnp.array(values)


def booleans(*shape: int) -> Draw:
    return lambda key, dtype: jax.random.bernoulli(key, 0.6, shape)


def normal(*shape: int) -> Draw:
    return lambda key, dtype: jax.random.normal(key, shape).astype(dtype)


def probabilities(*shape: int) -> Draw:
    return lambda key, dtype: jax.nn.softmax(jax.random.normal(key, shape)).astype(dtype)


def classes(count: int, *shape: int) -> Draw:
    return lambda key, dtype: jax.random.randint(key, shape, 0, count)
