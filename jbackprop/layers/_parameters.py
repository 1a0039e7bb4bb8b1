"""What a layer draws: initializers as data, and the shape of a parameter from that of the layer's input."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.nn import initializers

Initialize = Callable[..., jax.Array]
"""(key, shape) -> array, such as those of `jax.nn.initializers`."""


@dataclasses.dataclass(frozen=True)
class Initializer:
    """One of `jax.nn.initializers` with its options, as data: two of the same are equal, as two functions are not."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Draws an array."""
        return getattr(initializers, self.name)(**dict(self.options))(key, shape)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.options)})"


def he_normal() -> Initializer:
    """Normal numbers of variance 2 / n_in, for relu (K. He et al., ICCV, 2015)."""
    return Initializer("he_normal")


def he_uniform() -> Initializer:
    """Uniform numbers of variance 2 / n_in."""
    return Initializer("he_uniform")


def lecun_normal() -> Initializer:
    """Normal numbers of variance 1 / n_in (Y. LeCun et al., "Efficient backprop", 1998)."""
    return Initializer("lecun_normal")


def lecun_uniform() -> Initializer:
    """Uniform numbers of variance 1 / n_in."""
    return Initializer("lecun_uniform")


def glorot_normal() -> Initializer:
    """Normal numbers of variance 2 / (n_in + n_out) (X. Glorot, Y. Bengio, AISTATS, 2010)."""
    return Initializer("glorot_normal")


def glorot_uniform() -> Initializer:
    """Uniform numbers of variance 2 / (n_in + n_out)."""
    return Initializer("glorot_uniform")


def normal(stddev: float = 1e-2) -> Initializer:
    """Normal numbers of one standard deviation."""
    return Initializer("normal", (("stddev", stddev),))


def orthogonal(scale: float = 1.0) -> Initializer:
    """A matrix of orthonormal rows or columns, times a scale (A. M. Saxe et al., ICLR, 2014)."""
    return Initializer("orthogonal", (("scale", scale),))


def constant(value: float) -> Initializer:
    """The same number everywhere."""
    return Initializer("constant", (("value", value),))


def zeros(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Zeros."""
    return initializers.zeros(key, shape)


def ones(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Ones."""
    return initializers.ones(key, shape)


class Features(NamedTuple):
    """A size that is the number of the input's features, or a share of it.

    Attributes:
      divisor: `FEATURES // 4` is a quarter of the features.
    """

    divisor: int = 1

    def __floordiv__(self, divisor: int) -> "Features":
        return Features(self.divisor * divisor)


FEATURES = Features()
"""In the shape of a parameter: as many as the input has features, which are its last axis."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """How to draw a parameter.

    Attributes:
      initializer: (key, shape) -> array.
      shape: sizes, of which any may be `FEATURES` or a share of it.
    """

    initializer: Initialize
    shape: tuple[int | Features, ...] = (FEATURES,)

    def draw(self, key: jax.Array, features: int) -> jax.Array:
        """The parameter, for an input of so many features."""
        return self.initializer(key, tuple(_size(size, features) for size in self.shape))


def _size(size, features):
    return features // size.divisor if isinstance(size, Features) else size
