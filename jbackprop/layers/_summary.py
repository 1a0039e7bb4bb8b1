"""What a network is made of: its layers with their shapes, parameters, what they keep, and their work."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from jbackprop.report import Document, Table, count, size, text

from ._branches import Parallel, Residual
from ._chain import Chain
from ._checkpoint import Checkpoint
from ._evaluation import example_like
from ._layer import Layer, Params, Shape
from ._over_time import MapOverTime
from ._reversible import Reversible
from ._shared import Shared
from ._stack import Stack


class Row(NamedTuple):
    """One layer in its place.

    Attributes:
      place: its number in the chain, and in the chains and combinators around that, such as "2.0".
      name: what it prints before its brackets.
      out_shape: of one example's output.
      parameters: how many numbers it learns.
      kept_bytes: what its forward pass keeps for its backward pass, for one example, parameters aside.
      flops: floating-point operations of its forward pass on one example; None where the compiler does not tell.
    """

    place: str
    name: str
    out_shape: Any
    parameters: int
    kept_bytes: int
    flops: float | None


@dataclasses.dataclass(frozen=True)
class Summary:
    """A network, layer by layer; printed, it is a table.

    Attributes:
      rows: the layers in order; what is inside a combinator follows it, and is counted in it.
      total: the network as a whole.
    """

    rows: tuple[Row, ...]
    total: Row

    def document(self) -> Document:
        """The table, with the whole in its last row."""
        head = ("layer", "output", "parameters", "kept an example", "FLOPs forward")
        rows = tuple(map(_cells, (*self.rows, self.total._replace(place="", name="all"))))
        return Document("", tables=(Table("", head, rows),))

    def __str__(self) -> str:
        return text(self.document())


def summary(net: Layer, shape: Shape) -> Summary:
    """The layers of a network with what each keeps and costs; nothing is computed.

    Args:
      net: the network.
      shape: of its input, the batch left out.

    Raises:
      ValueError: the network refuses inputs of that shape.
    """
    params = jax.eval_shape(lambda key: net.init(key, shape)[0], jax.random.key(0))
    net.init(jax.random.key(0), shape)
    x = example_like(net, params, shape)
    total = _row(net, params, x, "")
    inside = list(_inside(net, params, x, ""))
    return Summary(tuple(inside or [total]), total)


def _inside(layer, params, x, place) -> Iterator[Row]:
    """The rows of a layer's parts."""
    for name, part, part_params, part_x in _parts(layer, params, x):
        at = f"{place}.{name}" if place else name
        yield _row(part, part_params, part_x, at)
        yield from _inside(part, part_params, part_x, at)


def _parts(layer, params, x) -> Iterator[tuple[str, Layer, Params, Any]]:
    """Each part with its place, its parameters and its input."""
    match layer:
        case Chain(parts):
            for i, (part, part_params) in enumerate(zip(parts, params, strict=True)):
                yield str(i), part, part_params, x
                x = _output(part, part_params, x)
        case Parallel(parts):
            inputs = layer.inputs(x)
            yield from ((str(i), part, params[i], inputs[i]) for i, part in enumerate(parts))
        case Residual(inner) | Checkpoint(inner):
            yield from _parts(inner, params, x) if isinstance(inner, Chain) else [("0", inner, params, x)]
        case Shared(inner):
            yield from _parts(inner, jax.eval_shape(layer.whole, params), x)
        case Stack(block):
            yield from _parts(block, _one(params), x) if isinstance(block, Chain) else [("0", block, _one(params), x)]
        case Reversible(f, g):
            one = _one(params)
            yield from (("f", f, one[0], x[1]), ("g", g, one[1], x[0]))
        case MapOverTime(inner):
            steps = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x)
            yield from _parts(inner, params, steps) if isinstance(inner, Chain) else [("0", inner, params, steps)]


def _one(params):
    """The parameters of one of several blocks."""
    return jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape[1:], p.dtype), params)


def _row(layer, params, x, place):
    output, cache = jax.eval_shape(layer.forward, params, x)
    return Row(
        place,
        layer.about().name or repr(layer).partition("(")[0],
        jax.tree.map(lambda y: y.shape[1:], output),
        sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(cache)),
        _flops(layer, params, x),
    )


def _flops(layer, params, x):
    """Of a combinator the sum over its parts: the compiler counts the body of a stack's loop once."""
    if isinstance(layer, Chain | Residual | Parallel | Checkpoint | Shared | Stack | MapOverTime | Reversible):
        each = [_flops(*part) for _, *part in _parts(layer, params, x)]
        times = layer.n if isinstance(layer, Stack | Reversible) else 1
        return None if None in each else times * sum(flops or 0 for flops in each)
    costs = jax.jit(lambda params, x: layer.forward(params, x)[0]).lower(params, x).cost_analysis()
    return None if costs is None else costs.get("flops", 0.0)


def _output(layer, params, x):
    return jax.eval_shape(lambda params, x: layer.forward(params, x)[0], params, x)


def _cells(row):
    indent = "  " * row.place.count(".")
    shape = str(row.out_shape).replace("(", "[").replace(",)", "]").replace(")", "]")
    return (
        f"{indent}{row.place} {row.name}".strip(),
        shape,
        f"{row.parameters:,}",
        size(row.kept_bytes),
        count(row.flops),
    )
