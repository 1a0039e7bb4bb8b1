"""What a layer of layers is made of, for whoever shows a network part by part.

A branch is a part, or several in a row, with what it gets of the whole's input and of ∂C/∂output.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ._branches import Parallel, Residual, added, parted
from ._chain import Chain
from ._checkpoint import Checkpoint
from ._layer import About, Layer, Params
from ._over_time import MapOverTime, merged
from ._reversible import Reversible
from ._shared import Shared
from ._stack import Stack


def _as_it_is(given: Any, *_: Any) -> Any:
    return given


class Branch(NamedTuple):
    """A part in its place.

    Attributes:
      layer: the part; several in a row are a `Chain`.
      params: its parameters.
      key: its random key, or None.
      name: its number among the branches; () where there is only one, a chain.
      into: its input, from that of the whole.
      arriving: ∂C/∂ of its output, from that of the whole's and the whole's input.
      input: what its input is called, {x} being the whole's.
      signal: what arrives, {dy} being ∂C/∂ of the whole's output.
    """

    layer: Layer
    params: Params
    key: jax.Array | None = None
    name: tuple[int, ...] = ()
    into: Callable[[Any], Any] = _as_it_is
    arriving: Callable[[Any, Any], Any] = _as_it_is
    input: str = "{x}"
    signal: str = "{dy}"


class Inside(NamedTuple):
    """The branches of a layer of layers, and what becomes of them.

    In the equations {0}, {1} and so on stand for the branches' outputs, or for what they send back, and {x}, {dy} as in
    `About`.

    Attributes:
      branches: the parts.
      output: the right-hand side of the output, one for each of several; empty where it is that of the one branch.
      input: the right-hand side of ∂C/∂input, one for each of several.
      adds: whether what the branches send back is added up, to each other or to what passes them by.
    """

    branches: tuple[Branch, ...]
    output: str | tuple[str, ...] = ""
    input: str | tuple[str, ...] = "{0}"
    adds: bool = False


def inside(layer: Layer, params: Params, key: jax.Array | None = None) -> Inside | None:
    """The parts of a combinator of this package; None for a chain, whose parts stand in a row, and for other layers.

    Example:
      >>> from jbackprop import layers
      >>> params = {"w": jax.numpy.ones((3, 3))}
      >>> found = layers.inside(layers.residual(layers.linear(3, bias=False)), params)
      >>> found.output, found.input, [branch.layer for branch in found.branches]
      ('{x} + {0}', '{dy} + {0}', [linear(3, bias=False)])
    """
    match layer:
        case Residual(inner):
            return Inside((_only(inner, params, key),), "{x} + {0}", "{dy} + {0}", adds=True)
        case Checkpoint(inner):
            return Inside((_only(inner, params, key),))
        case Shared(inner):
            return Inside((_only(inner, layer.whole(params), key),))
        case MapOverTime(inner):
            each = _only(inner, params, None)._replace(into=merged, arriving=_merged, signal="{dy}, step by step")
            return Inside((each,), "{0}, step by step", "{0}, step by step")
        case Stack(block, n):
            return Inside((Branch(Chain((block,) * n), _unstacked(params, n), key),))
        case Reversible():
            return Inside((Branch(*_halves(layer, params), key),))
        case _Half(inner, place):
            return Inside((_into_half(inner, params, key, place),), *_HALVES[place])
        case Parallel():
            return _side_by_side(layer, params, key)
    return None


def _merged(dy, _):
    return merged(dy)


def _only(inner, params, key):
    return Branch(inner, params, key, () if isinstance(inner, Chain) else (0,))


def _unstacked(params, n):
    """The parameters of n blocks, each by itself."""
    return tuple(jax.tree.map(lambda p, i=i: p[i], params) for i in range(n))


@dataclasses.dataclass(frozen=True, repr=False)
class _Half(Layer):
    """One of the pair gets f of the other: half a reversible block.

    Attributes:
      inner: f.
      place: of the one that gets it.
    """

    inner: Layer
    place: int

    def forward(self, params: Params, x: Any, key: jax.Array | None = None) -> tuple[Any, Any]:
        """(x₁ + f(x₂), x₂), or (x₁, x₂ + f(x₁))."""
        more, cache = self.inner.forward(params, x[1 - self.place], key)
        return self._gets(x, self.place, more), cache

    def backward(self, params: Params, cache: Any, dy: Any) -> tuple[Any, Any]:
        """What f read gets the dx of f besides."""
        dx, delta = self.inner.backward(params, cache, dy[self.place])
        return self._gets(dy, 1 - self.place, dx), delta

    def factors(self, params: Params, cache: Any, delta: Any) -> Any:
        """Those of f."""
        return self.inner.factors(params, cache, delta)

    def about(self) -> About:
        """The letter by which `Reversible` calls it."""
        return About("fg"[self.place])

    def _gets(self, pair, place, more):
        return tuple(added(one, more) if i == place else one for i, one in enumerate(pair))


_HALVES = (
    (("{x}[0] + {0}", "{x}[1]"), ("{dy}[0]", "{dy}[1] + {0}"), True),
    (("{x}[0]", "{x}[1] + {0}"), ("{dy}[0] + {0}", "{dy}[1]"), True),
)
"""What either half makes, and what it sends back."""


def _halves(layer, params):
    """2 n halves in a row, with the parameters of each."""
    blocks = zip(*(_unstacked(one, layer.n) for one in params), strict=True)
    return Chain((_Half(layer.f, 0), _Half(layer.g, 1)) * layer.n), tuple(one for block in blocks for one in block)


def _into_half(inner, params, key, place):
    return _only(inner, params, key)._replace(
        into=lambda x: x[1 - place],
        arriving=lambda dy, _: dy[place],
        input=f"{{x}}[{1 - place}]",
        signal=f"{{dy}}[{place}]",
    )


def _side_by_side(layer, params, key):
    parts = enumerate(layer.in_order(params, key))
    branches = tuple(_beside(layer, params, i, part) for i, part in parts)
    names = tuple(f"{{{i}}}" for i in range(len(branches)))
    added_up = " + ".join(names)
    output = {"tuple": names, "sum": added_up, "concatenate": f"[{', '.join(names)}]"}[layer.join]
    return Inside(branches, output, names if layer.split else added_up, adds=not layer.split)


def _beside(layer, params, i, part):
    """Branch i of several."""
    return Branch(
        *part,
        name=(i,),
        into=lambda x: layer.inputs(x)[i],
        arriving=lambda dy, x: parted(layer.join, dy, len(layer.parts), _widths(layer, params, x))[i],
        input=f"{{x}}[{i}]" if layer.split else "{x}",
        signal="{dy}" if layer.join == "sum" else f"{{dy}}[{i}]",
    )


def _widths(layer, params, x):
    """Of the last axis of the branches' outputs, where these are joined along it."""
    return jax.eval_shape(layer.forward, params, x)[1].sizes
